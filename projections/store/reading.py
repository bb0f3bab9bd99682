"""One trip of reads as commands, and what the replies say.

Invariants: pure; documents and `built` marks are asked for before the lists, pages and extremes of the same bucket, each of which
looks at the mark again at the instant of its own answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice, repeat
from typing import Any, Final, NamedTuple

from projections.errors import StoreError
from projections.store import page
from projections.store.command import Command
from projections.store.document import Document, pack
from projections.store.keys import SEPARATOR, Bucket, index_list, measure_list
from projections.store.library import Library
from projections.store.lists import lists_of
from projections.store.port import Listing, MeasureQuery, Page, PageQuery, ReadAnswer, Stored, Wanted
from projections.store.refusals import not_ours, rebuilding

_FIRST: Final = "0"
_LAST: Final = "-1"
_ENTRY_HEADER: Final = pack(Document(0, 1, 0, None))
"""What an entry of a timeline, which is stored without one, is handed on with."""


class _Gather(NamedTuple):
    """Keys of one bucket whose values are got together, behind that of its `built` mark."""

    bucket: Bucket
    keys: Sequence[str]


class Trip:
    """What one `read` asks for; made anew for each."""

    def __init__(self, wanted: Wanted, functions: Library, *, one_slot_each: bool) -> None:
        """`one_slot_each`: an MGET may not ask for keys of several slots (a cluster's rule)."""
        self._wanted = wanted
        self._one_slot_each = one_slot_each
        numbers: dict[Bucket, list[str]] = {}
        for query in wanted.measures:
            for bucket in () if query.extreme else page.buckets(query):
                numbers.setdefault(bucket, []).append(_number(bucket, query))
        self._documents = [_Gather(bucket, _documents(bucket, ids)) for bucket, ids in wanted.documents.items()]
        self._numbers = [_Gather(*asked) for asked in numbers.items()]
        gathers: dict[str, list[str]] = {}
        for bucket, keys in (*self._documents, *self._numbers):
            words = gathers.setdefault(self._slot(bucket), [])
            words.append(bucket.built)
            words += keys
        self._slots = list(gathers)
        self.commands = [Command(keys[0], ("MGET", *keys)) for keys in gathers.values()]
        self.gather_count = len(self.commands)
        self._lists = [lists for asked in wanted.lists.items() for lists in lists_of(*asked)]
        for lists in self._lists:
            self.commands += [lists.command(bucket, functions) for bucket in page.buckets(lists.listing)]
        for asked in wanted.pages:
            self.commands += [_page(asked, bucket, functions) for bucket in page.buckets(asked)]
        for query in wanted.measures:
            if query.extreme:
                self.commands += [_extreme(query, bucket, functions) for bucket in page.buckets(query)]

    def _slot(self, bucket: Bucket) -> str:
        return bucket.tag if self._one_slot_each else ""

    def answer(self, replies: Sequence[Any]) -> ReadAnswer:
        """What the replies, one per command, say; in the place of each there may be a StoreError."""
        wanted = self._wanted
        gathered = {slot: _values(reply) for slot, reply in zip(self._slots, replies, strict=False)}
        documents = {at.bucket: _stored(at, gathered[self._slot(at.bucket)]) for at in self._documents}
        numbers: dict[str, bytes | StoreError | None] = {}
        for at in self._numbers:
            numbers.update(zip(at.keys, _summed(at, gathered[self._slot(at.bucket)]), strict=True))
        rest = iter(replies[self.gather_count :])
        found: dict[Listing, list[Page | StoreError]] = {listing: [] for listing in wanted.lists}
        for lists in self._lists:
            found[lists.listing].extend(lists.answer(list(islice(rest, lists.listing.buckets))))
        pages = [_page_or_error(query, list(islice(rest, query.buckets))) for query in wanted.pages]
        measures = [
            _extreme_or_error(query, list(islice(rest, query.buckets)))
            if query.extreme
            else _number_or_error(query, numbers)
            for query in wanted.measures
        ]
        return ReadAnswer(documents, found, pages, measures)


def _documents(bucket: Bucket, ids: Sequence[str]) -> list[str]:
    prefix = bucket.document("")
    return [prefix + id for id in ids]


def _values(reply: Any) -> Iterator[bytes | None] | StoreError:
    return reply if isinstance(reply, StoreError) else iter(reply)


def _stored(asked: _Gather, values: Iterator[bytes | None] | StoreError) -> Sequence[Stored | StoreError | None]:
    """The documents of a bucket: the next values, behind its mark. One that is missing may still come while the mark is."""
    if isinstance(values, StoreError):
        return [values] * len(asked.keys)
    is_built, found = next(values), list(islice(values, len(asked.keys)))
    if is_built is None and None in found:
        return [rebuilding(key) if one is None else one for key, one in zip(asked.keys, found, strict=True)]
    return found


def _summed(asked: _Gather, values: Iterator[bytes | None] | StoreError) -> Iterator[bytes | StoreError | None]:
    """The numbers of a bucket, likewise. All of them may still change while the mark is missing."""
    if isinstance(values, StoreError):
        return repeat(values, len(asked.keys))
    is_built, found = next(values), list(islice(values, len(asked.keys)))
    return iter(found) if is_built is not None else map(rebuilding, asked.keys)


def _page(query: PageQuery, bucket: Bucket, functions: Library) -> Command:
    low, high, down = page.walk(query)
    if query.timeline is None:
        keys, prefix = [bucket.entries(index_list(query.index_name, query.values)), bucket.built], bucket.document("")
    else:
        keys, prefix = [bucket.timeline(query.timeline), bucket.built, bucket.moments(query.timeline)], ""
    words = ("FCALL_RO", functions.page, len(keys), *keys, prefix, low, high, query.limit, int(down))
    return Command(keys[0], words)


def _number(bucket: Bucket, query: MeasureQuery) -> str:
    return bucket.entries(measure_list(query.measure, query.value))


def _extreme(query: MeasureQuery, bucket: Bucket, functions: Library) -> Command:
    key = _number(bucket, query)
    rank = _LAST if query.extreme > 0 else _FIRST
    return Command(key, ("FCALL_RO", functions.extreme, 2, key, bucket.built, rank))


def _page_or_error(query: PageQuery, replies: Sequence[Any]) -> Page | StoreError:
    """One page out of the buckets' replies, or what is wrong with one of them."""
    shares: list[page.Share] = []
    for number, reply in enumerate(replies):
        if isinstance(reply, StoreError):
            return reply
        built, *share = reply
        if not built:
            return rebuilding(Bucket(query.projection, query.generation, number).tag)
        shares.append(page.Share(*share))
    found = page.merge(query, shares)
    if query.timeline is None:
        return found
    return found._replace(stored=[None if entry is None else _ENTRY_HEADER + entry for entry in found.stored])


def _number_or_error(query: MeasureQuery, numbers: dict[str, bytes | StoreError | None]) -> int | StoreError:
    """A sum over buckets."""
    total = 0
    for bucket in page.buckets(query):
        key = _number(bucket, query)
        share = numbers[key]
        if isinstance(share, StoreError):
            return share
        try:
            total += int(share or b"0")
        except ValueError:
            return not_ours(key)
    return total


def _extreme_or_error(query: MeasureQuery, replies: Sequence[Any]) -> bytes | StoreError | None:
    """The least or largest sort text of the buckets' members."""
    found: list[bytes] = []
    for bucket, reply in zip(page.buckets(query), replies, strict=True):
        if isinstance(reply, StoreError):
            return reply
        built, member = reply
        if not built:
            return rebuilding(bucket.tag)
        if member is not None:
            found.append(member.rpartition(SEPARATOR)[0])
    if not found:
        return None
    return max(found) if query.extreme > 0 else min(found)
