"""A page gathered over buckets: which bounds each bucket is asked for, and how the answers become one page.

Invariants: pure; rows of all buckets are in one order, that of their members' bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from projections.store.document import Document
from projections.store.keys import Bucket, member_id
from projections.store.port import MeasureQuery, Page, PageQuery, PageRow

MAX_LIMIT: Final = 1000


class Walk(NamedTuple):
    """A page in the terms of one sorted set: exclusive bounds (empty: none), and `down` to go from the high end."""

    low: bytes
    high: bytes
    down: bool


class Share(NamedTuple):
    """What one bucket has of a page: counts of its rows up to the low bound, between the bounds, from the high one on; and
    the first `limit` rows between the bounds in the order they were walked, with the bytes of what they name.
    """

    total: int
    below: int
    between: int
    above: int
    rows: Sequence[tuple[bytes, bytes | None]]


def buckets(query: PageQuery | MeasureQuery) -> list[Bucket]:
    """The buckets that a page or a measure is gathered from."""
    return [Bucket(query.projection, query.generation, number) for number in range(query.buckets)]


def walk(query: PageQuery) -> Walk:
    """How to walk the sorted sets. Raises ValueError for a limit out of range."""
    if not 0 <= query.limit <= MAX_LIMIT:
        raise ValueError(f"limit {query.limit} is not from 0 to {MAX_LIMIT}")
    after, before = query.after or b"", query.before or b""
    down = query.descending != query.backward
    return Walk(before, after, down) if query.descending else Walk(after, before, down)


def merge(query: PageQuery, shares: Sequence[Share], document: Callable[[str, bytes | None], Document | None]) -> Page:
    """One page out of the shares of all buckets; `document` reads what a row (its id, the bytes) names."""
    rows: list[tuple[bytes, bytes | None]] = []
    total = below = between = above = 0
    for share in shares:
        rows += share.rows
        total += share.total
        below += share.below
        between += share.between
        above += share.above
    if len(shares) > 1:
        rows.sort(key=lambda row: row[0], reverse=walk(query).down)
    if len(rows) > query.limit:
        rows = rows[: query.limit]
    if query.backward:
        rows.reverse()
    before, after = (above > 0, below > 0) if query.descending else (below > 0, above > 0)
    if rows and between > len(rows):
        before, after = before or query.backward, after or not query.backward
    named: list[PageRow] = []
    for entry, value in rows:
        id = member_id(entry)
        named.append(PageRow(entry, id, document(id, value)))
    return Page(named, total, before, after)
