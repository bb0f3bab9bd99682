"""Looks over the shoulder of a `MemoryStore` in a simulation: what must hold after every single change.

Invariants: raises AssertionError, which ends the simulation, as soon as a refused change has changed anything, an older fence has
been let through, or a position is ahead of the data.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any

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
        check = self._timeline if bucket.projection == activity.name else self._document
        for row in self._published:
            at = Partition(row.message.topic, row.message.partition)
            if row.message.fact is not None and row.offset < state.positions.get(at, 0):
                missing = check(bucket, state, row)
                self._must(not missing, f"{bucket.tag}: {row.coordinates} is before the position, and {missing}")

    def _document(self, bucket: Bucket, state: BucketState, row: Logged) -> str | None:
        fact = row.message.fact
        assert fact
        if row.message.broken in LOOSE:
            numbers = range(self._buckets)
            buckets = [self._store.buckets[Bucket(bucket.projection, bucket.generation, number)] for number in numbers]
            places = [at for each in buckets for at, offset in each.positions.items() if offset > row.offset]
            is_there = any(row.coordinates in each.quarantine for each in buckets)
            everywhere = places.count(Partition(row.message.topic, row.message.partition)) == self._buckets
            return None if is_there or not everywhere else "is not in the quarantine"
        if bucket_of(fact.id, self._buckets) != bucket.number:
            return None
        document = state.documents.get(fact.id)
        if document is not None and document.at >= fact.at:
            return None
        is_waiting = queue_place(*fact.at) in state.queues.get(fact.id, {})
        return None if is_waiting else f"{fact.id} is at {document and document.at}, not {fact.at}, nor is it waiting"

    def _timeline(self, bucket: Bucket, state: BucketState, row: Logged) -> str | None:
        fact, broken = row.message.fact, row.message.broken
        assert fact
        if fact.data is None or fact.kind not in IN_TIMELINE or broken in (*SPOILS_TIMELINE, "type", "tombstone"):
            return None
        key = fact.data["customerId"]
        if bucket_of(key, self._buckets) != bucket.number:
            return None
        entries = state.timelines.get(key, {})
        if len(entries) >= TIMELINE_BOUND or any(name.endswith(f" {fact.event_id}") for name in entries):
            return None
        return f"{fact.event_id} is not in the timeline of {key}"


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

