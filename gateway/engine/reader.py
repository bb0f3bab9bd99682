"""The batched reader: what all requests ask for in one tick of the loop goes to the store in one round trip.

Invariants: within a trip everything is asked once; documents are read before pages and measures; a trip that was sent is never
joined, so nobody gets an answer that is older than its question; a requester that goes away takes nothing from the others, and
when all have gone before it is sent, nothing is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, TypeVar

from projections.errors import RebuildingError, StoreError, StoreUnavailableError
from projections.store.document import Document
from projections.store.port import DocumentKey, MeasureQuery, Page, PageQuery, ReadAnswer, ReaderStore

A = TypeVar("A")

Number: TypeAlias = int | bytes | None
"""A measure as it is stored (projections.store.port.ReadAnswer)."""
Vouched: TypeAlias = tuple[asyncio.Future[A], list[asyncio.Future[Document | None]]]
"""What was asked for, and the documents that are to vouch for it."""

DEFAULT_DEADLINE_S: Final = 1.0
MAX_DOCUMENTS: Final = 2000
"""Of one call of the store: some 2 ms of its time."""


@dataclass
class _Trip:
    """What goes to the store together: each thing with its place in the answer, and those who wait."""

    loop: asyncio.AbstractEventLoop
    documents: dict[DocumentKey, int] = field(default_factory=dict[DocumentKey, int])
    pages: dict[PageQuery, int] = field(default_factory=dict[PageQuery, int])
    measures: dict[MeasureQuery, int] = field(default_factory=dict[MeasureQuery, int])
    vouchers: set[DocumentKey] = field(default_factory=set[DocumentKey])
    waiting: list[tuple[asyncio.Future[Any], Callable[[ReadAnswer], Any]]] = field(default_factory=list[Any])

    def wait(self, pick: Callable[[ReadAnswer], A | StoreError]) -> asyncio.Future[A]:
        """What somebody gets of the answer; an exception that is picked is raised where it is awaited."""
        future: asyncio.Future[A] = self.loop.create_future()
        self.waiting.append((future, pick))
        return future

    def answer(self, read: ReadAnswer) -> None:
        """Hands everybody their share."""
        for future, pick in self.waiting:
            if not future.done():
                value = pick(read)
                if isinstance(value, Exception):
                    _fail(future, value)
                else:
                    future.set_result(value)

    def fail(self, error: Exception) -> None:
        """Tells everybody: a failure of the whole is the answer to each item."""
        failures: list[Any] = [error]
        self.answer(
            ReadAnswer(failures * len(self.documents), failures * len(self.pages), failures * len(self.measures))
        )

    def fail_late(self) -> None:
        """Tells everybody that the store took too long. The error is the trip's own: each raise grows its traceback."""
        self.fail(StoreUnavailableError("the store of read models did not answer in time"))

    def is_awaited(self) -> bool:
        """Whether anybody still waits."""
        return any(not future.done() for future, _ in self.waiting)


class BatchedReader:
    """Collects reads and makes the trips. One per process; use on one loop; close when done.

    Args:
        store: where documents are.
        tasks: owns the trips; trips never raise, and end with the group.
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
        self._next: _Trip | None = None
        self.trips_made = 0

    def read(
        self, documents: Sequence[DocumentKey], pages: Sequence[PageQuery], measures: Sequence[MeasureQuery]
    ) -> asyncio.Future[ReadAnswer]:
        """Asks for all of it now; the answer comes with the tick's trip, in the order of what was asked.

        Whatever fails is in the place of its item, also when the trip fails as a whole. The answer may be another's too.
        """
        trip = self._trip()
        of_documents = _places(trip.documents, documents)
        of_pages = _places(trip.pages, pages)
        of_measures = _places(trip.measures, measures)

        def pick(read: ReadAnswer) -> ReadAnswer:
            found, rows, numbers = read
            return ReadAnswer(
                [found[place] for place in of_documents],
                [rows[place] for place in of_pages],
                [numbers[place] for place in of_measures],
            )

        return trip.wait(pick)

    def document(self, key: DocumentKey) -> asyncio.Future[Document | None]:
        """Asks for a document now; the answer comes with the tick's trip. Raises StoreError when awaited."""
        trip = self._trip()
        [place] = _places(trip.documents, [key])
        return trip.wait(lambda read: read.documents[place])

    def page(self, query: PageQuery, vouchers: Sequence[DocumentKey] = ()) -> Vouched[Page]:
        """Asks for a page now, and for the documents that are to vouch for it: they are read before it, in the same trip.

        Raises StoreError when awaited; RebuildingError among them.
        """
        trip = self._trip()
        [place] = _places(trip.pages, [query])
        return trip.wait(lambda read: read.pages[place]), self._vouch(vouchers)

    def measure(self, query: MeasureQuery, vouchers: Sequence[DocumentKey] = ()) -> Vouched[Number]:
        """Asks for a measure now, and for the documents that are to vouch for it, as for a page."""
        trip = self._trip()
        [place] = _places(trip.measures, [query])
        return trip.wait(lambda read: read.measures[place]), self._vouch(vouchers)

    def _vouch(self, keys: Sequence[DocumentKey]) -> list[asyncio.Future[Document | None]]:
        self._trip().vouchers.update(keys)
        return [self.document(key) for key in keys]

    def _trip(self) -> _Trip:
        """The trip that is being collected, begun when there is none."""
        if self._next is None:
            self._next = _Trip(self._loop)
            self._loop.call_soon(self._send)
        return self._next

    def _send(self) -> None:
        trip, self._next = self._next, None
        if trip is None or not trip.is_awaited():
            return
        making = self._make(trip)
        try:
            self._tasks.create_task(making)
        except RuntimeError:  # the group has ended: whoever asks on the way out is told so, and does not wait for ever
            making.close()
            trip.fail(StoreUnavailableError("the gateway is stopping"))

    async def _make(self, trip: _Trip) -> None:
        overdue = self._loop.call_later(self._deadline_s, trip.fail_late)
        try:
            trip.answer(await self._read(trip))
        except asyncio.CancelledError:
            trip.fail(StoreUnavailableError("the gateway is stopping"))
            raise
        except Exception as error:  # noqa: BLE001 - handed to everybody who asked
            trip.fail(error)
        finally:
            overdue.cancel()

    async def _read(self, trip: _Trip) -> ReadAnswer:
        if len(trip.documents) <= self._max_documents:
            self.trips_made += 1
            return await self._store.read(list(trip.documents), list(trip.pages), list(trip.measures))
        return await self._split(trip)

    async def _split(self, trip: _Trip) -> ReadAnswer:
        """Pages and measures travel with everything that vouches for them."""
        keys = [key for key in trip.documents if key not in trip.vouchers]
        chunks = [keys[i : i + self._max_documents] for i in range(0, len(keys), self._max_documents)]
        last = [*chunks.pop(), *trip.vouchers] if chunks else list(trip.vouchers)
        self.trips_made += len(chunks) + 1
        whole, *others = await asyncio.gather(
            self._store.read(last, list(trip.pages), list(trip.measures)),
            *(self._store.read(chunk, [], []) for chunk in chunks),
        )
        found = dict(zip(last, whole.documents, strict=True))
        for chunk, other in zip(chunks, others, strict=True):
            found.update(zip(chunk, other.documents, strict=True))
        return ReadAnswer([found[key] for key in trip.documents], whole.pages, whole.measures)


def _places(known: dict[A, int], asked: Sequence[A]) -> list[int]:
    """The place of each in the answer; what is new gets one."""
    return [known.setdefault(item, len(known)) for item in asked]


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    future.set_exception(error)
    future.exception()  # seen: a requester that left must not make the loop complain


async def settled(asked: Awaitable[A]) -> A | RebuildingError:
    """What was asked for, or that it is being rebuilt, as a value. Raises StoreError for anything else."""
    try:
        return await asked
    except RebuildingError as error:
        return error
