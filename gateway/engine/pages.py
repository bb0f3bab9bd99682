"""Connections: a page of an index or of a timeline as edges, nodes, pageInfo and totalCount.

Invariants: whatever is selected of a page, and however often, is made of one read of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import msgspec

from gateway.engine.arguments import Arguments, Values
from gateway.engine.fetches import made_rows
from gateway.engine.objects import ObjectPlan
from gateway.engine.run import Edge, Run
from gateway.engine.served import Claims, Served, ServedTimeline
from projections.declare import Index
from projections.errors import StoreError
from projections.store.port import Page, PageQuery
from projections.store.stored import shown_rows
from schema.errors import BadInputError
from schema.paging import Window, cursor, window


class Of(Enum):
    """What an attribute of a connection, of an edge or of a pageInfo shows."""

    TYPENAME = "__typename"
    EDGES = "edges"
    NODES = "nodes"
    NODE = "node"
    CURSOR = "cursor"
    PAGE_INFO = "pageInfo"
    TOTAL = "totalCount"
    HAS_NEXT = "hasNextPage"
    HAS_PREVIOUS = "hasPreviousPage"
    START = "startCursor"
    END = "endCursor"


@dataclass(eq=False)
class PagePart:
    """A connection, an edge or a pageInfo: for each attribute of `out` what it shows; with NODES and NODE the plan of a row, with
    EDGES and PAGE_INFO that of the part, with TYPENAME the name.
    """

    out: type[msgspec.Struct]
    shows: Sequence[tuple[Of, Any]]


@dataclass(eq=False)
class ShownPage:
    """One page while it is shown; each of its rows shows something."""

    page: Page
    list_name: str
    run: Run
    made: list[tuple[ObjectPlan, list[Any]]] = field(default_factory=list[Any])

    def show(self, part: PagePart) -> Any:
        """The connection or the pageInfo."""
        return part.out(*[self._value(of, of_what) for of, of_what in part.shows])

    def _value(self, of: Of, of_what: Any) -> Any:
        match of:
            case Of.NODES:
                return self._objects(of_what)
            case Of.EDGES:
                return self._edges(of_what)
            case Of.PAGE_INFO:
                return self.show(of_what)
            case Of.TOTAL:
                return self.page.total
            case Of.HAS_NEXT:
                return self.page.has_next
            case Of.HAS_PREVIOUS:
                return self.page.has_previous
            case Of.START:
                return self._cursor(self.page.members[0]) if self.page.members else None
            case Of.END:
                return self._cursor(self.page.members[-1]) if self.page.members else None
            case _:
                return of_what

    def _objects(self, plan: ObjectPlan) -> list[Any]:
        found = made_rows(plan, self.page, self.run)
        self.made.append((plan, found))
        return found

    def _edges(self, part: PagePart) -> list[Any]:
        if not part.shows:  # all of it was left out: still one object for each row
            return [part.out() for _ in self.page.members]
        columns: list[Sequence[Any]] = []
        for of, of_what in part.shows:
            if of is Of.NODE:
                columns.append(self._objects(of_what))
            elif of is Of.CURSOR:
                columns.append([self._cursor(member) for member in self.page.members])
            else:
                columns.append([of_what] * len(self.page.members))
        return [part.out(*values) for values in zip(*columns, strict=True)]

    def _cursor(self, member: bytes) -> str:
        return cursor(self.list_name, member)


@dataclass(eq=False)
class Paged(Edge, ABC):
    """A connection."""

    attribute: str
    arguments: Arguments
    plan: PagePart

    @property
    @abstractmethod
    def list_name(self) -> str:
        """Names the list that cursors are of."""

    @abstractmethod
    def query(self, arguments: Values, key: str, wanted: Window, claims: Claims) -> PageQuery:
        """The read of one parent's page."""

    def ask(self, parents: Sequence[Any], run: Run) -> Any:
        given = self.arguments.read(run.variables)
        try:
            wanted = window(
                self.list_name, given.get("first"), given.get("after"), given.get("last"), given.get("before")
            )
        except BadInputError as error:
            for parent in parents:
                setattr(parent, self.attribute, run.failed(error))
            return None
        return run.asking().pages(
            [self.query(given, getattr(parent, self.attribute), wanted, run.claims) for parent in parents]
        )

    def settle(self, parents: Sequence[Any], places: Any, run: Run) -> None:
        if places is None:
            return
        made: dict[ObjectPlan, list[Any]] = {}
        for place, parent in zip(places, parents, strict=True):
            page = run.answer.pages[place]
            try:
                found = page if isinstance(page, Exception) else shown_rows(page)
            except StoreError as error:
                found = error
            if isinstance(found, Exception):
                setattr(parent, self.attribute, run.failed(found))
                continue
            shown = ShownPage(found, self.list_name, run)
            setattr(parent, self.attribute, shown.show(self.plan))
            for plan, objects in shown.made:
                made.setdefault(plan, []).extend(objects)
        for plan, objects in made.items():
            run.lead_on(plan, objects)


@dataclass(eq=False)
class IndexPaged(Paged):
    """A page of an index. `filters` are the names of its filters with those of the arguments that give them; `via` is the filter
    that is the key in the attribute, None at the root.
    """

    served: Served
    index: Index[Any]
    filters: Sequence[tuple[str, str]]
    via: str | None

    def __post_init__(self) -> None:
        self._list_name = f"{self.served.projection.name}.{self.index.name}"

    @property
    def list_name(self) -> str:
        return self._list_name

    def query(self, arguments: Values, key: str, wanted: Window, claims: Claims) -> PageQuery:
        values = {name: arguments.get(argument) for name, argument in self.filters}
        if self.via is not None:
            values[self.via] = key
        return self.served.page_query(self.index, values, wanted, claims)


@dataclass(eq=False)
class TimelinePaged(Paged):
    """A page of somebody's timeline."""

    served: ServedTimeline

    @property
    def list_name(self) -> str:
        return f"{self.served.timeline.name}:"  # no index is named so

    def query(self, arguments: Values, key: str, wanted: Window, claims: Claims) -> PageQuery:
        return self.served.page_query(key, wanted)
