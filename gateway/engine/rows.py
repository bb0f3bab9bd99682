"""The rows that one request reads: the batched reader's answers, decoded, and held against the request's token.

Invariants: a read is handed to the reader when it is asked for, not when it is awaited, so that all reads of a level share a trip;
a document vouches for itself, and for a list or a measure the required documents are read before it in the same trip; nothing
vouches for a timeline, and that is told.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import compress
from typing import Any, Final, TypeAlias, TypeVar

from gateway.consistency.operation import Found, OnTimeout, OperationConsistency, is_expired, may_come
from gateway.consistency.requirements import Aggregate, Required
from gateway.consistency.wait import ChangeHub
from gateway.engine.reader import BatchedReader, Number, Vouched, settled
from gateway.engine.run import Answers, GivenAnswers
from gateway.engine.served import NO_CLAIMS, Claims, ReadModels, Served, ServedTimeline
from gateway.errors import ReadTooStaleError, TooComplexError
from projections.declare import Projection
from projections.errors import RebuildingError
from projections.measure import Measure
from projections.store.document import Document
from projections.store.port import DocumentKey, MeasureQuery, Page, PageQuery
from projections.timeline import Timeline
from schema.ids import global_id
from schema.paging import Window
from schema.ports import Row, RowPage

A = TypeVar("A")
R = TypeVar("R")

MAX_PLAIN_ROWS: Final = 5_000
"""Of an operation that the plain executor answers: it takes some 50 us for a row, and nothing else runs meanwhile."""


@dataclass(frozen=True)
class _Voucher:
    """A requirement, and the document that tells whether it is met."""

    served: Served
    aggregate: Aggregate
    required: Required

    @property
    def key(self) -> DocumentKey:
        return self.served.key(self.aggregate.id)


_Ask: TypeAlias = Callable[[Sequence[DocumentKey]], Vouched[A]]
"""Asks the reader for something, with the documents that are to vouch for it."""


class RequestRows:
    """Implements schema.ports.Rows for one request."""

    def __init__(
        self,
        models: ReadModels,
        reader: BatchedReader,
        hub: ChangeHub,
        operation: OperationConsistency,
        claims: Claims = NO_CLAIMS,
    ) -> None:
        """`claims` are the principal's: rows that row rules keep from it are not there."""
        self._models = models
        self._reader = reader
        self._hub = hub
        self._operation = operation
        self._shown = 0
        self.claims = claims
        self.give_up: Callable[[Exception], None] | None = None
        """Breaks off the operation, when it shows more rows than it may."""

    def _count(self, rows: int) -> None:
        """Counts what the plain executor is given: it makes an object of each, wherever it is shown."""
        self._shown += rows
        if self._shown > MAX_PLAIN_ROWS:
            error = TooComplexError(f"the answer has more than {MAX_PLAIN_ROWS} rows, and is not compiled")
            if self.give_up is not None:
                self.give_up(error)
            raise error

    @property
    def has_requirements(self) -> bool:
        """Whether the request is required to see anything."""
        return bool(self._operation.requirements)

    async def read(
        self, documents: Sequence[DocumentKey], pages: Sequence[PageQuery], measures: Sequence[MeasureQuery]
    ) -> Answers:
        """What a stage of a plan reads (engine/run.py), held against the request's token; in one trip when that is satisfied."""
        concerned = [self._is_required(key) for key in documents]
        rest = [key for key, is_concerned in zip(documents, concerned, strict=True) if not is_concerned]
        whole = self._reader.read(rest, (), ())
        asked = [
            self._document(*self._place(key), self._reader.document(key)) for key in compress(documents, concerned)
        ]
        found = await asyncio.gather(
            *asked, *map(self._page, pages), *map(self._number, measures), return_exceptions=True
        )
        answers: list[Any] = list(map(_answer, found))
        others, required = iter((await whole).documents), iter(answers[: len(asked)])
        return GivenAnswers(
            [next(required) if is_concerned else next(others) for is_concerned in concerned],
            answers[len(asked) : len(asked) + len(pages)],
            answers[len(asked) + len(pages) :],
        )

    def one(self, projection: Projection[Any, Any], key: str) -> Awaitable[Row | None]:
        """See schema.ports.Rows.one."""
        served = self._models.projections[projection.name]
        return self._one(served, key, self._document(served, key, self._reader.document(served.key(key))))

    def page(
        self, projection: Projection[Any, Any], index: str, filters: Mapping[str, Any], window: Window
    ) -> Awaitable[RowPage]:
        """See schema.ports.Rows.page."""
        served = self._models.projections[projection.name]
        query = served.page_query(projection.index(index), filters, window, self.claims)
        show = partial(self._rows, served)
        return self._vouched(self._vouchers(served), lambda keys: self._reader.page(query, keys), show)

    def measure(self, projection: Projection[Any, Any], measure: Measure[Any], value: Any) -> Awaitable[Any]:
        """See schema.ports.Rows.measure."""
        served = self._models.projections[projection.name]
        query = served.measure_query(measure, value, self.claims)
        show = partial(served.number, measure)
        return self._vouched(self._vouchers(served), lambda keys: self._reader.measure(query, keys), show)

    def timeline(self, timeline: Timeline[Any], key: str, window: Window) -> Awaitable[RowPage]:
        """See schema.ports.Rows.timeline.

        No version vouches for it (docs/adr/0017). The required aggregates that may be in it are waited for where another read model
        of the same topic shows them, so that it is there in all likelihood, and are reported as BEST_EFFORT all the same.
        """
        served = self._models.timelines[timeline.name]
        query = served.page_query(key, window)
        vouchers = self._vouchers_of_timeline(served)
        return self._vouched(vouchers, lambda keys: self._reader.page(query, keys), partial(_entries, served))

    def _vouchers_of_timeline(self, served: ServedTimeline) -> list[_Voucher]:
        vouchers: list[_Voucher] = []
        for aggregate, required in self._operation.requirements.of.items():
            if served.is_fed_by(aggregate):
                self._operation.unvouched(aggregate, required)
                sibling = served.sibling(aggregate)
                vouchers += [_Voucher(sibling, aggregate, required)] if sibling else []
        return vouchers

    def _vouchers(self, served: Served) -> list[_Voucher]:
        required = self._operation.required_of_type(served.context, served.projection.aggregate)
        return [_Voucher(served, aggregate, wanted) for aggregate, wanted in required.items()]

    async def _one(self, served: Served, key: str, found: Awaitable[Document | None]) -> Row | None:
        row = served.row(key, await found)
        self._count(1)
        hidden = (
            row is not None and served.rule is not None and served.hides(getattr(row, served.rule.field), self.claims)
        )
        return None if hidden else row

    async def _document(self, served: Served, key: str, asked: asyncio.Future[Document | None]) -> Document | None:
        aggregate = served.aggregate(key)
        required = self._operation.required(aggregate)
        if required is None:
            return await asked
        voucher = _Voucher(served, aggregate, required)
        with self._must_see([voucher]):
            found = await self._seen(voucher, await settled(asked))
            if isinstance(found, RebuildingError):
                raise found
            return found

    def _rows(self, served: Served, page: Page) -> RowPage:
        self._count(len(page.rows))
        rows = [(entry.member, served.row(entry.id, entry.document)) for entry in page.rows]
        shown = [(member, row) for member, row in rows if row is not None]
        return RowPage(shown, page.total, page.has_previous, page.has_next)

    def _page(self, query: PageQuery) -> Awaitable[Page]:
        vouchers = (
            self._vouchers(self._models.projections[query.projection])
            if query.timeline is None
            else self._vouchers_of_timeline(self._models.timelines[query.projection])
        )
        return self._vouched(vouchers, lambda keys: self._reader.page(query, keys), _as_it_is)

    def _number(self, query: MeasureQuery) -> Awaitable[Number]:
        vouchers = self._vouchers(self._models.projections[query.projection])
        return self._vouched(vouchers, lambda keys: self._reader.measure(query, keys), _as_it_is)

    def _place(self, key: DocumentKey) -> tuple[Served, str]:
        return self._models.projections[key.bucket.projection], key.id

    def _is_required(self, key: DocumentKey) -> bool:
        served, id = self._place(key)
        return self._operation.required(served.aggregate(id)) is not None

    def _vouched(self, vouchers: Sequence[_Voucher], ask: _Ask[A], show: Callable[[A], R]) -> Awaitable[R]:
        """What is asked for, now and perhaps again: its vouchers are read before it, in the same trip."""
        return self._held_against(vouchers, ask, show, ask([voucher.key for voucher in vouchers]))

    async def _held_against(
        self, vouchers: Sequence[_Voucher], ask: _Ask[A], show: Callable[[A], R], first: Vouched[A]
    ) -> R:
        """The answer as read, or read again once what was behind has come, or the wait for it has ended."""
        asked, checks = first
        if not vouchers:
            return show(await asked)
        with self._must_see(vouchers):
            answer = await settled(asked)
            is_late = isinstance(answer, RebuildingError)
            for voucher, check in zip(vouchers, checks, strict=True):
                found = await settled(check)
                is_late = is_late or may_come(voucher.required, found)
                await self._seen(voucher, found)
            if is_late:
                answer = await self._again(vouchers, ask)
            if isinstance(answer, RebuildingError):
                raise answer
            return show(answer)

    async def _again(self, vouchers: Sequence[_Voucher], ask: _Ask[A]) -> A | RebuildingError:
        """The answer read again, and again as long as it is being rebuilt, until the wait ends.

        What was read last is the answer, and is judged by its own vouchers, whatever was seen before: raises ReadTooStaleError.
        """
        read: list[tuple[A | RebuildingError, Sequence[Found]]] = []

        async def is_whole() -> bool:
            asked, checks = ask([voucher.key for voucher in vouchers])
            answer = await settled(asked)
            read.append((answer, [await settled(check) for check in checks]))
            return not isinstance(answer, RebuildingError)

        began_s = time.perf_counter()
        may_wait = not all(is_expired(voucher.required) for voucher in vouchers)
        await self._hub.until_built(is_whole, self._operation.deadline_s if may_wait else 0)
        if len(read) > 1:
            self._operation.waited((time.perf_counter() - began_s) * 1000)
        answer, documents = read[-1]
        for voucher, document in zip(vouchers, documents, strict=True):
            self._judged(voucher, answer if isinstance(answer, RebuildingError) else document)
        return answer

    @contextmanager
    def _must_see(self, vouchers: Iterable[_Voucher]) -> Iterator[None]:
        """A read that fails, for whatever reason, has not shown what it was required to."""
        try:
            yield
        except (ReadTooStaleError, RebuildingError):  # judged already
            raise
        except Exception:
            for voucher in vouchers:
                self._operation.unread(voucher.aggregate, voucher.required)
            raise

    async def _seen(self, voucher: _Voucher, found: Found) -> Found:
        """The document at the required version, or what was there when the wait ended; judged either way.

        One that is parked, or whose requirement has expired, is not waited for.
        """
        required = voucher.required
        if may_come(required, found):
            began_s = time.perf_counter()  # the loop's own clock may tick in whole milliseconds
            found = await self._hub.until(voucher.key, required, self._operation.deadline_s)
            self._operation.waited((time.perf_counter() - began_s) * 1000)
        self._judged(voucher, found)
        return found

    def _judged(self, voucher: _Voucher, found: Found) -> None:
        """Raises ReadTooStaleError for what falls short, when the client asked for that."""
        verdict = self._operation.judge(voucher.aggregate, voucher.required, found)
        if verdict is not None and self._operation.policy.on_timeout is OnTimeout.ERROR:
            name = global_id(voucher.served.entity, voucher.aggregate.id)
            raise ReadTooStaleError(f"{name} is at version {verdict.seen}, not yet at {voucher.required.version}")


def _as_it_is(answer: A) -> A:
    return answer


def _answer(found: Any) -> Any:
    """A failure of one item is its answer; what is no failure of a read (a cancellation) is none."""
    if isinstance(found, BaseException) and not isinstance(found, Exception):
        raise found
    return found


def _entries(served: ServedTimeline, page: Page) -> RowPage:
    rows = [(entry.member, served.entry(entry)) for entry in page.rows]
    shown: list[tuple[bytes, Any]] = [(member, entry) for member, entry in rows if entry is not None]
    return RowPage(shown, page.total, page.has_previous, page.has_next)
