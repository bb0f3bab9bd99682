"""Edges that lead to documents: one by its key, several by their ids, and the rows of a list.

Invariants: a document is made once per edge and stage, whoever refers to it; a failed read is a Failure in the attributes of those
who asked for it, and of nobody else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.engine.objects import ObjectPlan
from gateway.engine.run import Edge, Failure, Run
from gateway.engine.served import Claims, Served
from gateway.errors import TooManyRowsError
from projections.declare import Index
from projections.store.document import Document
from projections.store.port import Page, PageRow
from schema.errors import BadIdError
from schema.ids import parse_id
from schema.paging import Window


@dataclass(eq=False)
class One(Edge):
    """An entity by the key in the attribute; null when that is null or names nothing."""

    attribute: str
    served: Served
    plan: ObjectPlan

    def ask(self, parents: Sequence[Any], run: Run) -> Any:
        attribute = self.attribute
        given = [id for parent in parents if type(id := getattr(parent, attribute)) is str]
        ids = dict.fromkeys(given)
        return ids, run.documents(self.served.keys(ids)), len(given)

    def settle(self, parents: Sequence[Any], asked: Any, run: Run) -> None:
        ids, start, references = asked
        plan, attribute = self.plan, self.attribute
        made = {id: shown(plan, id, found, run) for id, found in zip(ids, run.answer.documents[start:], strict=False)}
        for parent in parents:
            id = getattr(parent, attribute)
            if type(id) is str:
                setattr(parent, attribute, made[id])
        run.lead_on(plan, list(made.values()), references)


@dataclass(eq=False)
class ByIds(Edge):
    """`node` and `nodes`: entities of any type by the global ids in the attribute; an id that is malformed fails alone."""

    attribute: str
    served: Mapping[str, Served]
    plans: Mapping[str, ObjectPlan]
    is_list: bool

    def ask(self, parents: Sequence[Any], run: Run) -> Any:
        [root] = parents
        given = getattr(root, self.attribute)
        found: list[tuple[str, str] | Failure] = []
        keys: list[Any] = []
        for id in given if self.is_list else [given]:
            try:
                name, key = parse_id(id, self.plans)
            except BadIdError as error:
                found.append(run.failed(error))
                continue
            found.append((name, key))
            keys.append(self.served[name].key(key))
        return found, run.documents(keys)

    def settle(self, parents: Sequence[Any], asked: Any, run: Run) -> None:
        found, place = asked
        shared: dict[tuple[str, str], Any] = {}
        entries: list[Any] = []
        for item in found:
            if isinstance(item, Failure):
                entries.append(item)
                continue
            if item not in shared:
                shared[item] = shown(self.plans[item[0]], item[1], run.answer.documents[place], run)
            entries.append(shared[item])
            place += 1
        [root] = parents
        setattr(root, self.attribute, entries if self.is_list else entries[0])
        for name, plan in self.plans.items():
            asked_for = sum(item[0] == name for item in found if not isinstance(item, Failure))
            run.lead_on(plan, [made for (of, _), made in shared.items() if of == name], asked_for)


@dataclass(eq=False)
class Listed(Edge):
    """The rows of an index that name the parent, as a plain list."""

    attribute: str
    served: Served
    index: Index[Any]
    via: str
    limit: int
    name: str
    plan: ObjectPlan

    def __post_init__(self) -> None:
        window = Window(limit=self.limit, after=None, before=None, backward=False)
        self._query = self.served.page_query(self.index, {}, window)._replace(counted=False)

    def _values_of(self, key: str, claims: Claims) -> tuple[str, ...]:
        """The filters' values: the key, what the principal may see, and all others left out."""
        text = self.served.filter_text
        return tuple([text(name, key if name == self.via else None, claims) for name in self.index.fields])

    def ask(self, parents: Sequence[Any], run: Run) -> Any:
        attribute, values_of, claims = self.attribute, self._values_of, run.claims
        return run.pages(
            [self._query._replace(values=values_of(getattr(parent, attribute), claims)) for parent in parents]
        )

    def settle(self, parents: Sequence[Any], asked: Any, run: Run) -> None:
        made: list[Any] = []
        for place, parent in enumerate(parents, asked):
            page = run.answer.pages[place]
            value: Any
            if isinstance(page, Exception):
                value = run.failed(page)
            elif page.has_next:
                value = run.failed(TooManyRowsError(f"{self.name} has more than {self.limit} rows"))
            else:
                value = rows_of(self.plan, page, run)
                made += value
            setattr(parent, self.attribute, value)
        run.lead_on(self.plan, made)


def shown(plan: ObjectPlan, key: str, document: Document | Exception | None, run: Run) -> Any:
    """What a document shows: an object, None, or a Failure."""
    if document is None:
        return None
    if isinstance(document, Document):
        view = document.view
        return None if view is None else plan.make(key, document.version, view, run.claims)
    return run.failed(document)


def rows_of(plan: ObjectPlan, page: Page, run: Run) -> list[Any]:
    """The objects of a page; a row whose document shows nothing is not in it."""
    return [row_of(plan, row, run) for row in page.rows if row.document is not None and row.document.view is not None]


def row_of(plan: ObjectPlan, row: PageRow, run: Run) -> Any:
    """The object of a row that shows something, of a list that holds only what the principal may see."""
    document = row.document
    return plan.make(row.id, document.version, document.view, run.claims)  # type: ignore[union-attr,arg-type]  # the caller has looked
