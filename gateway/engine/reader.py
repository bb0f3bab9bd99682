"""The batched reader: what all requests ask for in one tick of the loop goes to the store in one round trip.

Invariants: within a trip keys are asked once; documents are read before pages and measures; a trip that was sent is never joined,
so nobody gets an answer that is older than its question; a requester that goes away takes nothing from the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

from projections.errors import RebuildingError, StoreUnavailableError
from projections.store.document import Document
from projections.store.port import DocumentKey, MeasureQuery, Page, PageQuery, ReaderStore

A = TypeVar("A")
K = TypeVar("K", DocumentKey, PageQuery, MeasureQuery)

Number: TypeAlias = int | bytes | None
"""A measure as it is stored (projections.store.port.ReadAnswer)."""
Vouched: TypeAlias = tuple[asyncio.Future[A], list[asyncio.Future[Document | None]]]
"""What was asked for, and the documents that are to vouch for it."""


class _Asked(Generic[A]):
    """Those who wait for one answer."""

    __slots__ = ("futures",)

    def __init__(self) -> None:
        self.futures: list[asyncio.Future[A]] = []

    def answer(self, value: A | Exception) -> None:
        """Hands the answer to all; an exception is the failure of this one item, and of no other."""
        if isinstance(value, Exception):
            self.fail(value)
            return
        for future in self.futures:
            if not future.done():
                future.set_result(value)

    def fail(self, error: Exception) -> None:
        for future in self.futures:
            if not future.done():
                future.set_exception(error)
                future.exception()  # seen: a requester that left must not make the loop complain


@dataclass
class _Trip:
    """What goes to the store together."""

    documents: dict[DocumentKey, _Asked[Document | None]] = field(default_factory=dict[DocumentKey, Any])
    pages: dict[PageQuery, _Asked[Page]] = field(default_factory=dict[PageQuery, Any])
    measures: dict[MeasureQuery, _Asked[Number]] = field(default_factory=dict[MeasureQuery, Any])
    vouchers: set[DocumentKey] = field(default_factory=set[DocumentKey])

    def fail(self, error: Exception) -> None:
        """Tells everybody."""
        everybody: list[_Asked[Any]] = [*self.documents.values(), *self.pages.values(), *self.measures.values()]
        for asked in everybody:
            asked.fail(error)


class BatchedReader:
    """Collects reads and makes the trips. One per process; use on one loop; close when done.

    Args:
        store: where documents are.
        tasks: owns the trips; trips never raise, and end with the group.
        deadline_s: a trip that takes longer fails with StoreUnavailableError.
        max_documents: documents per trip; more are split over several trips that go out together.
    """

    def __init__(
        self, store: ReaderStore, tasks: asyncio.TaskGroup, *, deadline_s: float = 1.0, max_documents: int = 2000
    ) -> None:
        self._store = store
        self._tasks = tasks
        self._deadline_s = deadline_s
        self._max_documents = max_documents
        self._next = _Trip()
        self._scheduled = False
        self.trips_made = 0

    def document(self, key: DocumentKey) -> asyncio.Future[Document | None]:
        """Asks for a document now; the answer comes with the tick's trip. Raises StoreError when awaited."""
        return self._ask(self._next.documents, key)

    def page(self, query: PageQuery, vouchers: Sequence[DocumentKey] = ()) -> Vouched[Page]:
        """Asks for a page now, and for the documents that are to vouch for it: they are read before it, in the same trip.

        Raises StoreError when awaited; RebuildingError among them.
        """
        return self._ask(self._next.pages, query), self._vouch(vouchers)

    def measure(self, query: MeasureQuery, vouchers: Sequence[DocumentKey] = ()) -> Vouched[Number]:
        """Asks for a measure now, and for the documents that are to vouch for it, as for a page."""
        return self._ask(self._next.measures, query), self._vouch(vouchers)

    def _vouch(self, keys: Sequence[DocumentKey]) -> list[asyncio.Future[Document | None]]:
        self._next.vouchers.update(keys)
        return [self._ask(self._next.documents, key) for key in keys]

    def _ask(self, asked: dict[K, _Asked[A]], key: K) -> asyncio.Future[A]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[A] = loop.create_future()
        if key not in asked:
            asked[key] = _Asked()
        asked[key].futures.append(future)
        if not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._send)
        return future

    def _send(self) -> None:
        trip, self._next, self._scheduled = self._next, _Trip(), False
        documents = trip.documents
        keys = [key for key in documents if key not in trip.vouchers]
        full = len(keys) - len(keys) % self._max_documents if len(keys) > self._max_documents else 0
        chunks = [keys[i : i + self._max_documents] for i in range(0, full, self._max_documents)]
        for chunk in chunks:
            self._start(_Trip({key: documents[key] for key in chunk}))
        rest = [*keys[full:], *(key for key in documents if key in trip.vouchers)]
        if rest or trip.pages or trip.measures:  # pages and measures travel with everything that vouches for them
            self._start(_Trip({key: documents[key] for key in rest}, trip.pages, trip.measures))

    def _start(self, trip: _Trip) -> None:
        making = self._make(trip)
        try:
            self._tasks.create_task(making)
        except RuntimeError:  # the group has ended: whoever asks on the way out is told so, and does not wait for ever
            making.close()
            trip.fail(StoreUnavailableError("the gateway is stopping"))

    async def _make(self, trip: _Trip) -> None:
        self.trips_made += 1
        try:
            async with asyncio.timeout(self._deadline_s):
                read = await self._store.read(list(trip.documents), list(trip.pages), list(trip.measures))
            for asked, document in zip(trip.documents.values(), read.documents, strict=True):
                asked.answer(document)
            for asked_page, page in zip(trip.pages.values(), read.pages, strict=True):
                asked_page.answer(page)
            for asked_number, number in zip(trip.measures.values(), read.measures, strict=True):
                asked_number.answer(number)
        except TimeoutError:
            trip.fail(StoreUnavailableError("the store of read models did not answer in time"))
        except asyncio.CancelledError:
            trip.fail(StoreUnavailableError("the gateway is stopping"))
            raise
        except Exception as error:  # noqa: BLE001 - handed to everybody who asked
            trip.fail(error)


async def settled(asked: Awaitable[A]) -> A | RebuildingError:
    """What was asked for, or that it is being rebuilt, as a value. Raises StoreError for anything else."""
    try:
        return await asked
    except RebuildingError as error:
        return error
