"""fetch -> decode -> project -> apply, for one projection.

Invariants: the position is stored by the same atomic change as the documents, so it is never ahead of them; whatever fails, the
consumer goes back to the stored positions and reads on from there, which versions make harmless; it ends only when it is stopped.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from projections.batch import Slice, slices
from projections.declare import Projection
from projections.decode import Decoder
from projections.errors import LogError, StoreError, StoreMisconfiguredError
from projections.lag import PartitionLag, write_report
from projections.log.port import Log, Partition
from projections.outage import Outage
from projections.pause import event_within
from projections.project import ChangeSet, Projector
from projections.quarantine import coordinates, set_aside
from projections.record import Decoded, Ignored, Outcome
from projections.store.keys import Bucket
from projections.store.port import Advance, Applied, BucketChange, Conflict, Full, ProjectorStore, Regressed
from projections.telemetry import Instruments

logger = logging.getLogger(__name__)

FETCH_WAIT_MS: Final = 250
TICK_S: Final = 1.0
"""How often positions are checked and the report is written, also when the log is quiet."""
RELIST_S: Final = 5.0
RELIST_MISSING_S: Final = 0.5
"""How often partitions are listed again: in general, and while a topic is not there yet."""
MAX_BACKOFF_S: Final = 1.5
FIRST_BACKOFF_S: Final = 0.05
MAX_CONFLICTS: Final = 5
FULL_RETRY_S: Final = 1.0
FULL_LOG_S: Final = 30.0


class Consumer:
    """Keeps one projection fed. `run` is called once; `stop` makes it return after the change that is under way.

    `assigned` is set once the projection has its partitions and positions for the first time.
    """

    def __init__(
        self,
        projection: Projection[Any, Any],
        log: Log,
        store: ProjectorStore,
        *,
        instruments: Instruments,
        buckets: int = 1,
        batch_records: int = 500,
    ) -> None:
        self.name = projection.name
        self.assigned = asyncio.Event()
        self._topics = tuple(projection.topics)
        self._log = log
        self._store = store
        self._decoder = Decoder(projection)
        self._projector = Projector(projection)
        self._instruments = instruments
        self._attributes = {"projection": projection.name}
        self._buckets = [Bucket(projection.name, projection.version, number) for number in range(buckets)]
        self._batch_records = batch_records
        self._stopping = asyncio.Event()
        self._stored: dict[Bucket, dict[Partition, int]] = {}
        self._next: dict[Partition, int] = {}
        self._event_time_ms: dict[Partition, int] = {}
        self._polled_ms = 0
        self._caught_up = False
        self._tick_due_s = self._list_due_s = self._full_log_due_s = 0.0

    def stop(self) -> None:
        """Makes `run` return within one fetch and one change."""
        self._stopping.set()

    async def run(self) -> None:
        """Consumes until it is stopped. Cancellation may cut a change off: it is then done or not done, and nothing is lost."""
        failures = 0
        outage = Outage(self.name)
        while not self._stopping.is_set():
            try:
                await self._resume()
                while not self._stopping.is_set() and await self._step():
                    failures = 0
                    outage.ended()
                if self._stopping.is_set():
                    await self._tick()
            except (LogError, StoreError) as error:
                self._instruments.outages.add(1, {**self._attributes, "error": type(error).__name__})
                outage.began(error)
                failures += 1
            except Exception as defect:  # one projection's defect must not stop the others
                logger.error("%s: a defect; it goes back to its positions", self.name, exc_info=defect)
                failures += 1
            if failures:
                backoff_s = min(MAX_BACKOFF_S, FIRST_BACKOFF_S * 2 ** min(failures, 10))
                await event_within(self._stopping, backoff_s * random.uniform(0.5, 1))  # noqa: S311

    async def _resume(self) -> None:
        """Lists partitions, reads positions and assigns: the way in, and the way on after whatever went wrong."""
        await self._claim_buckets()
        partitions = await self._log.partitions(self._topics)
        stored = {bucket: await self._store.positions(bucket) for bucket in self._buckets}
        self._stored = {bucket: {at: stored[bucket].get(at, 0) for at in partitions} for bucket in self._buckets}
        self._next = {at: min(self._stored[bucket][at] for bucket in self._buckets) for at in partitions}
        await self._log.assign(self._next)
        self._polled_ms = _now_ms()
        self._caught_up = False
        missing = set(self._topics) - {at.topic for at in partitions}
        self._list_due_s = time.monotonic() + (RELIST_MISSING_S if missing else RELIST_S)
        self._tick_due_s = 0.0
        self.assigned.set()

    async def _claim_buckets(self) -> None:
        """Raises StoreMisconfiguredError when this generation was built with another number of buckets."""
        projection, generation, _ = self._buckets[0]
        ours = len(self._buckets)
        stored = await self._store.claim_buckets(projection, generation, ours)
        if stored != ours:
            raise StoreMisconfiguredError(
                f"generation {generation} has {stored} buckets and HEADRACE_BUCKETS says {ours}: documents would be looked for "
                f"where they are not; set it back to {stored}, or raise the projection's version"
            )

    async def _step(self) -> bool:
        """One batch. False when the consumer has to go back to what is stored."""
        records = await self._log.fetch(max_records=self._batch_records, wait_ms=FETCH_WAIT_MS)
        self._polled_ms = _now_ms()
        outcomes = [self._decoder.decode(record) for record in records]
        for part in slices(outcomes, len(self._buckets)):
            if not await self._apply_slice(part):
                return False
        self._count(outcomes)
        caught_up = self._is_caught_up()
        if time.monotonic() >= self._tick_due_s or caught_up > self._caught_up:
            self._caught_up = caught_up
            if not await self._tick():
                return False
        return time.monotonic() < self._list_due_s or not await self._partitions_changed()

    async def _apply_slice(self, part: Slice) -> bool:
        for number, outcomes in part.by_bucket.items():
            if not await self._apply(self._buckets[number], outcomes, part.next):
                return False
        self._next.update(part.next)
        self._event_time_ms.update(part.time_ms)
        return True

    async def _apply(self, bucket: Bucket, outcomes: Sequence[Outcome], following: Mapping[Partition, int]) -> bool:
        """Folds outcomes onto what is stored and writes the result with the positions. False when the store has gone back."""
        ids = list(dict.fromkeys(outcome.id for outcome in outcomes if isinstance(outcome, Decoded | Ignored)))
        stored = self._stored[bucket]
        positions = {at: Advance(stored[at], offset) for at, offset in following.items()}
        conflicts = 0
        while True:
            documents = dict(zip(ids, await self._store.documents(bucket, ids), strict=True))
            result = self._projector.project(outcomes, documents)
            now_ms = _now_ms()
            aside = [set_aside(poison, now_ms) for poison in result.set_aside]
            started_s = time.perf_counter()
            outcome = await self._store.apply(BucketChange(bucket, result.changes, aside, positions))
            self._instruments.apply_duration.record(time.perf_counter() - started_s, self._attributes)
            match outcome:
                case Applied():
                    stored.update(following)
                    self._tell(outcome, result)
                    return True
                case Regressed():
                    return self._regressed(bucket, outcome, positions)
                case Conflict():
                    conflicts += 1
                    self._instruments.conflicts.add(1, self._attributes)
                    if conflicts == MAX_CONFLICTS:
                        raise StoreError(f"documents of {bucket.tag} keep changing: does another projector write them?")
                case Full():
                    if not await self._wait_for_room(bucket, outcome):
                        return False

    async def _tick(self) -> bool:
        """Brings the positions of idle buckets forward, notices a store that lost its tail, and reports.

        All buckets are brought to where reading goes on. After a resume that moves back one that was ahead, as the log is read from
        the bucket that is furthest behind: harmless, since versions skip what it has already.
        """
        for bucket in self._buckets:
            stored = self._stored[bucket]
            positions = {at: Advance(stored[at], self._next[at]) for at in stored}
            if not positions:
                continue
            outcome = await self._store.apply(BucketChange(bucket, positions=positions))
            if isinstance(outcome, Regressed):
                return self._regressed(bucket, outcome, positions)
            stored.update(self._next)
        await self._report()
        self._tick_due_s = time.monotonic() + TICK_S
        return True

    async def _report(self) -> None:
        """A topic that is not there yet is reported as an empty partition 0: nothing is behind."""
        ends = self._log.ends()
        lags = {
            at: PartitionLag(offset, ends.get(at), self._polled_ms, self._event_time_ms.get(at))
            for at, offset in self._next.items()
        }
        for topic in set(self._topics) - {at.topic for at in lags}:
            lags[Partition(topic, 0)] = PartitionLag(0, 0, self._polled_ms)
        report = write_report(lags)
        for bucket in self._buckets:
            await self._store.report(bucket, report)

    async def _wait_for_room(self, bucket: Bucket, full: Full) -> bool:
        """One interval of waiting for an operator to make room in the quarantine; it goes on reporting meanwhile."""
        now_s = time.monotonic()
        if now_s >= self._full_log_due_s:
            self._full_log_due_s = now_s + FULL_LOG_S
            logger.error(
                "%s: the quarantine of %s is full (%s records); waiting for room", self.name, bucket.tag, full.size
            )
        await self._report()
        await event_within(self._stopping, FULL_RETRY_S)
        return not self._stopping.is_set()

    def _regressed(self, bucket: Bucket, outcome: Regressed, expected: Mapping[Partition, Advance]) -> bool:
        self._instruments.regressions.add(1, self._attributes)
        for at, position in outcome.positions.items():
            if position != expected[at].expected:
                logger.warning(
                    "%s: %s of %s is stored as %s, not %s: going back to it",
                    self.name,
                    at,
                    bucket.tag,
                    position,
                    expected[at].expected,
                )
        return False

    async def _partitions_changed(self) -> bool:
        partitions = await self._log.partitions(self._topics)
        missing = set(self._topics) - {at.topic for at in partitions}
        self._list_due_s = time.monotonic() + (RELIST_MISSING_S if missing else RELIST_S)
        return set(partitions) != self._next.keys()

    def _is_caught_up(self) -> bool:
        ends = self._log.ends()
        return all(at in ends and offset >= ends[at] for at, offset in self._next.items())

    def _count(self, outcomes: Sequence[Outcome]) -> None:
        counts: dict[str, int] = {}
        for outcome in outcomes:
            name = type(outcome).__name__.lower()
            counts[name] = counts.get(name, 0) + 1
        for name, count in counts.items():
            self._instruments.records.add(count, {**self._attributes, "outcome": name})

    def _tell(self, applied: Applied, result: ChangeSet) -> None:
        self._instruments.applied.add(applied.applied, self._attributes)
        self._instruments.duplicates.add(applied.duplicates + result.duplicates, self._attributes)
        for poison in result.set_aside:
            self._instruments.set_aside.add(1, {**self._attributes, "cause": poison.cause})
        if result.set_aside:
            first = result.set_aside[0]
            logger.warning(
                "%s: %s records set aside, the first %s (%s)",
                self.name,
                len(result.set_aside),
                coordinates(first),
                first.cause,
            )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
