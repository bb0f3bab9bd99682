"""The batched reader: what all requests ask for in one tick of the loop goes to the store in one round trip.

Invariants: within a trip everything is asked once; documents are read before pages and measures; a trip that was sent is never
joined, so nobody gets an answer that is older than its question; a requester that goes away takes nothing from the others, and
when all have gone before it is sent, nothing is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar

from gateway.engine.asked import Asked
from gateway.engine.trip import Trip, fail
from projections.errors import RebuildingError, StoreError, StoreUnavailableError
from projections.store.document import Document
from projections.store.keys import Bucket
from projections.store.port import (
    DocumentKey,
    Listing,
    MeasureQuery,
    Number,
    Page,
    PageQuery,
    ReadAnswer,
    ReaderStore,
    Wanted,
)
from projections.store.stored import read_document

A = TypeVar("A")

Vouched: TypeAlias = tuple[asyncio.Future[A], list[asyncio.Future[Document | None]]]
"""What was asked for, and the documents that are to vouch for it."""

DEFAULT_DEADLINE_S: Final = 1.0
MAX_DOCUMENTS: Final = 2000
"""Of one call of the store: some 2 ms of its time."""


class BatchedReader:
    """Collects reads and makes the trips. One per process; use on one loop; close when done.

    Args:
        store: where documents are.
        tasks: owns the trips that take a task; they never raise, and end with the group.
        deadline_s: a trip that takes longer fails with StoreUnavailableError, whatever the store makes of it afterwards.
        max_documents: documents per call of the store; more are split over several that go out together.
    """

    def __init__(
        self,
        store: ReaderStore,
        tasks: asyncio.TaskGroup,
        *,
        deadline_s: float = DEFAULT_DEADLINE_S,
        max_documents: int = MAX_DOCUMENTS,
    ) -> None:
        self._store = store
        self._tasks = tasks
        self._loop = asyncio.get_running_loop()  # asked once: before Python 3.12 every asking is a system call
        self._deadline_s = deadline_s
        self._max_documents = max_documents
        self._next: Trip | None = None
        self._under_way: dict[Trip, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self.trips_made = 0

    def collect(self, *, alone: bool = False) -> Trip:
        """See Reads: the tick's trip, which is sent when the tick is over, or one of its own, which is when it is read."""
        return Trip(self._loop) if alone else self._trip()

    def read(self, asked: Asked) -> asyncio.Future[ReadAnswer]:
        """See Reads. The answer has what others asked for, too."""
        assert isinstance(asked, Trip)  # noqa: S101 - of `collect`
        if asked is not self._next:
            self._loop.call_soon(self._send, asked)
        return asked.whole()

    def begin(self, asked: Asked) -> asyncio.Future[ReadAnswer]:
        """See Reads."""
        return self.read(asked)

    def own(self, reading: Awaitable[A]) -> asyncio.Future[A]:
        """What it comes to, in a task of the group."""
        future: asyncio.Future[A] = self._loop.create_future()
        settling = _settle(future, reading)
        try:
            self._tasks.create_task(settling)
        except RuntimeError:  # the group has ended: whoever asks on the way out is told so, and does not wait for ever
            settling.close()
            if asyncio.iscoroutine(reading):
                reading.close()
            fail(future, _stopping())
        return future

    def join(self, wanted: Wanted) -> asyncio.Future[ReadAnswer]:
        """Asks for all of it in the tick's trip; the answer has that alone, in its order."""
        trip = self._trip()
        documents = {bucket: [trip.document(bucket, id) for id in ids] for bucket, ids in wanted.documents.items()}
        lists = {listing: trip.lists(listing, names) for listing, names in wanted.lists.items()}
        pages, measures = trip.pages(wanted.pages), trip.measures(wanted.measures)
        return trip.wait(
            lambda read: ReadAnswer(
                {bucket: [read.documents[bucket][place] for place in places] for bucket, places in documents.items()},
                {listing: [read.lists[listing][place] for place in places] for listing, places in lists.items()},
                [read.pages[place] for place in pages],
                [read.measures[place] for place in measures],
            )
        )

    def document(self, key: DocumentKey) -> asyncio.Future[Document | None]:
        """Asks for a document now; the answer comes with the tick's trip. Raises StoreError when awaited."""
        trip, bucket = self._trip(), key.bucket
        place = trip.document(bucket, key.id)
        return trip.wait(lambda read: _document(key, read.documents[bucket][place]))

    def rows(self, listing: Listing, name: str, vouchers: Sequence[DocumentKey] = ()) -> Vouched[Page]:
        """Asks for a list now, and for the documents that are to vouch for it, as for a page."""
        trip = self._trip()
        [place] = trip.lists(listing, [name])
        return trip.wait(lambda read: read.lists[listing][place]), self.vouch(vouchers)

    def page(self, query: PageQuery, vouchers: Sequence[DocumentKey] = ()) -> Vouched[Page]:
        """Asks for a page now, and for the documents that are to vouch for it: they are read before it, in the same trip.

        Raises StoreError when awaited; RebuildingError among them.
        """
        trip = self._trip()
        [place] = trip.pages([query])
        return trip.wait(lambda read: read.pages[place]), self.vouch(vouchers)

    def measure(self, query: MeasureQuery, vouchers: Sequence[DocumentKey] = ()) -> Vouched[Number]:
        """Asks for a measure now, and for the documents that are to vouch for it, as for a page."""
        trip = self._trip()
        [place] = trip.measures([query])
        return trip.wait(lambda read: read.measures[place]), self.vouch(vouchers)

    def vouch(self, keys: Sequence[DocumentKey]) -> list[asyncio.Future[Document | None]]:
        """Asks for documents that vouch for whatever else is asked for in this tick: they are read before it, in the same trip."""
        self._trip().vouchers.update(keys)
        return [self.document(key) for key in keys]

    def _trip(self) -> Trip:
        """The trip that is being collected, begun when there is none."""
        if self._next is None:
            self._next = Trip(self._loop)
            self._loop.call_soon(self._send, self._next)
        return self._next

    def _send(self, trip: Trip) -> None:
        if trip is self._next:
            self._next = None
        if not trip.is_awaited():
            return
        try:
            reading = self._reading(trip)
        except Exception as error:  # noqa: BLE001 - handed to everybody who asked
            trip.fail(error)
            return
        self._under_way[trip] = self._loop.time() + self._deadline_s
        if self._timer is None:
            self._timer = self._loop.call_later(self._deadline_s, self._look)
        reading.add_done_callback(partial(self._arrived, trip))

    def _reading(self, trip: Trip) -> asyncio.Future[ReadAnswer]:
        """What the trip comes to: what the store promises, or a task of the group."""
        wanted = trip.wanted()
        if sum(map(len, wanted.documents.values())) <= self._max_documents:
            self.trips_made += 1
            reading = self._store.read(wanted)
            return reading if isinstance(reading, asyncio.Future) else self.own(reading)
        return self.own(self._split(wanted, trip.vouchers))

    def _arrived(self, trip: Trip, reading: asyncio.Future[ReadAnswer]) -> None:
        """Hands on what a trip came to."""
        self._under_way.pop(trip, None)
        error = _stopping() if reading.cancelled() else reading.exception()
        if error is None:
            trip.answer(reading.result())
        elif isinstance(error, Exception):
            trip.fail(error)

    def _look(self) -> None:
        """Fails trips that are overdue, and looks again when the next one may be: one timer for all."""
        self._timer, now_s = None, self._loop.time()
        while self._under_way:
            trip, overdue_s = next(iter(self._under_way.items()))
            if overdue_s > now_s:
                self._timer = self._loop.call_at(overdue_s, self._look)
                return
            del self._under_way[trip]
            trip.fail_late()

    async def _split(self, wanted: Wanted, vouchers: Iterable[DocumentKey]) -> ReadAnswer:
        """Lists, pages and measures travel with everything that vouches for them."""
        keys = [DocumentKey(bucket, id) for bucket, ids in wanted.documents.items() for id in ids]
        first = dict.fromkeys(vouchers)
        rest = [key for key in keys if key not in first]
        chunks = [rest[i : i + self._max_documents] for i in range(0, len(rest), self._max_documents)]
        last = [*(chunks.pop() if chunks else ()), *first]
        self.trips_made += len(chunks) + 1
        whole, *others = await asyncio.gather(
            self._store.read(wanted._replace(documents=_by_bucket(last))),
            *(self._store.read(Wanted(_by_bucket(chunk))) for chunk in chunks),
        )
        found: dict[DocumentKey, Any] = {}
        for chunk, answer in zip((last, *chunks), (whole, *others), strict=True):
            by_bucket = {bucket: iter(documents) for bucket, documents in answer.documents.items()}
            found.update((key, next(by_bucket[key.bucket])) for key in chunk)
        documents = {bucket: [found[DocumentKey(bucket, id)] for id in ids] for bucket, ids in wanted.documents.items()}
        return whole._replace(documents=documents)


async def _settle(future: asyncio.Future[A], reading: Awaitable[A]) -> None:
    """Puts what it comes to into the future: a task of a group must not raise."""
    try:
        found = await reading
    except asyncio.CancelledError:
        if not future.done():
            fail(future, _stopping())
        raise
    except Exception as error:  # noqa: BLE001 - whoever waits is told
        if not future.done():
            fail(future, error)
    else:
        if not future.done():
            future.set_result(found)


def _stopping() -> StoreUnavailableError:
    return StoreUnavailableError("the gateway is stopping")


def _by_bucket(keys: Iterable[DocumentKey]) -> dict[Bucket, list[str]]:
    found: dict[Bucket, list[str]] = {}
    for bucket, id in keys:
        found.setdefault(bucket, []).append(id)
    return found


def _document(key: DocumentKey, found: bytes | StoreError | None) -> Document | StoreError | None:
    """A document, or what is wrong with it, as a value."""
    if not isinstance(found, bytes):
        return found
    try:
        return read_document(key.id, found)
    except StoreError as error:
        return error


async def settled(asked: Awaitable[A]) -> A | RebuildingError:
    """What was asked for, or that it is being rebuilt, as a value. Raises StoreError for anything else."""
    try:
        return await asked
    except RebuildingError as error:
        return error
