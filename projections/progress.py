"""How far a consumer has come: what it counts for operators, and the report that readers tell staleness by.

Invariants: reports say what was written, not what was read; rates are over the time since the report before.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from projections.batch import Slice
from projections.lag import STOPPED, PartitionLag
from projections.log.port import Partition
from projections.project import ChangeSet
from projections.quarantine import coordinates
from projections.record import Outcome, Poison
from projections.share import Share
from projections.store.change import Applied
from projections.telemetry import Instruments

logger = logging.getLogger(__name__)

RUNNING: Final = "running"
REBUILDING: Final = "rebuilding"


class Progress:
    """The progress of one consumer, over all the shares that it has in turn."""

    def __init__(self, name: str, instruments: Instruments, owner: str) -> None:
        self.name = name
        self.stopped: str | None = None
        """Why it does not go on, for operators; None when it does."""
        self.written = 0
        """Slices that were written."""
        self._owner = owner
        self._instruments = instruments
        self._attributes = {"projection": name}
        self._event_time_ms: dict[Partition, int] = {}
        self._polled_ms = _now_ms()
        self._was_caught_up = False
        self._vanished: frozenset[str] = frozenset()
        self._reported: dict[Partition, int] = {}
        self._reported_s = time.monotonic()

    def polled(self) -> None:
        """The log has answered."""
        self._polled_ms = _now_ms()

    def passed_by(self, share: Share) -> None:
        """Records were gone from the log before they were read: retention was shorter than the time away."""
        for at, (position, start) in share.gone.items():
            self._instruments.gone.add(start - position, {**self._attributes, "topic": at.topic})
            told = "%s: %s begins at %s: records from %s on are gone, and what they said can only come from their owner"
            logger.error(told, self.name, at, start, position)

    def missed(self, share: Share) -> None:
        """Topics have vanished: told once, until they are there again. What was read of them stays."""
        for topic in sorted(share.vanished - self._vanished):
            self._instruments.vanished.add(1, {**self._attributes, "topic": topic})
            logger.error("%s: topic %s was read and is there no longer: nothing new comes of it", self.name, topic)
        self._vanished = share.vanished

    def read(self, outcomes: Sequence[Outcome]) -> None:
        """Records were read and decoded."""
        for kind, count in Counter(map(type, outcomes)).items():
            self._instruments.records.add(count, {**self._attributes, "outcome": kind.__name__.lower()})

    def changed(self, applied: Applied, result: ChangeSet) -> None:
        """A change of one bucket was written."""
        self._instruments.applied.add(applied.applied + applied.appended, self._attributes)
        if result.duplicates:
            self._instruments.duplicates.add(result.duplicates, self._attributes)
        refused: list[Poison] = [*result.set_aside, *result.parked]
        for cause, count in Counter(poison.cause for poison in refused).items():
            self._instruments.set_aside.add(count, {**self._attributes, "cause": cause})
        if refused:
            first = refused[0]
            told = "%s: %s records set aside, the first %s (%s)"
            logger.warning(told, self.name, len(refused), coordinates(first), first.cause)

    def applied(self, duration_s: float) -> None:
        """The store has answered a change."""
        self._instruments.apply_duration.record(duration_s, self._attributes)

    def wrote(self, part: Slice) -> None:
        """All buckets have a slice."""
        self.written += 1
        self.stopped = None
        self._event_time_ms.update(part.time_ms)

    def has_just_caught_up(self, share: Share, ends: Mapping[Partition, int]) -> bool:
        """Whether the end of all partitions was reached for the first time since something was behind."""
        is_caught_up = all(at in ends and offset >= ends[at] for at, offset in share.next.items())
        has_just = is_caught_up and not self._was_caught_up
        self._was_caught_up = is_caught_up
        return has_just

    def report(self, share: Share, ends: Mapping[Partition, int]) -> dict[Partition, PartitionLag]:
        """The report of the share's partitions. A topic that is not there yet is an empty partition 0: nothing is behind."""
        now_s = time.monotonic()
        passed_s = max(now_s - self._reported_s, 1e-3)
        state = f"{STOPPED}{self.stopped}" if self.stopped else RUNNING if share.is_built else REBUILDING
        lags = {
            at: PartitionLag(
                next=offset,
                end=ends.get(at),
                polled_ms=self._polled_ms,
                event_time_ms=self._event_time_ms.get(at),
                rate=round(max(0, offset - self._reported.get(at, offset)) / passed_s, 1),
                state=state,
                owner=self._owner,
            )
            for at, offset in share.next.items()
        }
        for topic in share.assignment.missing:
            lags[Partition(topic, 0)] = PartitionLag(0, 0, self._polled_ms, state=state)
        self._reported, self._reported_s = dict(share.next), now_s
        return lags


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
