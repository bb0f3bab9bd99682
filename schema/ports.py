"""What the graph needs from the world, implemented by the gateway and handed to resolvers as `info.context`.

Invariants: reads made in one tick share one round trip; a row is immutable; every request carries a principal.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from projections.declare import Projection
from projections.measure import Measure
from projections.timeline import Timeline
from schema.activity import Activity
from schema.paging import Window


@dataclass(frozen=True)
class Principal:
    """Who asks. `scopes` are what it may do, `claims` what row rules compare with, `tags` which tagged fields it sees or None."""

    subject: str | None = None
    scopes: frozenset[str] = frozenset()
    claims: Mapping[str, str] = field(default_factory=dict[str, str])
    tags: frozenset[str] | None = None

    @property
    def is_anonymous(self) -> bool:
        """Whether nobody vouched for the caller."""
        return self.subject is None


ANONYMOUS = Principal()


class Row(Protocol):
    """An entity as read: the stored view's fields are attributes beside these three."""

    @property
    def id(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def version(self) -> int: ...


@dataclass(frozen=True)
class RowPage:
    """A page of rows with their places in the list (see projections.store.port.Page)."""

    rows: Sequence[tuple[bytes, Row | Activity]]
    total: int
    has_previous: bool
    has_next: bool


class Rows(Protocol):
    """Reads on behalf of one request, consistent with its token. Errors reach the field that asked."""

    def one(self, projection: Projection[Any, Any], key: str) -> Awaitable[Row | None]:
        """The entity with that key; None when there is none."""
        ...

    def page(
        self, projection: Projection[Any, Any], index: str, filters: Mapping[str, Any], window: Window
    ) -> Awaitable[RowPage]:
        """A page of an index; `filters` by field name, optional ones may be missing."""
        ...

    def measure(self, projection: Projection[Any, Any], measure: Measure[Any], value: Any) -> Awaitable[Any]:
        """A measure for one value of what it is kept by: a count as an int, a total in the type of its field (0 without rows),
        an extreme in that type or None."""
        ...

    def timeline(self, timeline: Timeline[Any], key: str, window: Window) -> Awaitable[RowPage]:
        """A page of somebody's timeline, newest first: its rows are of type Activity."""
        ...


class RequestContext(Protocol):
    """What `info.context` is in every resolver."""

    @property
    def principal(self) -> Principal: ...
    @property
    def rows(self) -> Rows: ...
