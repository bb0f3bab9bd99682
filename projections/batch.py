"""Cuts decoded records into slices, each small enough for one atomic change per bucket.

Invariants: pure; slices keep the order of the log, so that a position may advance with each of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from projections.log.port import Partition
from projections.record import Decoded, Foreign, Ignored, Moment, Outcome, Poison, Record
from projections.store.keys import bucket_of

MAX_ITEMS: Final = 200
"""Items of one `apply`: 1-2 ms of the server's time, so that reads do not stall behind it."""
MAX_RECORDS: Final = 2000
"""Records of a slice that is made of several batches: so many of few aggregates are folded before any of them is seen."""


@dataclass
class Slice:
    """Consecutive records: by number of bucket those that concern it, and where each partition goes on after them."""

    by_bucket: dict[int, list[Outcome]] = field(default_factory=dict[int, list[Outcome]])
    next: dict[Partition, int] = field(default_factory=dict[Partition, int])
    time_ms: dict[Partition, int] = field(default_factory=dict[Partition, int])


class Cutter:
    """Cuts outcomes into slices, across the batches in which they come. Mutable, one owner."""

    def __init__(self, buckets: int) -> None:
        self._buckets = buckets
        self._partitions: dict[tuple[str, int], Partition] = {}
        self._begin()

    def _begin(self) -> None:
        self._slice = Slice()
        self._taken: dict[int, set[str | int]] = {}
        self._records = 0

    @property
    def holds(self) -> bool:
        """Whether a slice is begun, which `rest` gives out."""
        return bool(self._slice.next)

    def rest(self) -> Slice | None:
        """The slice that is begun, if any; the next one begins anew."""
        rest = self._slice
        self._begin()
        return rest if rest.next else None

    def add(self, outcomes: Sequence[Outcome]) -> list[Slice]:
        """The slices that are full now: before a bucket would get more than MAX_ITEMS aggregates, entries of timelines and records
        of no aggregate, and before a batch with which there would be more than MAX_RECORDS records.
        """
        full: list[Slice] = []
        if self._records + len(outcomes) > MAX_RECORDS and (rest := self.rest()):
            full.append(rest)
        self._records += len(outcomes)
        first = 0
        for last, outcome in enumerate(outcomes):
            item = outcome.id if type(outcome) is Decoded else _item(outcome)
            if item is None:
                continue
            bucket = bucket_of(_owner(outcome), self._buckets) if self._buckets > 1 else 0
            taken = self._taken.get(bucket)
            if taken is None:
                taken = self._share(bucket)
            elif len(taken) >= MAX_ITEMS and item not in taken:
                self._pass(outcomes[first:last])
                full.append(self._slice)
                self._begin()
                self._records, first, taken = len(outcomes) - last, last, self._share(bucket)
            taken.add(item)
            self._slice.by_bucket[bucket].append(outcome)
        self._pass(outcomes[first:])
        return full

    def _share(self, bucket: int) -> set[str | int]:
        self._slice.by_bucket[bucket] = []
        self._taken[bucket] = set()
        return self._taken[bucket]

    def _pass(self, outcomes: Sequence[Outcome]) -> None:
        """Takes note of where the log goes on behind these: they come in runs of one partition, in its order."""
        topic, number, time_ms = "", -1, -1
        record: Record | None = None
        for outcome in outcomes:
            following = outcome.record
            if following.partition != number or following.topic != topic:
                self._settle(record, time_ms)
                topic, number, time_ms = following.topic, following.partition, -1
            record = following
            if type(outcome) not in _TIMELESS and outcome.time_ms > time_ms:  # type: ignore[union-attr]
                time_ms = outcome.time_ms  # type: ignore[union-attr]
        self._settle(record, time_ms)

    def _settle(self, last: Record | None, time_ms: int) -> None:
        if last is None:
            return
        at = self._partitions.get((last.topic, last.partition))
        if at is None:
            at = self._partitions[last.topic, last.partition] = Partition(last.topic, last.partition)
        self._slice.next[at] = last.offset + 1
        if time_ms > self._slice.time_ms.get(at, -1):
            self._slice.time_ms[at] = time_ms


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
