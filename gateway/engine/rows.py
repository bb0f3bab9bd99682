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
from typing import Any, TypeAlias, TypeVar

from gateway.consistency.operation import Found, OnTimeout, OperationConsistency, is_expired, is_met, is_parked
from gateway.consistency.requirements import Aggregate, Required
from gateway.consistency.wait import ChangeHub
from gateway.engine.reader import BatchedReader, Vouched, settled
from gateway.engine.served import ReadModels, Served, ServedTimeline
from gateway.errors import ReadTooStaleError
from projections.declare import Projection
from projections.errors import RebuildingError
from projections.measure import Measure
from projections.store.document import Document
from projections.store.port import DocumentKey, Page
from projections.timeline import Timeline
from schema.ids import global_id
from schema.paging import Window
from schema.ports import Row, RowPage

A = TypeVar("A")
R = TypeVar("R")


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
        self, models: ReadModels, reader: BatchedReader, hub: ChangeHub, operation: OperationConsistency
    ) -> None:
        self._models = models
        self._reader = reader
        self._hub = hub
        self._operation = operation

    def one(self, projection: Projection[Any, Any], key: str) -> Awaitable[Row | None]:
        """See schema.ports.Rows.one."""
        served = self._models.projections[projection.name]
        return self._one(served, key, self._reader.document(served.key(key)))

    def page(
        self, projection: Projection[Any, Any], index: str, filters: Mapping[str, Any], window: Window
    ) -> Awaitable[RowPage]:
        """See schema.ports.Rows.page."""
        served = self._models.projections[projection.name]
        query = served.page_query(index, filters, window)
        show = partial(_rows, served)
        return self._vouched(self._vouchers(served), lambda keys: self._reader.page(query, keys), show)

    def measure(self, projection: Projection[Any, Any], measure: Measure[Any], value: Any) -> Awaitable[Any]:
        """See schema.ports.Rows.measure."""
        served = self._models.projections[projection.name]
        query = served.measure_query(measure, value)
        show = partial(served.number, measure)
        return self._vouched(self._vouchers(served), lambda keys: self._reader.measure(query, keys), show)

    def timeline(self, timeline: Timeline[Any], key: str, window: Window) -> Awaitable[RowPage]:
        """See schema.ports.Rows.timeline.

        No version vouches for it (docs/adr/0017). The required aggregates that may be in it are waited for where another read model
        of the same topic shows them, so that it is there in all likelihood, and are reported as BEST_EFFORT all the same.
        """
        served = self._models.timelines[timeline.name]
        query = served.page_query(key, window)
        vouchers: list[_Voucher] = []
        for aggregate, required in self._operation.requirements.of.items():
            if served.is_fed_by(aggregate):
                self._operation.unvouched(aggregate, required)
                sibling = served.sibling(aggregate)
                vouchers += [_Voucher(sibling, aggregate, required)] if sibling else []
        return self._vouched(vouchers, lambda keys: self._reader.page(query, keys), partial(_entries, served))

    def _vouchers(self, served: Served) -> list[_Voucher]:
        required = self._operation.required_of_type(served.context, served.projection.aggregate)
        return [_Voucher(served, aggregate, wanted) for aggregate, wanted in required.items()]

    async def _one(self, served: Served, key: str, asked: asyncio.Future[Document | None]) -> Row | None:
        aggregate = served.aggregate(key)
        required = self._operation.required(aggregate)
        if required is None:
            return served.row(key, await asked)
        voucher = _Voucher(served, aggregate, required)
        with self._must_see([voucher]):
            found = await self._seen(voucher, await settled(asked))
            if isinstance(found, RebuildingError):
                raise found
            return served.row(key, found)

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
                is_late = is_late or _may_come(voucher.required, found)
                await self._seen(voucher, found)
            if is_late:
                answer = await self._again(vouchers, ask)
            if isinstance(answer, RebuildingError):
                raise answer
            return show(answer)

    async def _again(self, vouchers: Sequence[_Voucher], ask: _Ask[A]) -> A | RebuildingError:
        """The answer read again, and again as long as it is being rebuilt, until the wait ends; judged by its own vouchers."""
        read: list[A | RebuildingError] = []

        async def is_whole() -> bool:
            asked, checks = ask([voucher.key for voucher in vouchers])
            read.append(await settled(asked))
            found = [await settled(check) for check in checks]
            if isinstance(read[-1], RebuildingError):
                return False
            for voucher, document in zip(vouchers, found, strict=True):
                self._operation.judge(voucher.aggregate, voucher.required, document)
            return True

        began_s = time.perf_counter()
        may_wait = not all(is_expired(voucher.required) for voucher in vouchers)
        await self._hub.until_built(is_whole, self._operation.deadline_s if may_wait else 0)
        if len(read) > 1:
            self._operation.waited((time.perf_counter() - began_s) * 1000)
        answer = read[-1]
        if isinstance(answer, RebuildingError):
            for voucher in vouchers:
                self._judged(voucher, answer)
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
        if _may_come(required, found):
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


def _may_come(required: Required, found: Found) -> bool:
    """Whether something is missing that is worth a wait."""
    return not is_met(required, found) and not is_parked(found) and not is_expired(required)


def _rows(served: Served, page: Page) -> RowPage:
    rows = [(entry.member, served.row(entry.id, entry.document)) for entry in page.rows]
    shown = [(member, row) for member, row in rows if row is not None]
    return RowPage(shown, page.total, page.has_previous, page.has_next)


def _entries(served: ServedTimeline, page: Page) -> RowPage:
    rows = [(entry.member, served.entry(entry)) for entry in page.rows]
    return RowPage(rows, page.total, page.has_previous, page.has_next)
