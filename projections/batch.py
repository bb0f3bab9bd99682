"""Cuts decoded records into slices, each small enough for one atomic change per bucket.

Invariants: pure; slices keep the order of the log, so that a position may advance with each of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from projections.log.port import Partition
from projections.record import Decoded, Foreign, Ignored, Moment, Outcome, Poison
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
    partitions: dict[tuple[str, int], Partition] = {}
    for outcome in outcomes:
        item = _item(outcome)
        if item is not None:
            bucket = bucket_of(_owner(outcome), buckets) if buckets > 1 else 0
            taken = items.get(bucket)
            if taken is None:
                taken = items[bucket] = set()
            elif item not in taken and len(taken) >= MAX_ITEMS:
                yield current
                current, items = Slice(), {bucket: (taken := set())}
            taken.add(item)
            share = current.by_bucket.get(bucket)
            if share is None:
                share = current.by_bucket[bucket] = []
            share.append(outcome)
        record = outcome.record
        at = partitions.get((record.topic, record.partition))
        if at is None:
            at = partitions[record.topic, record.partition] = Partition(record.topic, record.partition)
        current.next[at] = record.offset + 1
        if not isinstance(outcome, _TIMELESS) and outcome.time_ms > current.time_ms.get(at, -1):
            current.time_ms[at] = outcome.time_ms
    if current.next:
        yield current


_TIMELESS: Final = (Foreign, Poison)
_OF_AGGREGATES: Final = (Decoded, Ignored, Poison)


def _item(outcome: Outcome) -> str | int | None:
    """What an outcome counts as in its bucket: an aggregate, or itself; None when it only moves the position."""
    if isinstance(outcome, _OF_AGGREGATES) and outcome.id is not None:
        return outcome.id
    return _coordinates(outcome) if isinstance(outcome, Moment | Poison) else None


def _owner(outcome: Outcome) -> str:
    """Whose bucket it is: the aggregate's, the timeline's, or that of the record's key."""
    if isinstance(outcome, Moment):
        return outcome.key
    if isinstance(outcome, _OF_AGGREGATES) and outcome.id is not None:
        return outcome.id
    return (outcome.record.key or b"").decode(errors="replace")


def _coordinates(outcome: Outcome) -> int:
    """A number, so that it is no aggregate's id."""
    return hash((outcome.record.topic, outcome.record.partition, outcome.record.offset))
