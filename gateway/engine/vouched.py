"""What is read held against what a request must see, by the documents that vouch for it.

Invariants: a document vouches for itself, and for a list or a measure the required documents are read before it in the same trip;
what was read last is what is judged; nothing vouches for a timeline, and that is told.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from gateway.consistency.operation import Found, OnTimeout, OperationConsistency, is_expired, is_met, may_come
from gateway.consistency.requirements import Aggregate, Required
from gateway.consistency.wait import ChangeHub
from gateway.engine.asked import Asked
from gateway.engine.reader import BatchedReader, Vouched, settled
from gateway.engine.served import ReadModels, Served, ServedTimeline
from gateway.errors import ReadTooStaleError
from projections.errors import RebuildingError, StoreUnavailableError
from projections.store.document import Document, pack
from projections.store.keys import Bucket
from projections.store.port import (
    DocumentKey,
    Listing,
    MeasureQuery,
    Number,
    Page,
    PageQuery,
    ReadAnswer,
    Stored,
    Wanted,
)
from schema.ids import global_id

A = TypeVar("A")


@dataclass(frozen=True)
class Voucher:
    """A requirement, and the document that tells whether it is met."""

    served: Served
    aggregate: Aggregate
    required: Required

    @property
    def key(self) -> DocumentKey:
        """Where the document is."""
        return self.served.key(self.aggregate.id)


OfLists: TypeAlias = Mapping[str, Sequence[Voucher]]
"""What vouches for the lists, pages and measures of each read model that a read looks at, by its name."""
Ask: TypeAlias = Callable[[Sequence[DocumentKey]], Vouched[A]]
"""Asks the reader for something, with the documents that are to vouch for it."""


class VouchedReads:
    """The reads of one request, each as it is required."""

    def __init__(
        self, models: ReadModels, reader: BatchedReader, hub: ChangeHub, operation: OperationConsistency
    ) -> None:
        self._models = models
        self._reader = reader
        self._hub = hub
        self._operation = operation

    def collect(self, *, alone: bool = False) -> Asked:
        """See Reads: always its own, which joins the trip of the tick in which it is read."""
        return Asked()

    async def read(self, asked: Asked) -> ReadAnswer:
        """See Reads: in one trip when all of it is as required; what is not is read again."""
        wanted = asked.wanted()
        listed: list[Listing | PageQuery | MeasureQuery] = [*wanted.lists, *wanted.pages, *wanted.measures]
        of_lists = {name: self._of_lists(name) for name in dict.fromkeys(one.projection for one in listed)}
        vouchers = self._concerned(wanted, of_lists)
        checks = self._reader.vouch([voucher.key for voucher in vouchers])
        answer = await self._reader.join(wanted)
        found: list[Any] = await asyncio.gather(*checks, return_exceptions=True)
        lists = [
            *(one for listing, pages in answer.lists.items() if of_lists[listing.projection] for one in pages),
            *(one for query, one in zip(wanted.pages, answer.pages, strict=True) if of_lists[query.projection]),
            *(one for query, one in zip(wanted.measures, answer.measures, strict=True) if of_lists[query.projection]),
        ]
        if vouchers and all(isinstance(one, StoreUnavailableError) for one in (*found, *lists)):
            for voucher in vouchers:
                self._operation.unread(voucher.aggregate, voucher.required)
            return answer
        is_seen = all(is_met(voucher.required, one) for voucher, one in zip(vouchers, found, strict=True))
        if is_seen and not any(isinstance(one, Exception) for one in lists):
            return answer
        return await self._as_required(wanted, answer, of_lists)

    def begin(self, asked: Asked) -> asyncio.Future[ReadAnswer]:
        """See Reads."""
        return self._reader.own(self.read(asked))

    def _concerned(self, wanted: Wanted, of_lists: OfLists) -> list[Voucher]:
        """All that vouches for something of this."""
        found: dict[Voucher, None] = {}
        for bucket, ids in wanted.documents.items():
            served = self._models.projections[bucket.projection]
            for id in ids:
                aggregate = served.aggregate(id)
                required = self._operation.required(aggregate)
                if required is not None:
                    found[Voucher(served, aggregate, required)] = None
        for vouchers in of_lists.values():
            found.update(dict.fromkeys(vouchers))
        return list(found)

    def _of_lists(self, name: str) -> list[Voucher]:
        """What vouches for lists, pages and measures of a read model."""
        timeline = self._models.timelines.get(name)
        return (
            self.vouchers(self._models.projections[name]) if timeline is None else self.vouchers_of_timeline(timeline)
        )

    async def _as_required(self, wanted: Wanted, answer: ReadAnswer, of_lists: OfLists) -> ReadAnswer:
        """The answer, with everything that is required read again, each by itself and as long as it may come."""
        documents: dict[Bucket, list[Any]] = {bucket: list(found) for bucket, found in answer.documents.items()}
        lists: dict[Listing, list[Any]] = {listing: list(found) for listing, found in answer.lists.items()}
        pages: list[Any] = list(answer.pages)
        measures: list[Any] = list(answer.measures)
        again: list[tuple[list[Any], int, Awaitable[Any]]] = []
        for bucket, ids in wanted.documents.items():
            served = self._models.projections[bucket.projection]
            for place, id in enumerate(ids):
                if self._operation.required(served.aggregate(id)) is not None:
                    asked = self.document(served, id, self._reader.document(DocumentKey(bucket, id)))
                    again.append((documents[bucket], place, _packed(asked)))
        for listing, names in wanted.lists.items():
            if vouchers := of_lists[listing.projection]:
                again += [
                    (lists[listing], place, self._list(vouchers, listing, name)) for place, name in enumerate(names)
                ]
        for place, query in enumerate(wanted.pages):
            if vouchers := of_lists[query.projection]:
                again.append((pages, place, self.page(vouchers, query)))
        for place, number in enumerate(wanted.measures):
            if vouchers := of_lists[number.projection]:
                again.append((measures, place, self.measure(vouchers, number)))
        read = await asyncio.gather(*[reading for *_, reading in again], return_exceptions=True)
        for (into, place, _), one in zip(again, read, strict=True):
            into[place] = _answer(one)
        return ReadAnswer(documents, lists, pages, measures)

    def page(self, vouchers: Sequence[Voucher], query: PageQuery) -> Awaitable[Page]:
        """A page, now and perhaps again."""
        return self._asked(vouchers, lambda keys: self._reader.page(query, keys))

    def measure(self, vouchers: Sequence[Voucher], query: MeasureQuery) -> Awaitable[Number]:
        """A measure, likewise."""
        return self._asked(vouchers, lambda keys: self._reader.measure(query, keys))

    def _list(self, vouchers: Sequence[Voucher], listing: Listing, name: str) -> Awaitable[Page]:
        return self._asked(vouchers, lambda keys: self._reader.rows(listing, name, keys))

    def vouchers_of_timeline(self, served: ServedTimeline) -> list[Voucher]:
        """What may be in a timeline, where another read model of its topic shows it. Tells that nothing vouches for a timeline."""
        vouchers: list[Voucher] = []
        for aggregate, required in self._operation.requirements.of.items():
            if served.is_fed_by(aggregate):
                self._operation.unvouched(aggregate, required)
                sibling = served.sibling(aggregate)
                vouchers += [Voucher(sibling, aggregate, required)] if sibling else []
        return vouchers

    def vouchers(self, served: Served) -> list[Voucher]:
        """What vouches for a list or a measure."""
        required = self._operation.required_of_type(served.context, served.projection.aggregate)
        return [Voucher(served, aggregate, wanted) for aggregate, wanted in required.items()]

    async def document(self, served: Served, key: str, asked: asyncio.Future[Document | None]) -> Document | None:
        """A document that was asked for, at the version that is required if there is one."""
        aggregate = served.aggregate(key)
        required = self._operation.required(aggregate)
        if required is None:
            return await asked
        voucher = Voucher(served, aggregate, required)
        with self._must_see([voucher]):
            found = await self._seen(voucher, await settled(asked))
            if isinstance(found, RebuildingError):
                raise found
            return found

    def _asked(self, vouchers: Sequence[Voucher], ask: Ask[A]) -> Awaitable[A]:
        """What is asked for, now and perhaps again: its vouchers are read before it, in the same trip."""
        return self._held_against(vouchers, ask, ask([voucher.key for voucher in vouchers]))

    async def _held_against(self, vouchers: Sequence[Voucher], ask: Ask[A], first: Vouched[A]) -> A:
        """The answer as read, or read again once what was behind has come, or the wait for it has ended."""
        asked, checks = first
        if not vouchers:
            return await asked
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
            return answer

    async def _again(self, vouchers: Sequence[Voucher], ask: Ask[A]) -> A | RebuildingError:
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
    def _must_see(self, vouchers: Iterable[Voucher]) -> Iterator[None]:
        """A read that fails, for whatever reason, has not shown what it was required to."""
        try:
            yield
        except (ReadTooStaleError, RebuildingError):  # judged already
            raise
        except Exception:
            for voucher in vouchers:
                self._operation.unread(voucher.aggregate, voucher.required)
            raise

    async def _seen(self, voucher: Voucher, found: Found) -> Found:
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

    def _judged(self, voucher: Voucher, found: Found) -> None:
        """Raises ReadTooStaleError for what falls short, when the client asked for that."""
        verdict = self._operation.judge(voucher.aggregate, voucher.required, found)
        if verdict is not None and self._operation.policy.on_timeout is OnTimeout.ERROR:
            name = global_id(voucher.served.entity, voucher.aggregate.id)
            raise ReadTooStaleError(f"{name} is at version {verdict.seen}, not yet at {voucher.required.version}")


async def _packed(reading: Awaitable[Document | None]) -> Stored | None:
    found = await reading
    return None if found is None else pack(found)


def _answer(found: Any) -> Any:
    """A failure of one item is its answer; what is no failure of a read (a cancellation) is none."""
    if isinstance(found, BaseException) and not isinstance(found, Exception):
        raise found
    return found
