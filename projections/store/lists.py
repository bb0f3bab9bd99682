"""Many lists of one index in one call: their first rows, when nobody wants to know how many there are.

Invariants: pure; each list is answered as a page of its own would be, but for its total.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from redis.exceptions import ResponseError

from projections.errors import StoreError, WireError
from projections.store.command import Command
from projections.store.document import unpack
from projections.store.faults import told
from projections.store.keys import Bucket, index_list, member_id
from projections.store.library import Library
from projections.store.port import Page, PageQuery, PageRow
from projections.store.refusals import not_ours, rebuilding

MAX_LISTS: Final = 100
"""Of one call: some 200 us of the server's time while each has a row or two."""


@dataclass(frozen=True)
class Lists:
    """Lists of one index that are read together; `query` is any of them."""

    query: PageQuery
    queries: Sequence[PageQuery]

    def command(self, bucket: Bucket, functions: Library) -> Command:
        """The call for a bucket."""
        keys = [bucket.built]
        keys += [bucket.entries(index_list(query.index_name, query.values)) for query in self.queries]
        query = self.query
        words = (bucket.document(""), query.limit, int(query.descending))
        return Command(keys[0], ("FCALL_RO", functions.rows, len(keys), *keys, *words))

    def answer(self, replies: Sequence[Any]) -> Mapping[PageQuery, Page | StoreError]:
        """A page for each list, from the buckets' replies."""
        found: dict[PageQuery, list[tuple[bytes, bytes | None]] | StoreError] = {query: [] for query in self.queries}
        more: set[PageQuery] = set()
        for number, reply in enumerate(replies):
            if isinstance(reply, StoreError):
                return dict.fromkeys(self.queries, reply)
            built, lists, values = reply
            if not built:
                query = self.query
                return dict.fromkeys(self.queries, rebuilding(Bucket(query.projection, query.generation, number).tag))
            rest = iter(values)
            for query, members in zip(self.queries, lists, strict=True):
                rows = found[query]
                if isinstance(members, ResponseError):
                    found[query] = told(members)
                    continue
                if len(members) > query.limit:
                    more.add(query)
                    members = members[: query.limit]
                taken = list(zip(members, islice(rest, len(members)), strict=True))
                if isinstance(rows, list):
                    rows += taken
        return {query: _page(query, rows, query in more, len(replies)) for query, rows in found.items()}


def _page(
    query: PageQuery, rows: list[tuple[bytes, bytes | None]] | StoreError, has_more: bool, buckets: int
) -> Page | StoreError:
    if isinstance(rows, StoreError):
        return rows
    if buckets > 1:
        rows.sort(key=lambda row: row[0], reverse=query.descending)
        has_more = has_more or len(rows) > query.limit
        rows = rows[: query.limit]
    shown: list[PageRow] = []
    for member, value in rows:
        try:
            shown.append(PageRow(member, member_id(member), None if value is None else unpack(value)))
        except WireError:
            return not_ours(member_id(member))
    return Page(shown, 0, has_previous=False, has_next=has_more)


def lists_of(pages: Iterable[PageQuery]) -> list[Lists]:
    """The pages that are not counted, by what can be read together."""
    alike: dict[tuple[Any, ...], dict[PageQuery, None]] = {}
    for query in pages:
        if not query.counted:
            place = (query.projection, query.generation, query.buckets, query.index_name, query.limit, query.descending)
            alike.setdefault(place, {})[query] = None
    found: list[Lists] = []
    for queries in alike.values():
        rest = iter(queries)
        while some := list(islice(rest, MAX_LISTS)):
            found.append(Lists(some[0], some))
    return found
