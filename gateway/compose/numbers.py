"""Measures as a field shows them.

Invariants: exact; a number that its field's type cannot hold is an error, and never another number.
"""

from __future__ import annotations

from collections.abc import Awaitable
from decimal import Decimal
from typing import Any

from gateway.errors import UnreadableDocumentError
from projections.shape import FieldType
from projections.wire import MAX_INT, MIN_INT


async def shown_number(asked: Awaitable[Any], kind: FieldType, name: str) -> Any:
    """A measure in the type that its field is annotated with. Raises UnreadableDocumentError."""
    number = await asked
    if kind.item is Decimal and isinstance(number, int):
        return Decimal(number)
    if kind.item is int and number is not None and not MIN_INT <= number <= MAX_INT:
        raise UnreadableDocumentError(f"{name} is beyond 32 bits: its field is to be a Decimal")
    return number
