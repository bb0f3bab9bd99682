"""Edges that lead to documents: one by its key, several by their ids, and the rows of a list.

Invariants: a document is made once per edge and stage, whoever refers to it; a failed read is a Failure in the attributes of those
who asked for it, and of nobody else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress, islice
from typing import Any

from gateway.engine.asked import Places, stored
from gateway.engine.errors import PlanBrokenError
from gateway.engine.objects import ObjectPlan
from gateway.engine.run import Edge, Failure, Run
from gateway.engine.served import Served
from gateway.errors import TooManyRowsError
from projections.declare import Index
from projections.errors import StoreError, WireError
from projections.store.keys import member_id
from projections.store.port import Page, Stored
from projections.store.refusals import not_ours
from projections.store.stored import shown_rows
from schema.errors import BadIdError
from schema.ids import parse_id


@dataclass(eq=False)
class One(Edge):
    """An entity by the key in the attribute; null when that is null or names nothing."""

    attribute: str
    served: Served
    plan: ObjectPlan

    def ask(self, parents: Sequence[Any], run: Run) -> Any:
        attribute = self.attribute
        keys = [getattr(parent, attribute) for parent in parents]
        ids = list(dict.fromkeys(keys))
        if None in keys:
            ids.remove(None)
        return keys, ids, run.asking().documents(self.served.all_buckets, ids) if ids else ()

    def settle(self, parents: Sequence[Any], places: Any, run: Run) -> None:
        keys, ids, at = places
        objects = documents(self.plan, ids, at, run) if ids else []
        attribute, made = self.attribute, dict(zip(ids, objects, strict=True))
        for parent, key in zip(parents, keys, strict=True):
            setattr(parent, attribute, made.get(key))
        run.lead_on(self.plan, objects, len(keys) - keys.count(None))


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
        keys: dict[str, dict[str, None]] = {}
        for id in given if self.is_list else [given]:
            try:
                name, key = parse_id(id, self.plans)
            except BadIdError as error:
                found.append(run.failed(error))
                continue
            found.append((name, key))
            keys.setdefault(name, {})[key] = None
        by_type = {name: list(of_type) for name, of_type in keys.items()}
        return found, {
            name: (ids, run.asking().documents(self.served[name].all_buckets, ids)) for name, ids in by_type.items()
        }

    def settle(self, parents: Sequence[Any], places: Any, run: Run) -> None:
        found, by_type = places
        made: dict[tuple[str, str], Any] = {}
        for name, (ids, at) in by_type.items():
            objects = documents(self.plans[name], ids, at, run)
            made.update(zip([(name, id) for id in ids], objects, strict=True))
            asked_for = sum(item[0] == name for item in found if not isinstance(item, Failure))
            run.lead_on(self.plans[name], objects, asked_for)
        entries = [item if isinstance(item, Failure) else made[item] for item in found]
        [root] = parents
        setattr(root, self.attribute, entries if self.is_list else entries[0])


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
        self._listing = self.served.listing(self.index, self.limit)

    def ask(self, parents: Sequence[Any], run: Run) -> Any:
        keys = [getattr(parent, self.attribute) for parent in parents]
        return run.asking().lists(self._listing, self.served.list_names(self.index, self.via, keys, run.claims))

    def settle(self, parents: Sequence[Any], places: Any, run: Run) -> None:
        pages = run.answer.lists[self._listing]
        found = [self._whole(pages[place], run) for place in places]
        rows = rows_of(self.plan, [page for page in found if not isinstance(page, Failure)], run)
        made: list[Any] = []
        for parent, page in zip(parents, found, strict=True):
            value: Any = page if isinstance(page, Failure) else next(rows)
            setattr(parent, self.attribute, value)
            if not isinstance(value, Failure):
                made += value
        run.lead_on(self.plan, made)

    def _whole(self, page: Page | Exception, run: Run) -> Page | Failure:
        if isinstance(page, Exception):
            return run.failed(page)
        if page.has_next:
            try:
                shown_rows(page)
            except StoreError as error:  # which says more
                return run.failed(error)
            return run.failed(TooManyRowsError(f"{self.name} has more than {self.limit} rows"))
        return page


def documents(plan: ObjectPlan, ids: Sequence[str], places: Places, run: Run) -> Sequence[Any]:
    """What the documents with these ids show: objects, None, or Failures."""
    answered = stored(run.answer, places)
    found = plan.at_once(ids, answered, run.claims)
    if found is not None:
        return found
    if None in answered:
        there = [one is not None for one in answered]
        found = plan.at_once(list(compress(ids, there)), list(compress(answered, there)), run.claims)
        if found is not None:
            rest = iter(found)
            return [next(rest) if is_there else None for is_there in there]
    return [_document(plan, id, one, run) for id, one in zip(ids, answered, strict=True)]


def _document(plan: ObjectPlan, id: str, found: Stored | Exception | None, run: Run) -> Any:
    if found is None:
        return None
    if isinstance(found, Exception):
        return run.failed(found)
    try:
        return plan.one(id, found, run.claims)
    except WireError:
        return run.failed(not_ours(id))
    except PlanBrokenError as reason:
        return run.unfit(reason)


def rows_of(plan: ObjectPlan, pages: Sequence[Page], run: Run) -> Iterator[list[Any] | Failure]:
    """The objects of each page; a row whose document shows nothing is not in it."""
    ids = [member_id(member) for page in pages for member in page.members] if plan.is_keyed else []
    made = plan.at_once(ids, [one for page in pages for one in page.stored], run.claims)
    if made is None:
        return iter([_rows(plan, page, run) for page in pages])
    rest = iter(made)
    return iter([list(islice(rest, len(page.stored))) for page in pages])


def _rows(plan: ObjectPlan, page: Page, run: Run) -> list[Any] | Failure:
    try:
        shown = shown_rows(page)
    except StoreError as error:
        return run.failed(error)
    return made_rows(plan, shown, run)


def made_rows(plan: ObjectPlan, page: Page, run: Run) -> list[Any]:
    """The objects of rows that all show something."""
    ids = list(map(member_id, page.members))
    made = plan.at_once(ids, page.stored, run.claims)
    if made is not None:
        return list(made)
    return [_document(plan, id, one, run) for id, one in zip(ids, page.stored, strict=True)]
