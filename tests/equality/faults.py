"""What goes wrong while an operation is answered, as data, and a store that makes it happen.

Invariants: a fault is the same for everybody who asks under it; it names what is stored and not how that is laid out, so that the
oracle can go by it, too.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from projections.errors import RebuildingError, StoreError, StoreMisconfiguredError, StoreUnavailableError
from projections.store.document import Document, pack, unpack
from projections.store.keys import Bucket, member_id
from projections.store.memory import CORRUPT, MemoryStore
from projections.store.port import Listing, MeasureQuery, Notice, Page, PageQuery, ReadAnswer, Stored, Wanted
from tests.equality.unfit import BROKEN, BadText, unfit
from tests.equality.world import BUCKETS, Name, World

Kind: TypeAlias = Literal["missing", "deleted", "broken", "changed", "error"]
OF_BAD_TEXT: Final = "a text that is no UTF-8"
EVERYTHING: Final = "*"
AWAY_S: Final = 1e6
REST_S: Final = 10.0
"""Longer than any read may take."""


class Fault(NamedTuple):
    """What is wrong with one document or entry. `view` is what it is CHANGED to, `data` the bytes that are BROKEN; an ERROR is
    bytes that Headrace did not write.
    """

    kind: Kind
    view: dict[str, Any] | None = None
    data: bytes = b""


@dataclass(frozen=True)
class Faults:
    """All that goes wrong in one answer.

    Args:
        documents: by projection and key, whoever reads them.
        vanished: documents that a page names and that are gone when it looks.
        later: documents that are so from the second trip on.
        entries: by timeline's key and event id.
        failing: lists ("orders.by_status"), measures ("orders.order_count") and timelines ("activity:") that cannot be read.
        unbuilt: buckets, by read model and number, that are not whole.
        stalled: a read model: a trip that asks for anything of it is not answered in time; EVERYTHING: any trip.
    """

    documents: Mapping[Name, Fault] = field(default_factory=dict[Name, Fault])
    vanished: frozenset[Name] = frozenset()
    later: Mapping[Name, Fault] = field(default_factory=dict[Name, Fault])
    entries: Mapping[Name, Fault] = field(default_factory=dict[Name, Fault])
    failing: frozenset[str] = frozenset()
    unbuilt: frozenset[tuple[str, int]] = frozenset()
    stalled: str | None = None

    @property
    def are_unfit(self) -> bool:
        """Whether something that is stored may not fit its declaration."""
        found = [*self.documents.values(), *self.entries.values()]
        return any(fault.kind in ("broken", "changed") for fault in found)

    def of(self, name: Name, trip: int, *, on_page: bool = False) -> Fault | None:
        """What is wrong with a document in a trip (0 is the first)."""
        if on_page and name in self.vanished:
            return Fault("missing")
        return (self.later.get(name) if trip else None) or self.documents.get(name)


NOTHING: Final = Faults()
LISTS: Final = (
    "orders.by_status",
    "orders.by_customer",
    "customers.by_segment",
    "products.by_brand",
    "payments.by_order",
    "shipments.by_order",
)
MEASURES: Final = ("orders.order_count", "orders.total_spent", "orders.last_order_at", "orders.revenue_by_day")
MODELS: Final = ("customers", "products", "orders", "payments", "shipments", "activity")


def draw(rng: random.Random, world: World) -> Faults:
    """What goes wrong in one answer."""
    chance = 0.45 + 0.55 * rng.random()
    names = [name for name in world.documents if not name[1].startswith("many-")]
    share = rng.choice([0.2, 0.6])
    hit = [name for name in names if rng.random() < share]
    if chance < 0.55:
        return Faults(
            {name: Fault(rng.choice(["missing", "deleted"])) for name in hit}, frozenset(rng.sample(names, 9))
        )
    if chance < 0.75:
        return Faults({name: _unfit(rng, world, name) for name in hit}, entries=_entries(rng, world))
    if chance < 0.82:
        return Faults({name: Fault("error") for name in hit})
    if chance < 0.87:
        return Faults(failing=frozenset(rng.sample([*LISTS, *MEASURES, "activity:"], rng.randint(1, 4))))
    if chance < 0.91:
        return Faults(unbuilt=frozenset((rng.choice(MODELS), rng.randrange(BUCKETS)) for _ in range(rng.randint(1, 4))))
    if chance < 0.95:
        return Faults(stalled=rng.choice([*MODELS, EVERYTHING]))
    return Faults(later={name: _moved(rng, world, name) for name in names if rng.random() < 0.4})


def _entries(rng: random.Random, world: World) -> dict[Name, Fault]:
    found: dict[Name, Fault] = {}
    for key, entries in world.entries.items():
        for entry in entries:
            if rng.random() < 0.5:
                found[key, entry["eventId"]] = _changed(rng, entry)
    return found


def _unfit(rng: random.Random, world: World, name: Name) -> Fault:
    view = world.documents[name].view
    return Fault("missing") if view is None else _changed(rng, view)


def _changed(rng: random.Random, view: dict[str, Any]) -> Fault:
    if rng.random() < 0.2:
        return Fault("broken", data=rng.choice(BROKEN))
    return Fault("changed", unfit(rng, view))


def _moved(rng: random.Random, world: World, name: Name) -> Fault:
    """Another document of the same kind in its place, or none. Nobody is born: a timeline that nobody has seen before has cursors
    that the oracle has not learnt.
    """
    others = [view for _, view in world.rows(name[0])]
    if world.documents[name].view is None:
        return Fault("deleted")
    return Fault("deleted") if rng.random() < 0.3 else Fault("changed", dict(rng.choice(others)))


class FaultyStore:
    """A ReaderStore over a store in memory, under `faults`; `begin` starts the count of trips."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.faults = NOTHING
        self.trips = 0

    async def begin(self, faults: Faults) -> None:
        """From now on these faults, and the first trip. What the last answer asked for and had no use for comes to its end."""
        await asyncio.sleep(REST_S)
        self.faults, self.trips = faults, 0

    async def read(self, wanted: Wanted) -> ReadAnswer:
        """As ReaderStore.read. Lets everybody who is ready go on first: an answer takes its time."""
        trip, self.trips = self.trips, self.trips + 1
        await asyncio.sleep(0.001)
        models = [bucket.projection for bucket in wanted.documents]
        for asked in (wanted.lists, wanted.pages, wanted.measures):
            models += [each.projection for each in asked]
        if self.faults.stalled in (EVERYTHING, *models):
            await asyncio.sleep(AWAY_S)
        found = await self._store.read(wanted)
        return ReadAnswer(
            {
                bucket: [
                    self._document(bucket, id, one, trip)
                    for id, one in zip(wanted.documents[bucket], documents, strict=True)
                ]
                for bucket, documents in found.documents.items()
            },
            {listing: [self._page(listing, page, trip) for page in pages] for listing, pages in found.lists.items()},
            [self._page(query, page, trip) for query, page in zip(wanted.pages, found.pages, strict=True)],
            [self._measure(query, number) for query, number in zip(wanted.measures, found.measures, strict=True)],
        )

    def _document(self, bucket: Bucket, id: str, found: Any, trip: int) -> Stored | StoreError | None:
        shown = _under(self.faults.of((bucket.projection, id), trip), found)
        if shown is None and (bucket.projection, bucket.number) in self.faults.unbuilt:
            return RebuildingError(f"{id!r} may still come")
        return shown

    def _page(self, query: Listing | PageQuery, page: Any, trip: int) -> Page | StoreError:
        if any((query.projection, number) in self.faults.unbuilt for number in range(query.buckets)):
            return RebuildingError("a bucket is being rebuilt")
        timeline = query.timeline if isinstance(query, PageQuery) else None
        if f"{query.projection}{':' if timeline is not None else f'.{query.index_name}'}" in self.faults.failing:
            return StoreMisconfiguredError("the store refused a command: WRONGTYPE")
        found: list[Stored | None] = []
        for id, one in zip(map(member_id, page.members), page.stored, strict=True):
            if timeline is not None:
                fault = self.faults.entries.get((timeline, id))
            else:
                fault = self.faults.of((query.projection, id), trip, on_page=True)
            found.append(_under(fault, one))
        shown: Page = page._replace(stored=found)
        return shown

    def _measure(self, query: MeasureQuery, number: Any) -> int | bytes | StoreError | None:
        if any((query.projection, bucket) in self.faults.unbuilt for bucket in range(query.buckets)):
            return RebuildingError("a bucket is being rebuilt")
        if f"{query.projection}.{query.measure}" in self.faults.failing:
            return StoreUnavailableError("no answer about this")
        found: int | bytes | None = number
        return found

    async def bucket_count(self, projection: str, generation: int) -> int | None:
        return await self._store.bucket_count(projection, generation)

    def changes(self, bucket: Bucket) -> AbstractAsyncContextManager[AsyncIterator[Sequence[Notice]]]:
        return self._store.changes(bucket)

    async def reports(self, buckets: Sequence[Bucket]) -> list[dict[str, bytes]]:
        return await self._store.reports(buckets)

    async def ping(self) -> None:
        await self._store.ping()

    async def close(self) -> None:
        await self._store.close()


def _under(fault: Fault | None, found: Stored | None) -> Stored | None:
    if fault is None:
        return found
    if fault.kind == "missing":
        return None
    if fault.kind == "error":
        return CORRUPT
    base = Document(0, 1, 0, None) if found is None else unpack(found)
    if fault.kind == "deleted":
        return pack(base._replace(view=None))
    return pack(base._replace(view=fault.data if fault.kind == "broken" else stored(fault.view or {})))


def stored(view: dict[str, Any]) -> bytes:
    """The bytes of a view; BadText becomes a text that is no UTF-8."""
    text = json.dumps(view, default=lambda value: OF_BAD_TEXT if isinstance(value, BadText) else value)
    return text.encode().replace(OF_BAD_TEXT.encode(), b"\xff\xfe")
