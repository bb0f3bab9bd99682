"""The store in memory, for tests: both ports, with the semantics of the adapter for Redis, notices included.

Invariants: no call gives way to another task before it is done, so each is atomic; while `available` is False every call, and
every open change channel, raises StoreUnavailableError.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from itertools import islice
from typing import Final, TypeVar

from projections.errors import RebuildingError, StoreError, StoreMisconfiguredError, StoreUnavailableError
from projections.log.port import Partition
from projections.store import model, page
from projections.store.change import UNREAD, Applied, ApplyOutcome, BucketChange, Fence, Standing, Waiting
from projections.store.document import Document, pack
from projections.store.keys import SEPARATOR, Bucket, index_list, measure_list, member_id
from projections.store.model import BucketState
from projections.store.port import (
    DocumentKey,
    Listing,
    MeasureQuery,
    Notice,
    Page,
    PageQuery,
    ReadAnswer,
    Stored,
    Wanted,
)

A = TypeVar("A")
Q = TypeVar("Q")

DEFAULT_QUARANTINE_MAX: Final = 10_000
DEFAULT_QUEUE_MAX: Final = 1_000
CORRUPT: Final = b"not Headrace's"
"""What is stored where a test says that a document is corrupt."""


class MemoryStore:
    """Implements `ProjectorStore` and `ReaderStore`. `buckets` may be looked at, and set to an earlier copy, by tests."""

    def __init__(self, *, quarantine_max: int = DEFAULT_QUARANTINE_MAX, queue_max: int = DEFAULT_QUEUE_MAX) -> None:
        self.buckets: defaultdict[Bucket, BucketState] = defaultdict(BucketState)
        self._quarantine_max = quarantine_max
        self._queue_max = queue_max
        self._available = True
        self._channels: defaultdict[Bucket, set[asyncio.Queue[Sequence[Notice] | None]]] = defaultdict(set)

    @property
    def available(self) -> bool:
        """Whether the store answers. Setting it to False breaks open change channels."""
        return self._available

    @available.setter
    def available(self, value: bool) -> None:
        self._available = value
        if not value:
            for queue in [queue for channel in self._channels.values() for queue in channel]:
                queue.put_nowait(None)

    async def ping(self) -> None:
        self._answer()

    async def check(self) -> None:
        self._answer()

    async def close(self) -> None:
        self.available = False

    async def claim_buckets(self, projection: str, generation: int, buckets: int) -> int:
        self._answer()
        first = self.buckets[Bucket(projection, generation, 0)]
        first.count = buckets if first.count is None else first.count
        return first.count

    async def raise_fence(self, bucket: Bucket, partitions: Sequence[Partition], owner: str, now_ms: int) -> Fence:
        if not partitions:
            raise ValueError("a fence of no partitions")
        self._answer()
        return self.buckets[bucket].raise_fence(partitions, owner, now_ms)

    async def standing(self, bucket: Bucket) -> Standing:
        self._answer()
        state = self.buckets[bucket]
        positions, identities = dict(state.positions), dict(state.identities)
        return Standing(positions, identities, frozenset(state.caught_up), state.is_built)

    async def documents(self, bucket: Bucket, ids: Sequence[str]) -> list[Document | None]:
        self._answer()
        return [self.buckets[bucket].document(id) for id in ids]

    async def queued(self, bucket: Bucket, ids: Sequence[str]) -> list[list[Waiting]]:
        self._answer()
        return [self.buckets[bucket].queue(id) for id in ids]

    async def queue_places(self, bucket: Bucket, ids: Sequence[str]) -> list[list[Waiting]]:
        self._answer()
        queues = self.buckets[bucket].queues
        return [sorted(Waiting(place, at, UNREAD) for place, at in queues.get(id, {}).items()) for id in ids]

    async def entries(self, bucket: Bucket, coordinates: Sequence[str]) -> list[bytes | None]:
        self._answer()
        return [self.buckets[bucket].quarantine.get(at) for at in coordinates]

    async def apply(self, change: BucketChange) -> ApplyOutcome:
        self._answer()
        state = self.buckets[change.bucket]
        outcome = model.apply(state, change, quarantine_max=self._quarantine_max, queue_max=self._queue_max)
        if isinstance(outcome, Applied) and change.changes:
            self._publish(change.bucket, [Notice(item.id, *item.document.at) for item in change.changes])
        return outcome

    async def report(self, bucket: Bucket, live: Mapping[str, bytes]) -> None:
        self._answer()
        self.buckets[bucket].live = {**self.buckets[bucket].live, **live}

    async def quarantined(self, bucket: Bucket, limit: int | None = None) -> dict[str, bytes]:
        self._answer()
        return dict(islice(self.buckets[bucket].quarantine.items(), limit))

    async def quarantine_sizes(self, buckets: Sequence[Bucket]) -> list[int]:
        self._answer()
        return [len(self.buckets[bucket].quarantine) for bucket in buckets]

    async def read(self, wanted: Wanted) -> ReadAnswer:
        self._answer()
        return ReadAnswer(
            {
                bucket: [_or_error(self._document, DocumentKey(bucket, id)) for id in ids]
                for bucket, ids in wanted.documents.items()
            },
            {
                listing: [_or_error(self._list, (listing, name)) for name in names]
                for listing, names in wanted.lists.items()
            },
            [_or_error(self._page, query) for query in wanted.pages],
            [_or_error(self._measure, query) for query in wanted.measures],
        )

    async def bucket_count(self, projection: str, generation: int) -> int | None:
        self._answer()
        return self.buckets[Bucket(projection, generation, 0)].count

    async def reports(self, buckets: Sequence[Bucket]) -> list[dict[str, bytes]]:
        self._answer()
        return [dict(self.buckets[bucket].live) for bucket in buckets]

    @asynccontextmanager
    async def changes(self, bucket: Bucket) -> AsyncGenerator[AsyncIterator[Sequence[Notice]]]:
        self._answer()
        queue: asyncio.Queue[Sequence[Notice] | None] = asyncio.Queue()
        self._channels[bucket].add(queue)
        try:
            async with aclosing(_listen(queue)) as notices:
                yield notices
        finally:
            self._channels[bucket].discard(queue)

    def _answer(self) -> None:
        if not self._available:
            raise StoreUnavailableError("the store in memory is switched off")

    def _publish(self, bucket: Bucket, notices: Sequence[Notice]) -> None:
        for queue in self._channels[bucket]:
            queue.put_nowait(notices)

    def _document(self, key: DocumentKey) -> Stored | None:
        state = self.buckets[key.bucket]
        found = _stored(state, key.id)
        if found is None and not state.is_built:
            raise RebuildingError(f"{key.id!r} may still come")
        return found

    def _list(self, asked: tuple[Listing, str]) -> Page:
        listing, name = asked
        rows = [(entry, bucket) for bucket in page.buckets(listing) for entry in self._members(bucket, name)]
        rows.sort(key=lambda row: row[0], reverse=listing.descending)
        shown = rows[: listing.limit]
        members = [entry for entry, _ in shown]
        stored = [self._row(bucket, None, member_id(entry)) for entry, bucket in shown]
        return Page(members, stored, 0, has_previous=False, has_next=len(rows) > len(shown))

    def _page(self, query: PageQuery) -> Page:
        """Written from the port's words alone, not as the adapter for Redis gathers it: each checks the other."""
        page.walk(query)
        listed = [(entry, bucket) for bucket in page.buckets(query) for entry in self._listed(bucket, query)]
        listed.sort(key=lambda row: row[0], reverse=query.descending)
        start = sum(1 for entry, _ in listed if query.after and not _comes_after(entry, query.after, query))
        stop = sum(1 for entry, _ in listed if not query.before or _comes_after(query.before, entry, query))
        span = range(start, max(start, stop))
        span = span[len(span) - min(query.limit, len(span)) :] if query.backward else span[: query.limit]
        shown = listed[span.start : span.stop]
        members = [entry for entry, _ in shown]
        stored = [self._row(bucket, query.timeline, member_id(entry)) for entry, bucket in shown]
        if not shown:
            return Page([], [], len(listed), start > 0, stop < len(listed))
        return Page(members, stored, len(listed), span.start > 0, span.stop < len(listed))

    def _listed(self, bucket: Bucket, query: PageQuery) -> set[bytes]:
        if query.timeline is None:
            return self._members(bucket, index_list(query.index_name, query.values))
        appends = self._whole(bucket).timelines.get(query.timeline, {})
        return {append.member for append in appends.values()}

    def _row(self, bucket: Bucket, timeline: str | None, id: str) -> Stored | None:
        state = self.buckets[bucket]
        return _stored(state, id) if timeline is None else pack(Document(0, 1, 0, state.timelines[timeline][id].entry))

    def _measure(self, query: MeasureQuery) -> int | bytes | None:
        name = measure_list(query.measure, query.value)
        if not query.extreme:
            return sum(self._whole(bucket).numbers.get(name, 0) for bucket in page.buckets(query))
        members = [entry for bucket in page.buckets(query) for entry in self._members(bucket, name)]
        found = sorted(entry.rpartition(SEPARATOR)[0] for entry in members)
        return (found[-1] if query.extreme > 0 else found[0]) if found else None

    def _members(self, bucket: Bucket, name: str) -> set[bytes]:
        if name in self.buckets[bucket].mistyped:
            raise StoreMisconfiguredError("the store refused a command: WRONGTYPE")
        return self._whole(bucket).lists.get(name, set())

    def _whole(self, bucket: Bucket) -> BucketState:
        state = self.buckets[bucket]
        if not state.is_built:
            raise RebuildingError(f"bucket {bucket.number} of {bucket.projection} is being rebuilt")
        return state


def _stored(state: BucketState, id: str) -> Stored | None:
    if id in state.corrupt:
        return CORRUPT
    found = state.documents.get(id)
    return None if found is None else pack(found)


def _or_error(read: Callable[[Q], A], query: Q) -> A | StoreError:
    try:
        return read(query)
    except (RebuildingError, StoreMisconfiguredError) as error:
        return error


async def _listen(queue: asyncio.Queue[Sequence[Notice] | None]) -> AsyncGenerator[Sequence[Notice]]:
    while True:
        notices = await queue.get()
        if notices is None:
            raise StoreUnavailableError("the store in memory was switched off")
        yield notices


def _comes_after(entry: bytes, other: bytes, query: PageQuery) -> bool:
    return entry < other if query.descending else entry > other
