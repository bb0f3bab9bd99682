"""The store in memory, for tests: both ports, with the semantics of the adapter for Redis, notices included.

Invariants: no call gives way to another task before it is done, so each is atomic; while `available` is False every call, and
every open change channel, raises StoreUnavailableError.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

from projections.errors import StoreError, StoreMisconfiguredError, StoreUnavailableError
from projections.log.port import Partition
from projections.store import page
from projections.store.document import Document
from projections.store.keys import Bucket, member_id
from projections.store.port import (
    Applied,
    ApplyOutcome,
    BucketChange,
    Change,
    Conflict,
    DocumentKey,
    Full,
    Notice,
    Page,
    PageQuery,
    PageRow,
    Regressed,
)

A = TypeVar("A")
P = ParamSpec("P")

DEFAULT_QUARANTINE_MAX = 10_000


@dataclass
class BucketState:
    """All that is stored of one bucket."""

    documents: dict[str, Document] = field(default_factory=dict[str, Document])
    lists: dict[tuple[str, tuple[str, ...]], set[bytes]] = field(default_factory=lambda: defaultdict(set))
    positions: dict[Partition, int] = field(default_factory=dict[Partition, int])
    quarantine: dict[str, bytes] = field(default_factory=dict[str, bytes])
    live: dict[str, bytes] = field(default_factory=dict[str, bytes])
    count: int | None = None
    corrupt: set[str] = field(default_factory=set[str])
    """Ids whose documents are bytes that Headrace did not write: for tests to set."""
    mistyped: set[tuple[str, tuple[str, ...]]] = field(default_factory=set[tuple[str, tuple[str, ...]]])
    """Lists (index, values) whose keys are of another type: for tests to set."""


class MemoryStore:
    """Implements `ProjectorStore` and `ReaderStore`. `buckets` may be looked at, and set to an earlier copy, by tests."""

    def __init__(self, *, quarantine_max: int = DEFAULT_QUARANTINE_MAX) -> None:
        self.buckets: defaultdict[Bucket, BucketState] = defaultdict(BucketState)
        self._quarantine_max = quarantine_max
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

    async def positions(self, bucket: Bucket) -> dict[Partition, int]:
        self._answer()
        return dict(self.buckets[bucket].positions)

    async def documents(self, bucket: Bucket, ids: Sequence[str]) -> list[Document | None]:
        self._answer()
        return [self._document(bucket, id) for id in ids]

    async def apply(self, change: BucketChange) -> ApplyOutcome:
        self._answer()
        state = self.buckets[change.bucket]
        stored = {at: state.positions.get(at, 0) for at in change.positions}
        if any(stored[at] != advance.expected for at, advance in change.positions.items()):
            return Regressed(stored)
        for item in change.changes:
            self._document(change.bucket, item.id)
        wanted, conflicts = _sift(change.changes, state)
        if conflicts:
            return Conflict(conflicts)
        size = len(state.quarantine)
        after = len(state.quarantine.keys() | {entry.coordinates for entry in change.set_aside})
        if after > size and after > self._quarantine_max:
            return Full(size)
        for item in wanted:
            _write(item, state)
        state.quarantine.update((entry.coordinates, entry.entry) for entry in change.set_aside)
        state.positions.update((at, advance.next) for at, advance in change.positions.items())
        if wanted:
            self._publish(change.bucket, [Notice(item.id, *item.document.at) for item in wanted])
        return Applied(len(wanted), len(change.changes) - len(wanted), len(change.set_aside))

    async def report(self, bucket: Bucket, live: Mapping[str, bytes]) -> None:
        self._answer()
        self.buckets[bucket].live = dict(live)

    async def quarantined(self, bucket: Bucket) -> dict[str, bytes]:
        self._answer()
        return dict(self.buckets[bucket].quarantine)

    async def read(
        self, documents: Sequence[DocumentKey], pages: Sequence[PageQuery]
    ) -> tuple[list[Document | StoreError | None], list[Page | StoreError]]:
        self._answer()
        found = [_or_error(self._document, *key) for key in documents]
        return found, [_or_error(self._page, query) for query in pages]

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

    def _document(self, bucket: Bucket, id: str) -> Document | None:
        if id in self.buckets[bucket].corrupt:
            raise StoreMisconfiguredError(f"at {bucket.document(id)!r} is something that Headrace did not write")
        return self.buckets[bucket].documents.get(id)

    def _page(self, query: PageQuery) -> Page:
        """Written from the port's words alone, not as the adapter for Redis gathers it: each checks the other."""
        page.walk(query)
        if any((query.index, query.values) in self.buckets[bucket].mistyped for bucket in page.buckets(query)):
            raise StoreMisconfiguredError("the store refused a command: WRONGTYPE")
        listed = [
            (entry, bucket)
            for bucket in page.buckets(query)
            for entry in self.buckets[bucket].lists[query.index, query.values]
        ]
        listed.sort(key=lambda row: row[0], reverse=query.descending)
        start = sum(1 for entry, _ in listed if query.after and not _comes_after(entry, query.after, query))
        stop = sum(1 for entry, _ in listed if not query.before or _comes_after(query.before, entry, query))
        span = range(start, max(start, stop))
        span = span[len(span) - min(query.limit, len(span)) :] if query.backward else span[: query.limit]
        shown = [(entry, bucket, member_id(entry)) for entry, bucket in listed[span.start : span.stop]]
        rows = [PageRow(entry, id, self._document(bucket, id)) for entry, bucket, id in shown]
        if not rows:
            return Page(rows, len(listed), start > 0, stop < len(listed))
        return Page(rows, len(listed), span.start > 0, span.stop < len(listed))


def _or_error(read: Callable[P, A], *arguments: P.args, **names: P.kwargs) -> A | StoreError:
    try:
        return read(*arguments, **names)
    except StoreMisconfiguredError as error:
        return error


async def _listen(queue: asyncio.Queue[Sequence[Notice] | None]) -> AsyncGenerator[Sequence[Notice]]:
    while True:
        notices = await queue.get()
        if notices is None:
            raise StoreUnavailableError("the store in memory was switched off")
        yield notices


def _comes_after(entry: bytes, other: bytes, query: PageQuery) -> bool:
    return entry < other if query.descending else entry > other


def _sift(changes: Sequence[Change], state: BucketState) -> tuple[list[Change], list[str]]:
    """The items to write, and the ids of those that were folded from another document."""
    wanted: list[Change] = []
    conflicts: list[str] = []
    for item in changes:
        stored = state.documents.get(item.id)
        if stored is not None and stored.at >= item.document.at:
            continue
        if (stored.at if stored else None) == item.base:
            wanted.append(item)
        else:
            conflicts.append(item.id)
    return wanted, conflicts


def _write(item: Change, state: BucketState) -> None:
    state.documents[item.id] = item.document
    for entry in item.removed:
        state.lists[entry.list_name, entry.values].discard(entry.member)
    for entry in item.added:
        state.lists[entry.list_name, entry.values].add(entry.member)
