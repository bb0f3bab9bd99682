"""The rows that one request reads for the plain executor, decoded.

Invariants: a read is handed to the reader when it is asked for, not when it is awaited, so that all reads of a level share a trip;
what must be seen is held against the request's token (vouched.py).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final, TypeVar

from gateway.consistency.operation import OperationConsistency
from gateway.consistency.wait import ChangeHub
from gateway.engine.reader import BatchedReader
from gateway.engine.served import NO_CLAIMS, Claims, ReadModels, Served, ServedTimeline
from gateway.engine.vouched import VouchedReads
from gateway.errors import TooComplexError
from projections.declare import Projection
from projections.measure import Measure
from projections.store.document import Document
from projections.store.keys import member_id
from projections.store.port import Page
from projections.store.stored import read_document, shown_rows
from projections.timeline import Timeline
from schema.paging import Window
from schema.ports import Row, RowPage

A = TypeVar("A")
R = TypeVar("R")

MAX_PLAIN_ROWS: Final = 5_000
"""Of an operation that the plain executor answers: it takes some 50 us for a row, and nothing else runs meanwhile."""


class RequestRows:
    """Implements schema.ports.Rows for one request."""

    def __init__(
        self,
        models: ReadModels,
        reader: BatchedReader,
        hub: ChangeHub,
        operation: OperationConsistency,
        claims: Claims = NO_CLAIMS,
        max_rows: int = MAX_PLAIN_ROWS,
    ) -> None:
        """`claims` are the principal's: rows that row rules keep from it are not there. What shows above `max_rows` is given up."""
        self._models = models
        self._reader = reader
        self._operation = operation
        self.vouched = VouchedReads(models, reader, hub, operation)
        """What plans read, held against the request's token."""
        self._shown = 0
        self._max_rows = max_rows
        self.claims = claims
        self.give_up: Callable[[Exception], None] | None = None
        """Breaks off the operation, when it shows more rows than it may."""

    def _count(self, rows: int) -> None:
        """Counts what the plain executor is given: it makes an object of each, wherever it is shown."""
        self._shown += rows
        if self._shown > self._max_rows:
            error = TooComplexError(f"the answer has more than {self._max_rows} rows, and is not compiled")
            if self.give_up is not None:
                self.give_up(error)
            raise error

    def one(self, projection: Projection[Any, Any], key: str) -> Awaitable[Row | None]:
        """See schema.ports.Rows.one."""
        served = self._models.projections[projection.name]
        return self._one(served, key, self.vouched.document(served, key, self._reader.document(served.key(key))))

    def page(
        self, projection: Projection[Any, Any], index: str, filters: Mapping[str, Any], window: Window
    ) -> Awaitable[RowPage]:
        """See schema.ports.Rows.page."""
        served = self._models.projections[projection.name]
        query = served.page_query(projection.index(index), filters, window, self.claims)
        return _shown(self.vouched.page(self.vouched.vouchers(served), query), partial(self._rows, served))

    def measure(self, projection: Projection[Any, Any], measure: Measure[Any], value: Any) -> Awaitable[Any]:
        """See schema.ports.Rows.measure."""
        served = self._models.projections[projection.name]
        query = served.measure_query(measure, value, self.claims)
        return _shown(self.vouched.measure(self.vouched.vouchers(served), query), partial(served.number, measure))

    def timeline(self, timeline: Timeline[Any], key: str, window: Window) -> Awaitable[RowPage]:
        """See schema.ports.Rows.timeline.

        No version vouches for it (docs/adr/0017). The required aggregates that may be in it are waited for where another read model
        of the same topic shows them, so that it is there in all likelihood, and are reported as BEST_EFFORT all the same.
        """
        served = self._models.timelines[timeline.name]
        vouchers = self.vouched.vouchers_of_timeline(served)
        return _shown(self.vouched.page(vouchers, served.page_query(key, window)), partial(_entries, served))

    async def _one(self, served: Served, key: str, found: Awaitable[Document | None]) -> Row | None:
        row = served.row(key, await found)
        self._count(1)
        hidden = (
            row is not None and served.rule is not None and served.hides(getattr(row, served.rule.field), self.claims)
        )
        return None if hidden else row

    def _rows(self, served: Served, page: Page) -> RowPage:
        self._count(len(page.members))
        shown = shown_rows(page)
        rows: list[tuple[bytes, Any]] = []
        for member, stored in zip(shown.members, shown.stored, strict=True):
            key = member_id(member)
            rows.append((member, served.row(key, None if stored is None else read_document(key, stored))))
        return RowPage(rows, page.total, page.has_previous, page.has_next)


async def _shown(reading: Awaitable[A], show: Callable[[A], R]) -> R:
    return show(await reading)


def _entries(served: ServedTimeline, page: Page) -> RowPage:
    shown = shown_rows(page)
    rows: list[tuple[bytes, Any]] = [
        (member, served.entry(stored))
        for member, stored in zip(shown.members, shown.stored, strict=True)
        if stored is not None
    ]
    return RowPage(rows, page.total, page.has_previous, page.has_next)
