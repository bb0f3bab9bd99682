"""Looks over the shoulder of a `MemoryStore` in a simulation: what must hold after every single change.

Invariants: raises AssertionError, which ends the simulation, as soon as a refused change has changed anything, an older fence has
been let through, or a position is ahead of the data.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Sequence
from typing import Any, Final

from projections.log.port import Partition
from projections.store.change import Applied, ApplyOutcome, BucketChange
from projections.store.keys import Bucket, bucket_of, queue_place
from projections.store.memory import MemoryStore
from projections.store.model import BucketState
from tests.chaos.history import LOOSE
from tests.chaos.models import TIMELINE_BOUND, activity
from tests.chaos.oracle import IN_TIMELINE, SPOILS_TIMELINE, Logged


class Watch:
    """One watch over one store. `published` is the log, which grows meanwhile."""

    def __init__(self, store: MemoryStore, published: Sequence[Logged], buckets: int) -> None:
        self._store = store
        self._published = published
        self._buckets = buckets
        self._fences: dict[tuple[Bucket, Partition], tuple[int, bytes]] = {}
        self._seen: dict[Bucket, tuple[int, list[Logged]]] = {}
        self.violations: list[str] = []
        self.changes = 0
        self.refused: dict[str, int] = {}

    def forget(self) -> None:
        """The store has gone back: what it had let through before does not count any more."""
        self._fences.clear()

    async def applying(self, change: BucketChange, doing: Awaitable[ApplyOutcome]) -> ApplyOutcome:
        """Applies, and looks at what it did."""
        state = self._store.buckets[change.bucket]
        before = _frozen(state)
        outcome = await doing
        if isinstance(outcome, Applied):
            self.changes += 1
            self._fence(change)
            self._positions(change.bucket, state)
        else:
            name = type(outcome).__name__
            self.refused[name] = self.refused.get(name, 0) + 1
            self._must(_frozen(state) == before, f"{name}, and something was changed")
        return outcome

    def _must(self, holds: bool, told: str) -> None:
        """Kept as well as raised: a consumer takes any exception for a defect of its own and goes on."""
        if not holds:
            self.violations.append(told)
            raise AssertionError(told)

    def _fence(self, change: BucketChange) -> None:
        if change.fence is None:
            return
        mine = (change.fence.number, change.fence.owner.encode())
        for at in (*change.positions, *change.caught_up):
            largest = self._fences.get((change.bucket, at), mine)
            self._must(mine >= largest, f"{change.bucket.tag} {at}: a change under {mine} after one under {largest}")
            self._fences[change.bucket, at] = mine

    def raised(self, bucket: Bucket, partitions: Sequence[Partition], fence: Any) -> None:
        """A fence was raised: nothing under a smaller one may be written from now on."""
        for at in partitions:
            self._fences[bucket, at] = (fence.number, fence.owner.encode())

    def _positions(self, bucket: Bucket, state: BucketState) -> None:
        """Everything before a position is in the data."""
        missing = self._not_in_timeline if bucket.projection == activity.name else self._not_in_documents
        positions = {(at.topic, at.number): offset for at, offset in state.positions.items()}
        for row in self._rows(bucket):
            message = row.message
            if row.offset < positions.get((message.topic, message.partition), 0) and missing(bucket, state, row):
                self._must(False, f"{bucket.tag}: {row.coordinates} is before the position, and not in the data")

    def _rows(self, bucket: Bucket) -> Sequence[Logged]:
        """The records that this bucket should hold."""
        seen, rows = self._seen.get(bucket, (0, []))
        is_timeline = bucket.projection == activity.name
        for row in itertools.islice(self._published, seen, None):
            fact = row.message.fact
            if fact is None:
                continue
            key = fact.data["customerId"] if is_timeline and fact.data and fact.kind in IN_TIMELINE else fact.id
            is_loose = row.message.broken in LOOSE and not is_timeline
            if is_loose or bucket_of(key, self._buckets) == bucket.number:
                rows.append(row)
        self._seen[bucket] = (len(self._published), rows)
        return rows

    def _not_in_documents(self, bucket: Bucket, state: BucketState, row: Logged) -> bool:
        fact = row.message.fact
        assert fact
        if row.message.broken in LOOSE:
            return self._is_not_set_aside(bucket, row)
        document = state.documents.get(fact.id)
        if document is not None and document.at >= fact.at:
            return False
        return queue_place(*fact.at) not in state.queues.get(fact.id, {})

    def _is_not_set_aside(self, bucket: Bucket, row: Logged) -> bool:
        """A record of no aggregate is in one of the buckets, once all of them are past it."""
        at = Partition(row.message.topic, row.message.partition)
        states = [self._store.buckets[bucket._replace(number=number)] for number in range(self._buckets)]
        if any(state.positions.get(at, 0) <= row.offset for state in states):
            return False
        return all(row.coordinates not in state.quarantine for state in states)

    def _not_in_timeline(self, bucket: Bucket, state: BucketState, row: Logged) -> bool:
        fact, broken = row.message.fact, row.message.broken
        assert fact
        if fact.data is None or fact.kind not in IN_TIMELINE or broken in _NO_ENTRY:
            return False
        entries = state.timelines.get(fact.data["customerId"], {})
        return len(entries) < TIMELINE_BOUND and f"chaos {fact.event_id}" not in entries


_NO_ENTRY: Final = (*SPOILS_TIMELINE, "type", "tombstone")


def _frozen(state: BucketState) -> tuple[Any, ...]:
    """All that a change could touch, as it is now."""
    return (
        dict(state.documents),
        {name: set(members) for name, members in state.lists.items() if members},
        dict(state.numbers),
        {key: dict(entries) for key, entries in state.timelines.items()},
        dict(state.positions),
        dict(state.identities),
        dict(state.fences),
        set(state.caught_up),
        state.is_built,
        dict(state.quarantine),
        {id: dict(queue) for id, queue in state.queues.items() if queue},
    )
