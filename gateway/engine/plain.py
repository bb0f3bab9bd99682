"""The plain executor: graphql-core over the composed schema, for any operation.

Invariants: a document is parsed with a bound on its tokens and validated once per text; an answer always comes, every error
in it has a code, and no exception's text reaches a client unless it was written for one.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    OperationType,
    get_operation_ast,
    parse,
    validate,
)
from graphql.execution import execute

from gateway.engine.context import RequestContext
from gateway.errors import (
    INTERNAL,
    STORE_AWAY,
    STORE_BUILDING,
    MalformedRequestError,
    ParseError,
    RequestError,
    ValidationError,
    code_of,
)
from projections.errors import RebuildingError, StoreError

log = logging.getLogger(__name__)

MAX_TOKENS: Final = 2000
CACHED_DOCUMENTS: Final = 1000
CACHED_CHARACTERS: Final = 16 * 1024 * 1024
"""Of all cached texts together: a parsed document takes some twenty times its text."""
MAX_MESSAGE_CHARACTERS: Final = 200


@dataclass(frozen=True)
class Answer:
    """What an operation came to. `data` is absent (None, has_data False) when nothing was executed."""

    data: Mapping[str, Any] | None
    errors: list[dict[str, Any]]
    has_data: bool


@dataclass(frozen=True)
class Operation:
    """A valid document and the operation in it that is asked for."""

    document: DocumentNode
    name: str | None
    type: OperationType


class PlainExecutor:
    """Parses, validates and executes. One per process; safe for concurrent use on one loop."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self._documents: OrderedDict[str, DocumentNode] = OrderedDict()
        self._cached_characters = 0

    def prepare(self, query: str, operation_name: str | None) -> Operation:
        """The operation to run. Raises RequestError (with GraphQL errors as `__cause__` where there are several)."""
        found = self._documents.get(query)
        if found is None:
            found = self._read(query)
            self._keep(query, found)
        else:
            self._documents.move_to_end(query)
        node: OperationDefinitionNode | None = get_operation_ast(found, operation_name)
        if node is None:
            named = any(isinstance(definition, OperationDefinitionNode) for definition in found.definitions)
            raise MalformedRequestError(
                "name one of the document's operations in operationName" if named else "the document has no operation"
            )
        return Operation(found, node.name.value if node.name else None, node.operation)

    async def execute(
        self, operation: Operation, variables: Mapping[str, Any] | None, context: RequestContext
    ) -> Answer:
        """Runs an operation. Never raises but when cancelled."""
        result = execute(
            self._schema,
            operation.document,
            context_value=context,
            variable_values=dict(variables or {}),
            operation_name=operation.name,
        )
        if not isinstance(result, ExecutionResult):
            result = await result
        errors = [format_error(error) for error in result.errors or ()]
        began = result.data is not None or any("path" in error for error in errors)
        return Answer(result.data, errors, began)

    def _read(self, query: str) -> DocumentNode:
        try:
            document = parse(query, max_tokens=MAX_TOKENS)
        except GraphQLSyntaxError as error:
            raise InvalidDocumentError([error]) from None
        errors = validate(self._schema, document, max_errors=20)
        if errors:
            raise InvalidDocumentError(errors)
        return document

    def _keep(self, query: str, document: DocumentNode) -> None:
        """Keeps a valid document; what is refused is not worth the room."""
        self._documents[query] = document
        self._cached_characters += len(query)
        while len(self._documents) > CACHED_DOCUMENTS or self._cached_characters > CACHED_CHARACTERS:
            text, _ = self._documents.popitem(last=False)
            self._cached_characters -= len(text)


class InvalidDocumentError(ValidationError):
    """The document does not parse or does not fit; `errors` are ready for the answer."""

    def __init__(self, errors: list[GraphQLError]) -> None:
        super().__init__(errors[0].message)
        code = code_of(ParseError() if isinstance(errors[0], GraphQLSyntaxError) else ValidationError())
        self.errors = [_formatted(error, error.message, code) for error in errors]


def format_error(error: GraphQLError) -> dict[str, Any]:
    """An error of the answer, with its code; whatever nobody planned is logged and shown as INTERNAL."""
    original = error.original_error
    while isinstance(original, GraphQLError) and original.original_error is not None:
        original = original.original_error
    if original is None or isinstance(original, GraphQLError):
        # graphql-core's own words: a variable, an argument or a value that does not fit
        code = "BAD_USER_INPUT" if error.path is None or _is_input(error) else INTERNAL
        if code == INTERNAL:
            log.error("execution failed: %s", error)
        return _formatted(error, "internal error" if code == INTERNAL else error.message, code)
    code = code_of(original)
    if code == INTERNAL:
        log.error("execution failed at %s", error.path, exc_info=original)
        return _formatted(error, "internal error", code)
    return _formatted(error, _told(original), code)


def _told(error: BaseException) -> str:
    """What a client is told of an error that was planned."""
    if isinstance(error, RebuildingError):
        return STORE_BUILDING
    return STORE_AWAY if isinstance(error, StoreError) else str(error)


def _is_input(error: GraphQLError) -> bool:
    """Whether graphql-core blames an argument rather than a resolver's value."""
    return error.message.startswith(("Argument ", "Variable ", "Required argument "))


def _formatted(error: GraphQLError, message: str, code: str) -> dict[str, Any]:
    found: dict[str, Any] = {"message": shown(message)}
    if error.locations:
        found["locations"] = [{"line": at.line, "column": at.column} for at in error.locations]
    if error.path is not None:
        found["path"] = list(error.path)
    found["extensions"] = {"code": code}
    return found


def request_error(error: RequestError) -> list[dict[str, Any]]:
    """The errors of an answer to a request that was refused."""
    if isinstance(error, InvalidDocumentError):
        return error.errors
    return [{"message": shown(str(error)), "extensions": {"code": code_of(error)}}]


def shown(message: str) -> str:
    """A message without a long echo of what was sent."""
    return message if len(message) <= MAX_MESSAGE_CHARACTERS else message[: MAX_MESSAGE_CHARACTERS - 3] + "..."
