"""What a client is told of an error: message and code.

Invariants: no exception's text reaches a client unless it was written for one; whatever nobody planned is logged and is INTERNAL.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final

from graphql import FieldNode, GraphQLError
from graphql.language import get_location

from gateway.errors import INTERNAL, STORE_AWAY, STORE_BUILDING, RequestError, code_of
from projections.errors import RebuildingError, StoreError

log = logging.getLogger(__name__)

MAX_MESSAGE_CHARACTERS: Final = 200
MAX_LOCATIONS: Final = 5
"""Of one error. A field may be selected in as many places as the document has fields."""


def told(error: BaseException) -> str:
    """What a client is told of an error that was planned."""
    if isinstance(error, RebuildingError):
        return STORE_BUILDING
    return STORE_AWAY if isinstance(error, StoreError) else str(error)


def field_error(path: Sequence[str | int], nodes: Sequence[FieldNode], error: Exception) -> dict[str, Any]:
    """An error of the answer: a field's, by its response path."""
    code = code_of(error)
    if code == INTERNAL:
        log.error("execution failed at %s", path, exc_info=error)
    return {
        "message": "internal error" if code == INTERNAL else shown(told(error)),
        "locations": [_location(node) for node in nodes[:MAX_LOCATIONS] if node.loc],
        "path": list(path),
        "extensions": {"code": code},
    }


def graphql_error(error: GraphQLError, message: str, code: str) -> dict[str, Any]:
    """An error of the answer: one of graphql-core's, with its place."""
    found: dict[str, Any] = {"message": shown(message)}
    if error.locations:
        found["locations"] = [{"line": at.line, "column": at.column} for at in error.locations[:MAX_LOCATIONS]]
    if error.path is not None:
        found["path"] = list(error.path)
    found["extensions"] = {"code": code}
    return found


def request_errors(error: RequestError) -> list[dict[str, Any]]:
    """The errors of an answer to a request that was refused."""
    return error.errors or [{"message": shown(str(error)), "extensions": {"code": code_of(error)}}]


def shown(message: str) -> str:
    """A message without a long echo of what was sent."""
    return message if len(message) <= MAX_MESSAGE_CHARACTERS else message[: MAX_MESSAGE_CHARACTERS - 3] + "..."


def _location(node: FieldNode) -> dict[str, int]:
    assert node.loc is not None  # noqa: S101 - the caller has looked
    at = get_location(node.loc.source, node.loc.start)
    return {"line": at.line, "column": at.column}
