"""The batched reader: what all requests ask for in one tick of the loop goes to the store in one round trip.

Invariants: within a trip keys are asked once; documents are read before pages; a trip that was sent is never joined, so nobody gets
an answer that is older than its question; a requester that goes away takes nothing from the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Generic, TypeVar

from projections.errors import StoreUnavailableError
from projections.store.document import Document
from projections.store.port import DocumentKey, Page, PageQuery, ReaderStore

A = TypeVar("A")


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
        self._documents: dict[DocumentKey, _Asked[Document | None]] = {}
        self._pages: dict[PageQuery, _Asked[Page]] = {}
        self._vouchers: set[DocumentKey] = set()
        self._scheduled = False
        self.trips_made = 0

    def document(self, key: DocumentKey) -> asyncio.Future[Document | None]:
        """Asks for a document now; the answer comes with the tick's trip. Raises StoreUnavailableError when awaited."""
        return self._ask(self._documents, key)

    def page(
        self, query: PageQuery, vouchers: Sequence[DocumentKey] = ()
    ) -> tuple[asyncio.Future[Page], list[asyncio.Future[Document | None]]]:
        """Asks for a page now, and for the documents that are to vouch for it: they are read before it, in the same trip.

        Raises StoreUnavailableError when awaited.
        """
        self._vouchers.update(vouchers)
        return self._ask(self._pages, query), [self._ask(self._documents, key) for key in vouchers]

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
        documents, pages, vouchers = self._documents, self._pages, self._vouchers
        self._documents, self._pages, self._vouchers, self._scheduled = {}, {}, set(), False
        keys = [key for key in documents if key not in vouchers]
        full = len(keys) - len(keys) % self._max_documents if len(keys) > self._max_documents else 0
        chunks = [keys[i : i + self._max_documents] for i in range(0, full, self._max_documents)]
        for chunk in chunks:
            self._start({key: documents[key] for key in chunk}, {})
        rest = [*keys[full:], *(key for key in documents if key in vouchers)]
        if rest or pages:  # pages travel with everything that vouches for them
            self._start({key: documents[key] for key in rest}, pages)

    def _start(
        self, documents: dict[DocumentKey, _Asked[Document | None]], pages: dict[PageQuery, _Asked[Page]]
    ) -> None:
        trip = self._trip(documents, pages)
        try:
            self._tasks.create_task(trip)
        except RuntimeError:  # the group has ended: whoever asks on the way out is told so, and does not wait for ever
            trip.close()
            _fail([*documents.values(), *pages.values()], StoreUnavailableError("the gateway is stopping"))

    async def _trip(
        self, documents: dict[DocumentKey, _Asked[Document | None]], pages: dict[PageQuery, _Asked[Page]]
    ) -> None:
        self.trips_made += 1
        everybody: Sequence[_Asked[Document | None] | _Asked[Page]] = [*documents.values(), *pages.values()]
        try:
            async with asyncio.timeout(self._deadline_s):
                found, read = await self._store.read(list(documents), list(pages))
            for asked, document in zip(documents.values(), found, strict=True):
                asked.answer(document)
            for asked_page, page in zip(pages.values(), read, strict=True):
                asked_page.answer(page)
        except TimeoutError:
            _fail(everybody, StoreUnavailableError("the store of read models did not answer in time"))
        except asyncio.CancelledError:
            _fail(everybody, StoreUnavailableError("the gateway is stopping"))
            raise
        except Exception as error:  # noqa: BLE001 - handed to everybody who asked
            _fail(everybody, error)


K = TypeVar("K", DocumentKey, PageQuery)


def _fail(everybody: Sequence[_Asked[Document | None] | _Asked[Page]], error: Exception) -> None:
    for asked in everybody:
        asked.fail(error)
