"""The errors of the shop, sorted by who must act.

ShopError
├── SettingsError          operator: wrong or unknown environment settings, all of them listed
├── DefinitionError        author: a context that does not fit together
├── ClientError            client: an answer in problem+json, nothing was changed
│   ├── InputError         the request does not say what is wanted (400, 413, 415, 422)
│   ├── NotFoundError      there is no such aggregate (404)
│   ├── VersionError       `If-Match` names another version than the current one (412)
│   └── RefusedError       a business rule says no (409)
└── BrokerError            operator: the broker does not answer or refuses; nothing is lost, it is tried again
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class FieldProblem:
    """What is wrong with one field: a JSON pointer into the body (`#/lines/0/quantity`) and a sentence."""

    pointer: str
    detail: str


class ShopError(Exception):
    """The root of the tree."""


class SettingsError(ShopError):
    """Every wrong setting, one line each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class DefinitionError(ShopError):
    """A context whose parts contradict each other."""


class BrokerError(ShopError):
    """The broker cannot be reached, or does not take or give records."""


class ClientError(ShopError):
    """An answer for the client: HTTP status, stable code, title, and details where they help."""

    status = 400

    def __init__(self, code: str, title: str, detail: str | None = None, fields: Sequence[FieldProblem] = ()) -> None:
        super().__init__(f"{code}: {detail or title}")
        self.code = code
        self.title = title
        self.detail = detail
        self.fields = tuple(fields)


class InputError(ClientError):
    """The request itself is wrong; the same request will never be right."""

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        detail: str | None = None,
        fields: Sequence[FieldProblem] = (),
    ) -> None:
        super().__init__(code, title, detail, fields)
        self.status = status


class NotFoundError(ClientError):
    """No such aggregate; `aggregate_version` is the last one of an aggregate that is gone."""

    status = 404

    def __init__(self, aggregate: str, aggregate_version: str | None = None) -> None:
        gone = "is no longer there" if aggregate_version else "does not exist"
        super().__init__(f"{aggregate.upper()}_NOT_FOUND", f"This {aggregate} {gone}")
        self.aggregate_version = aggregate_version


class VersionError(ClientError):
    """The caller saw another version than the current one."""

    status = 412

    def __init__(self, expected: int, current: int, aggregate_version: str) -> None:
        detail = f"You saw version {expected}, the current one is {current}."
        super().__init__("VERSION_MISMATCH", "It was changed since you saw it", detail)
        self.aggregate_version = aggregate_version


class RefusedError(ClientError):
    """A business rule says no. Raised by decisions.

    `may_arrive`: the refusal is about something that another service may be about to tell (an order that was placed a
    moment ago); the command is then decided again after a short wait, before the refusal is final.
    """

    status = 409

    def __init__(self, code: str, title: str, fields: Sequence[FieldProblem] = (), *, may_arrive: bool = False) -> None:
        super().__init__(code, title, None, fields)
        self.may_arrive = may_arrive
