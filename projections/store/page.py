"""A page gathered over buckets: which bounds each bucket is asked for, and how the answers become one page.

Invariants: pure; rows of all buckets are in one order, that of their members' bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from projections.store.keys import Bucket
from projections.store.port import Listing, MeasureQuery, Page, PageQuery

MAX_LIMIT: Final = 1000


class Walk(NamedTuple):
    """A page in the terms of one sorted set: exclusive bounds (empty: none), and `down` to go from the high end."""

    low: bytes
    high: bytes
    down: bool


class Share(NamedTuple):
    """What one bucket has of a page: counts of its rows up to the low bound, between the bounds, from the high one on; and
    the first `limit` rows between the bounds in the order they were walked: their members, and what these name.
    """

    total: int
    below: int
    between: int
    above: int
    members: Sequence[bytes]
    stored: Sequence[bytes | None]


def buckets(query: Listing | PageQuery | MeasureQuery) -> list[Bucket]:
    """The buckets that a list, a page or a measure is gathered from."""
    return [Bucket(query.projection, query.generation, number) for number in range(query.buckets)]


def walk(query: PageQuery) -> Walk:
    """How to walk the sorted sets. Raises ValueError for a limit out of range."""
    if not 0 <= query.limit <= MAX_LIMIT:
        raise ValueError(f"limit {query.limit} is not from 0 to {MAX_LIMIT}")
    after, before = query.after or b"", query.before or b""
    down = query.descending != query.backward
    return Walk(before, after, down) if query.descending else Walk(after, before, down)


def merge(query: PageQuery, shares: Sequence[Share]) -> Page:
    """One page out of the shares of all buckets."""
    members: list[bytes] = []
    stored: list[bytes | None] = []
    total = below = between = above = 0
    for share in shares:
        members += share.members
        stored += share.stored
        total += share.total
        below += share.below
        between += share.between
        above += share.above
    if len(shares) > 1:
        members, stored = in_order(members, stored, walk(query).down)
    if len(members) > query.limit:
        del members[query.limit :], stored[query.limit :]
    if query.backward:
        members.reverse()
        stored.reverse()
    before, after = (above > 0, below > 0) if query.descending else (below > 0, above > 0)
    if members and between > len(members):
        before, after = before or query.backward, after or not query.backward
    return Page(members, stored, total, before, after)


def in_order(
    members: Sequence[bytes], stored: Sequence[bytes | None], is_down: bool
) -> tuple[list[bytes], list[bytes | None]]:
    """Rows of several buckets in the order of their members' bytes."""
    order = sorted(range(len(members)), key=members.__getitem__, reverse=is_down)
    return [members[at] for at in order], [stored[at] for at in order]
