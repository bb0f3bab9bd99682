"""The errors of the gateway floor, in one tree sorted by who must act, and the one table from exception to code.

    GatewayError
    ├── RequestError                 client: the request as a whole is refused
    │   ├── MalformedRequestError        not a GraphQL request (JSON, shape, content type, size)
    │   ├── ParseError                   the document is not GraphQL
    │   ├── ValidationError              the document does not fit the schema
    │   ├── VariablesError               the variables do not fit the operation
    │   ├── TooComplexError              the operation, or its answer, is larger than the limits allow
    │   ├── ForbiddenError               it selects what the principal may not read or do
    │   ├── DeadlineExceededError        it took longer than it may
    │   └── BadTokenError                a consistency token that this gateway did not sign, or a bad read policy
    ├── ReadTooStaleError            client: the wait ended before the data was there, and the client asked for an error
    ├── TooManyRowsError             client: a plain list that is longer than its bound
    ├── ServiceUnavailableError      operator: the write service did not take the command; nothing was changed
    ├── UnreadableDocumentError      operator: a stored document does not fit its view (was the projection's version raised?)
    └── TrustedDocumentsError        operator: told at start, never to a client: an operation that does not fit the graph

What a client sees of an error of the store (projections/errors.py) is READ_MODEL_REBUILDING or READ_MODEL_UNAVAILABLE, of any
other exception INTERNAL and nothing more; the log has the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from projections.errors import RebuildingError, StoreError
from schema.errors import BadInputError


class GatewayError(Exception):
    """Root of everything this floor raises on purpose. Messages are shown to clients."""


class RequestError(GatewayError):
    """The request as a whole is refused; nothing was executed.

    `errors` are those of the answer, with locations and codes, where there is more to tell than one message.
    """

    def __init__(self, message: str, errors: Sequence[dict[str, Any]] = ()) -> None:
        super().__init__(message)
        self.errors = list(errors)


class MalformedRequestError(RequestError):
    """Not a GraphQL request. `status` is the HTTP status that says it best."""

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class ParseError(RequestError):
    """The document is not GraphQL, or has too many tokens."""


class ValidationError(RequestError):
    """The document does not fit the schema."""


class VariablesError(RequestError):
    """The variables do not fit the operation."""


class TooComplexError(RequestError):
    """The operation costs, or its answer has, more than the limits allow."""


class ForbiddenError(RequestError):
    """The operation selects what the principal may not read or do."""


class DeadlineExceededError(RequestError):
    """The operation took longer than it may; it was broken off."""


class BadTokenError(RequestError):
    """A consistency token or read policy that cannot be honoured."""


class ReadTooStaleError(GatewayError):
    """The wait ended before the required version was there, and the policy is ERROR."""


class TooManyRowsError(GatewayError):
    """A plain list edge with more rows than its bound."""


class ServiceUnavailableError(GatewayError):
    """The write service did not take the command: nothing was changed, the command may be sent again."""


class TrustedDocumentsError(GatewayError):
    """Trusted documents that cannot be read, or do not fit the schema or the limits; all problems at once."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n  ".join(["trusted documents:", *problems]))
        self.problems = list(problems)


class UnreadableDocumentError(GatewayError):
    """A stored document that does not decode to its view."""


CODES: Final[dict[type[Exception], str]] = {
    MalformedRequestError: "BAD_REQUEST",
    ParseError: "GRAPHQL_PARSE_FAILED",
    ValidationError: "GRAPHQL_VALIDATION_FAILED",
    VariablesError: "BAD_USER_INPUT",
    TooComplexError: "TOO_COMPLEX",
    ForbiddenError: "FORBIDDEN",
    DeadlineExceededError: "DEADLINE_EXCEEDED",
    BadTokenError: "BAD_TOKEN",
    ReadTooStaleError: "READ_TOO_STALE",
    TooManyRowsError: "TOO_MANY_ROWS",
    ServiceUnavailableError: "SERVICE_UNAVAILABLE",
    UnreadableDocumentError: "UNREADABLE_DOCUMENT",
    BadInputError: "BAD_USER_INPUT",
    RebuildingError: "READ_MODEL_REBUILDING",
    StoreError: "READ_MODEL_UNAVAILABLE",
}
"""`extensions.code` by exception; subclasses share their nearest base's. Each has a page in docs/errors/."""

INTERNAL: Final = "INTERNAL"


STORE_AWAY: Final = "the read models cannot be read now"
"""What a client is told of a store's failure: its own words name addresses and keys, and go to the log."""

STORE_BUILDING: Final = "the read model is being rebuilt: what is missing may still come"
"""What a client is told of a read model that is not whole."""


def code_of(error: BaseException) -> str:
    """The code that a client sees for an exception; INTERNAL for one that nobody planned."""
    for kind in type(error).__mro__:
        if kind in CODES:
            return CODES[kind]
    return INTERNAL
