"""Cuts decoded records into slices, each small enough for one atomic change per bucket.

Invariants: pure; slices keep the order of the log, so that a position may advance with each of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from projections.log.port import Partition
from projections.record import Decoded, Ignored, Moment, Outcome, Poison
from projections.store.keys import bucket_of

MAX_ITEMS: Final = 200
"""Items of one `apply`: 1-2 ms of the server's time, so that reads do not stall behind it."""


@dataclass
class Slice:
    """Consecutive records: by number of bucket those that concern it, and where each partition goes on after them."""

    by_bucket: dict[int, list[Outcome]] = field(default_factory=dict[int, list[Outcome]])
    next: dict[Partition, int] = field(default_factory=dict[Partition, int])
    time_ms: dict[Partition, int] = field(default_factory=dict[Partition, int])


def slices(outcomes: Iterable[Outcome], buckets: int) -> Iterator[Slice]:
    """Cuts before a bucket would get more than MAX_ITEMS aggregates, entries of timelines and records of no aggregate."""
    current = Slice()
    items: dict[int, set[str | int]] = {}
    for outcome in outcomes:
        bucket, item = _place(outcome, buckets)
        if bucket is not None:
            taken = items.setdefault(bucket, set())
            if item not in taken and len(taken) >= MAX_ITEMS:
                yield current
                current, items = Slice(), {bucket: (taken := set())}
            taken.add(item)
            current.by_bucket.setdefault(bucket, []).append(outcome)
        at = Partition(outcome.record.topic, outcome.record.partition)
        current.next[at] = outcome.record.offset + 1
        if isinstance(outcome, Poison):
            continue
        time_ms = getattr(outcome, "time_ms", None)
        if time_ms is not None:
            current.time_ms[at] = max(time_ms, current.time_ms.get(at, 0))
    if current.next:
        yield current


def _place(outcome: Outcome, buckets: int) -> tuple[int | None, str | int]:
    """The bucket that an outcome concerns and what it counts as there; no bucket when it only moves the position."""
    if isinstance(outcome, Decoded | Ignored):
        return bucket_of(outcome.id, buckets), outcome.id
    if isinstance(outcome, Moment):
        return bucket_of(outcome.key, buckets), _coordinates(outcome)
    if isinstance(outcome, Poison):
        if outcome.id is not None:
            return bucket_of(outcome.id, buckets), outcome.id
        key = (outcome.record.key or b"").decode(errors="replace")
        return bucket_of(key, buckets), _coordinates(outcome)
    return None, ""


def _coordinates(outcome: Outcome) -> int:
    """A number, so that it is no aggregate's id."""
    return hash((outcome.record.topic, outcome.record.partition, outcome.record.offset))
