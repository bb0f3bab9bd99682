"""The attribute names by which traces and logs speak of the graph; this floor itself emits nothing.

Invariants: names only; their values are names from declarations, never data of a client.
"""

from __future__ import annotations

from typing import Final

CONTEXT: Final = "headrace.context"
"""A bounded context's name: orders."""
ENTITY: Final = "headrace.entity"
"""A GraphQL type's name: Order."""
FIELD: Final = "headrace.field"
"""A field's place in the graph: Order.customer."""
COMMAND: Final = "headrace.command"
"""A mutation's name: placeOrder."""
OPERATION: Final = "headrace.operation"
"""The name that a client gave its operation, when it is a trusted one."""

ATTRIBUTES: Final = (CONTEXT, ENTITY, FIELD, COMMAND, OPERATION)
