"""One trip of reads as commands, and what the replies say.

Invariants: pure; documents and `built` marks are asked for before the pages and extremes of the same bucket, each of which looks
at the mark again at the instant of its own answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from projections.errors import StoreError, StoreMisconfiguredError, WireError
from projections.store import page
from projections.store.command import Command
from projections.store.document import Document, unpack
from projections.store.keys import SEPARATOR, Bucket, index_list, measure_list
from projections.store.library import Library
from projections.store.lists import lists_of
from projections.store.port import DocumentKey, MeasureQuery, Page, PageQuery, ReadAnswer
from projections.store.refusals import not_ours, rebuilding

_FIRST: Final = "0"
_LAST: Final = "-1"


class Trip:
    """What one `read` asks for; made anew for each."""

    def __init__(
        self,
        documents: Sequence[DocumentKey],
        pages: Sequence[PageQuery],
        measures: Sequence[MeasureQuery],
        functions: Library,
        *,
        one_slot_each: bool,
    ) -> None:
        """`one_slot_each`: an MGET may not ask for keys of several slots (a cluster's rule)."""
        self._documents: list[tuple[str, str]] = []
        self._pages = pages
        self._measures = measures
        wanted: dict[str, list[str]] = {}
        last, prefix, built, gathered = None, "", "", []
        for bucket, id in documents:
            if bucket is not last:  # those of a bucket follow each other, as a rule
                last, prefix, built = bucket, bucket.document(""), bucket.built
                gathered = wanted.setdefault(bucket.tag if one_slot_each else "", [])
                gathered.append(built)
            key = prefix + id
            self._documents.append((key, built))
            gathered.append(key)
        for query in measures:
            for bucket in () if query.extreme else page.buckets(query):
                keys = (_number(bucket, query), bucket.built)
                wanted.setdefault(bucket.tag if one_slot_each else "", []).extend(keys)
        self._gathers = [list(dict.fromkeys(keys)) for keys in wanted.values()]
        self.commands = [Command(keys[0], ("MGET", *keys)) for keys in self._gathers]
        self.gather_count = len(self.commands)
        self._lists = lists_of(pages)
        for lists in self._lists:
            self.commands += [lists.command(bucket, functions) for bucket in page.buckets(lists.query)]
        for asked in pages:
            if asked.counted:
                self.commands += [_page(asked, bucket, functions) for bucket in page.buckets(asked)]
        for query in measures:
            if query.extreme:
                self.commands += [_extreme(query, bucket, functions) for bucket in page.buckets(query)]

    def answer(self, replies: Sequence[Any]) -> ReadAnswer:
        """What the replies, one per command, say; in place of a page's or extreme's there may be a StoreError."""
        stored: dict[str, bytes | None] = {}
        for keys, values in zip(self._gathers, replies, strict=False):
            stored.update(zip(keys, values, strict=True))
        rest = iter(replies[self.gather_count :])
        found = [
            document_or_error(key, stored[key])
            if stored[key] is not None or stored[built] is not None
            else rebuilding(key)
            for key, built in self._documents
        ]
        listed: dict[PageQuery, Page | StoreError] = {}
        for lists in self._lists:
            listed.update(lists.answer([next(rest) for _ in range(lists.query.buckets)]))
        pages = [
            _page_or_error(query, [next(rest) for _ in range(query.buckets)]) if query.counted else listed[query]
            for query in self._pages
        ]
        measures = [
            _extreme_or_error(query, [next(rest) for _ in range(query.buckets)])
            if query.extreme
            else _number_or_error(query, stored)
            for query in self._measures
        ]
        return ReadAnswer(found, pages, measures)


def document(key: str | bytes, value: bytes | None) -> Document | None:
    """The document in stored bytes. Raises StoreMisconfiguredError."""
    if value is None:
        return None
    try:
        return unpack(value)
    except WireError:
        raise not_ours(key) from None


def document_or_error(key: str, value: bytes | None) -> Document | StoreError | None:
    """The document in stored bytes, or what is wrong with them."""
    try:
        return document(key, value)
    except StoreMisconfiguredError as error:
        return error


def entry(_key: str, value: bytes | None) -> Document | None:
    """An entry of a timeline, as a document."""
    return None if value is None else Document(0, 1, 0, value)


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
        built, total, below, between, above, members, values = reply
        if not built:
            return rebuilding(Bucket(query.projection, query.generation, number).tag)
        shares.append(page.Share(total, below, between, above, list(zip(members, values, strict=True))))
    try:
        return page.merge(query, shares, document if query.timeline is None else entry)
    except StoreMisconfiguredError as error:
        return error


def _number_or_error(query: MeasureQuery, stored: dict[str, bytes | None]) -> int | StoreError:
    total = 0
    for bucket in page.buckets(query):
        if stored[bucket.built] is None:
            return rebuilding(bucket.tag)
        key = _number(bucket, query)
        try:
            total += int(stored[key] or b"0")
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
