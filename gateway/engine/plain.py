"""The plain executor: graphql-core over the composed schema, for any operation.

Invariants: what it is given is valid and within the limits; an answer always comes, every error in it has a code, and no
exception's text reaches a client unless it was written for one; what only the schema says is answered once.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from graphql import ExecutionResult, GraphQLError, GraphQLSchema
from graphql.execution import execute

from gateway.engine.context import RequestContext
from gateway.engine.documents import Operation
from gateway.engine.told import graphql_error, told
from gateway.errors import INTERNAL, code_of

log = logging.getLogger(__name__)

INTROSPECTION_ANSWERS: Final = 8
"""How many answers about the schema are kept: each client sends one text, and an answer takes a megabyte."""


@dataclass(frozen=True)
class Answer:
    """What an operation came to. `data` is absent (None, has_data False) when nothing was executed."""

    data: Mapping[str, Any] | None
    errors: list[dict[str, Any]]
    has_data: bool


class PlainExecutor:
    """Executes. One per process; safe for concurrent use on one loop."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self._introspected: OrderedDict[Operation, Answer] = OrderedDict()

    async def execute(
        self, operation: Operation, variables: Mapping[str, Any] | None, context: RequestContext
    ) -> Answer:
        """Runs an operation, with variables as they were given. Never raises but when cancelled."""
        is_constant = operation.is_introspection and operation.variables.is_empty
        if is_constant and (kept := self._introspected.get(operation)):
            self._introspected.move_to_end(operation)
            return kept
        result = execute(
            self._schema,
            operation.document.node,
            context_value=context,
            variable_values=dict(variables or {}),
            operation_name=operation.name,
        )
        if not isinstance(result, ExecutionResult):
            result = await result
        errors = [format_error(error) for error in result.errors or ()]
        began = result.data is not None or any("path" in error for error in errors)
        answer = Answer(result.data, errors, began)
        if is_constant and not errors:
            self._introspected[operation] = answer
            if len(self._introspected) > INTROSPECTION_ANSWERS:
                self._introspected.popitem(last=False)
        return answer


def format_error(error: GraphQLError) -> dict[str, Any]:
    """An error of the answer, with its code; whatever nobody planned is logged and shown as INTERNAL."""
    original = error.original_error
    while isinstance(original, GraphQLError) and original.original_error is not None:
        original = original.original_error
    if original is None or isinstance(original, GraphQLError):
        # graphql-core's own words: an argument or a value that does not fit
        code = "BAD_USER_INPUT" if error.path is None or _is_input(error) else INTERNAL
        if code == INTERNAL:
            log.error("execution failed: %s", error)
        return graphql_error(error, "internal error" if code == INTERNAL else error.message, code)
    code = code_of(original)
    if code == INTERNAL:
        log.error("execution failed at %s", error.path, exc_info=original)
        return graphql_error(error, "internal error", code)
    return graphql_error(error, told(original), code)


def _is_input(error: GraphQLError) -> bool:
    """Whether graphql-core blames an argument rather than a resolver's value."""
    return error.message.startswith(("Argument ", "Variable ", "Required argument "))
