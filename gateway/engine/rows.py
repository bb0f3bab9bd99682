"""The rows that one request reads: the batched reader's documents, decoded, and held against the request's token.

Invariants: a read is handed to the reader when it is asked for, not when it is awaited, so that all reads of a level share a trip;
a document vouches for itself, and for a list the required documents are read before it in the same trip.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from typing import Any

import msgspec

from gateway.consistency.operation import OnTimeout, OperationConsistency, is_expired
from gateway.consistency.requirements import Aggregate, Required
from gateway.consistency.wait import ChangeHub
from gateway.engine.reader import BatchedReader
from gateway.errors import ReadTooStaleError, UnreadableDocumentError
from projections.declare import Projection, View
from projections.errors import WireError
from projections.store.document import Document
from projections.store.keys import Bucket, bucket_of, filter_text
from projections.store.port import DocumentKey, Page, PageQuery
from projections.wire import Codec
from schema.ids import global_id
from schema.model import Graph
from schema.paging import Window
from schema.ports import Row, RowPage


class StoredRow:
    """An entity as read (schema.ports.Row). Attributes that it does not have are the view's."""

    __slots__ = ("_headrace_entity", "_headrace_view", "id", "key", "version")

    def __init__(self, entity: str, key: str, version: int, view: View) -> None:
        self.id = global_id(entity, key)
        self.key = key
        self.version = version
        self._headrace_entity = entity  # no field of a view begins with an underscore (schema/model/fields.py)
        self._headrace_view = view

    def __getattr__(self, name: str) -> Any:
        return getattr(self._headrace_view, name)

    @staticmethod
    def is_of(source: object, entity: str) -> bool:
        """Whether something is a row of that entity."""
        return isinstance(source, StoredRow) and source._headrace_entity == entity


def attribute(source: Any, name: str) -> Any:
    """How a stored field is resolved: the source's attribute, an Enum as its value."""
    value = getattr(source, name)
    return value.value if isinstance(value, Enum) else value


class Served:
    """One projection as the gateway reads it: its entity, the context that owns its aggregates, codec and buckets."""

    def __init__(self, projection: Projection[Any, Any], entity: str, context: str, buckets: int) -> None:
        self.projection = projection
        self.entity = entity
        self.context = context
        self.buckets = buckets
        self.codec: Codec[View] = Codec(projection.view)

    def key(self, id: str) -> DocumentKey:
        """Where the document of an aggregate is."""
        number = bucket_of(id, self.buckets)
        return DocumentKey(Bucket(self.projection.name, self.projection.version, number), id)

    def aggregate(self, id: str) -> Aggregate:
        """The aggregate's name in tokens."""
        return Aggregate(self.context, self.projection.aggregate, id)

    def row(self, key: str, document: Document | None) -> StoredRow | None:
        """The row that a document shows. Raises UnreadableDocumentError."""
        if document is None or document.view is None:
            return None
        try:
            view = self.codec.decode(document.view)
        except (msgspec.DecodeError, WireError) as fault:
            raise UnreadableDocumentError(
                f"{self.entity}:{key} is stored in another shape than it is declared"
            ) from fault
        return StoredRow(self.entity, key, document.version, view)

    def page_query(self, index_name: str, filters: Mapping[str, Any], window: Window) -> PageQuery:
        """The store's query for a window of an index."""
        index = self.projection.index(index_name)
        values = tuple(filter_text(filters.get(name)) for name in index.fields)
        return PageQuery(
            projection=self.projection.name,
            generation=self.projection.version,
            buckets=self.buckets,
            index=index.name,
            values=values,
            limit=window.limit,
            descending=index.descending,
            after=window.after,
            before=window.before,
            backward=window.backward,
        )


def served_by_name(graph: Graph, buckets: int) -> dict[str, Served]:
    """What is served, by projection name."""
    return {
        model.projection.name: Served(model.projection, name, model.owner, buckets)
        for name, model in graph.entities.items()
        if model.projection is not None
    }


class RequestRows:
    """Implements schema.ports.Rows for one request."""

    def __init__(
        self, served: Mapping[str, Served], reader: BatchedReader, hub: ChangeHub, operation: OperationConsistency
    ) -> None:
        self._served = served
        self._reader = reader
        self._hub = hub
        self._operation = operation

    def one(self, projection: Projection[Any, Any], key: str) -> Awaitable[Row | None]:
        """See schema.ports.Rows.one."""
        served = self._served[projection.name]
        return self._one(served, key, self._reader.document(served.key(key)))

    def page(
        self, projection: Projection[Any, Any], index: str, filters: Mapping[str, Any], window: Window
    ) -> Awaitable[RowPage]:
        """See schema.ports.Rows.page."""
        served = self._served[projection.name]
        query = served.page_query(index, filters, window)
        required = self._operation.required_of_type(served.context, projection.aggregate)
        page, vouchers = self._reader.page(query, [served.key(name.id) for name in required])
        return self._page(served, query, page, dict(zip(required.items(), vouchers, strict=True)))

    async def _one(self, served: Served, key: str, asked: asyncio.Future[Document | None]) -> Row | None:
        aggregate = served.aggregate(key)
        required = self._operation.required(aggregate)
        if required is None:
            return served.row(key, await asked)
        with self._must_see({aggregate: required}):
            return served.row(key, await self._seen(served, aggregate, required, await asked))

    async def _page(
        self,
        served: Served,
        query: PageQuery,
        asked: asyncio.Future[Page],
        vouchers: Mapping[tuple[Aggregate, Required], asyncio.Future[Document | None]],
    ) -> RowPage:
        if vouchers:
            with self._must_see(dict(vouchers.keys())):
                page = await self._vouched(served, query, asked, vouchers)
        else:
            page = await asked
        rows = [(entry.member, served.row(entry.id, entry.document)) for entry in page.rows]
        shown = [(member, row) for member, row in rows if row is not None]
        return RowPage(shown, page.total, page.has_previous, page.has_next)

    async def _vouched(
        self,
        served: Served,
        query: PageQuery,
        asked: asyncio.Future[Page],
        vouchers: Mapping[tuple[Aggregate, Required], asyncio.Future[Document | None]],
    ) -> Page:
        """The page as read, or read again once the documents that were behind have come, or the wait for them has ended."""
        page = await asked
        was_behind = False
        for (aggregate, required), voucher in vouchers.items():
            document = await voucher
            was_behind = was_behind or document is None or document.at < required.at
            await self._seen(served, aggregate, required, document)
        if not was_behind:
            return page
        again, checks = self._reader.page(query, [served.key(aggregate.id) for aggregate, _ in vouchers])
        page = await again
        for (aggregate, required), check in zip(vouchers, checks, strict=True):
            self._operation.judge(aggregate, required, await check)
        return page

    @contextmanager
    def _must_see(self, required: Mapping[Aggregate, Required]) -> Iterator[None]:
        """A read that fails, for whatever reason, has not shown what it was required to."""
        try:
            yield
        except ReadTooStaleError:  # judged already
            raise
        except Exception:
            for aggregate, wanted in required.items():
                self._operation.unread(aggregate, wanted)
            raise

    async def _seen(
        self, served: Served, aggregate: Aggregate, required: Required, document: Document | None
    ) -> Document | None:
        """The document at the required version, or what was there when the wait ended; judged either way."""
        if (document is None or document.at < required.at) and not is_expired(required):
            began_s = time.perf_counter()  # the loop's own clock may tick in whole milliseconds
            document = await self._hub.until(served.key(aggregate.id), required.at, self._operation.deadline_s)
            self._operation.waited((time.perf_counter() - began_s) * 1000)
        verdict = self._operation.judge(aggregate, required, document)
        if verdict is not None and self._operation.policy.on_timeout is OnTimeout.ERROR:
            raise ReadTooStaleError(
                f"{global_id(served.entity, aggregate.id)} is at version {verdict.seen}, not yet at {required.version}"
            )
        return document
