"""What is asked for together: by one request, or by all that share a trip.

Invariants: everything has one place in the answer, however often it is asked for; nothing that has a place loses it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from typing import Any, Protocol, TypeAlias

from projections.store.keys import Bucket, bucket_of
from projections.store.port import Listing, MeasureQuery, PageQuery, ReadAnswer, Stored, Wanted

Places: TypeAlias = Sequence[tuple[Bucket, Sequence[int]]]
"""Where documents are in an answer: in one bucket at these places, or each in a bucket of its own."""


class Asked:
    """Things to read, each with its place in the answer."""

    __slots__ = ("_documents", "_lists", "_measures", "_pages")

    def __init__(self) -> None:
        self._documents: dict[Bucket, dict[str, int]] = {}
        self._lists: dict[Listing, dict[str, int]] = {}
        self._pages: dict[PageQuery, int] = {}
        self._measures: dict[MeasureQuery, int] = {}

    def documents(self, buckets: Sequence[Bucket], ids: Iterable[str]) -> Places:
        """Asks for documents, each of which is in one of the buckets."""
        if len(buckets) == 1:
            [bucket] = buckets
            known = self._documents.get(bucket)
            if known is None:
                known = self._documents[bucket] = {}
            return ((bucket, [known.setdefault(id, len(known)) for id in ids]),)
        placed = [(buckets[bucket_of(id, len(buckets))], id) for id in ids]
        return [(bucket, (self.document(bucket, id),)) for bucket, id in placed]

    def document(self, bucket: Bucket, id: str) -> int:
        """Asks for a document of a bucket."""
        known = self._documents.setdefault(bucket, {})
        return known.setdefault(id, len(known))

    def lists(self, listing: Listing, names: Sequence[str]) -> Sequence[int]:
        """Asks for lists."""
        known = self._lists.get(listing)
        if known is None:
            known = self._lists[listing] = {}
        return [known.setdefault(name, len(known)) for name in names]

    def pages(self, queries: Sequence[PageQuery]) -> Sequence[int]:
        """Asks for pages."""
        known = self._pages
        return [known.setdefault(query, len(known)) for query in queries]

    def measures(self, queries: Sequence[MeasureQuery]) -> Sequence[int]:
        """Asks for measures."""
        known = self._measures
        return [known.setdefault(query, len(known)) for query in queries]

    def wanted(self) -> Wanted:
        """All of it, in the order of places: what was asked for first comes first."""
        documents = {bucket: list(ids) for bucket, ids in self._documents.items()}
        lists = {listing: list(names) for listing, names in self._lists.items()}
        return Wanted(documents, lists, list(self._pages), list(self._measures))

    def failed(self, error: Exception) -> ReadAnswer:
        """The answer when all of it failed."""
        failures: list[Any] = [error]
        return ReadAnswer(
            {bucket: failures * len(ids) for bucket, ids in self._documents.items()},
            {listing: failures * len(names) for listing, names in self._lists.items()},
            failures * len(self._pages),
            failures * len(self._measures),
        )


class Reads(Protocol):
    """Where a run reads from."""

    def collect(self, *, alone: bool = False) -> Asked:
        """What to ask; unless `alone`, whatever is asked by the end of the tick goes together with what others ask in it."""
        ...

    def read(self, asked: Asked) -> Awaitable[ReadAnswer]:
        """The answer; a failure as a whole is the answer to each item. To be called in the tick of `collect`, unless alone."""
        ...

    def begin(self, asked: Asked) -> asyncio.Future[ReadAnswer]:
        """As `read`, and it is read whether or not anybody waits yet."""
        ...


def stored(answer: ReadAnswer, places: Places) -> Sequence[Stored | Exception | None]:
    """The documents at these places."""
    if len(places) == 1:
        [(bucket, at)] = places
        found = answer.documents[bucket]
        return [found[place] for place in at]
    return [answer.documents[bucket][place] for bucket, at in places for place in at]
