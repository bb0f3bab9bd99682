"""One projection's consumer: joins its group, takes its share over, works on it in stages, and goes back to what is stored when
anything is not as it was left.

Invariants: the position is stored by the same atomic change as the documents, so it is never ahead of them; whatever fails, the
consumer goes back to the stored positions and reads on from there, which versions make harmless; it ends only when it is stopped.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
import uuid
from collections.abc import Coroutine, Mapping
from typing import Any, Final, TypeVar

from projections.batch import MAX_RECORDS
from projections.burst import Burst
from projections.errors import (
    FailureBurstError,
    FencedError,
    LogError,
    OwnershipError,
    QuarantineFullError,
    StoreError,
    StoreMisconfiguredError,
)
from projections.lag import write_report
from projections.log.port import Assignment, Log, Partition
from projections.outage import Outage
from projections.pause import event_within
from projections.progress import Progress
from projections.runtime import Definition, runtime_of
from projections.share import Share, hold, written
from projections.stages import Stages
from projections.store.change import Advance, BucketChange
from projections.store.keys import Bucket
from projections.store.port import ProjectorStore
from projections.telemetry import Instruments

logger = logging.getLogger(__name__)

T = TypeVar("T")

TICK_S: Final = 1.0
"""How often idle buckets are brought forward and looked at, and the report is written, also when the log is quiet."""
COMMIT_S: Final = 5.0
"""How often positions are committed to the group: advice for tools that look at groups, and a sign that the share is still ours."""
MAX_BACKOFF_S: Final = 1.5
FIRST_BACKOFF_S: Final = 0.05
FULL_RETRY_S: Final = 1.0
WELL_S: Final = 1.0
"""An attempt that lasted so long, or wrote something, does not lengthen the next pause."""
NOT_THERE: Final = -1
"""Number of the partition that stands for a topic that is not there: nothing of it is missing."""
LOG_AGAIN_S: Final = 30.0
"""How often a state that only a person can end is told again."""


class Consumer:
    """Keeps one projection or timeline fed. `run` is called once; `stop` makes it return after what was read is written.

    `assigned` is set once it holds a share for the first time.
    """

    def __init__(
        self,
        definition: Definition,
        log: Log,
        store: ProjectorStore,
        *,
        instruments: Instruments,
        buckets: int = 1,
        batch_records: int = 500,
        failure_burst_percent: int = 50,
    ) -> None:
        self.name = definition.name
        self.assigned = asyncio.Event()
        self._owner = uuid.uuid4().hex[:16]
        self._topics = tuple(definition.topics)
        self._log = log
        self._store = store
        self._runtime = runtime_of(definition)
        self._instruments = instruments
        self._attributes = {"projection": self.name}
        self._buckets = [Bucket(definition.name, definition.version, number) for number in range(buckets)]
        self._batch_records = batch_records
        self._burst = Burst(failure_burst_percent)
        self._progress = Progress(self.name, instruments, self._owner)
        self._outage = Outage(self.name)
        self._stopping = asyncio.Event()
        self._share: Share | None = None
        self._next: Mapping[Partition, int] = {}
        self._is_lost = False
        self._one_by_one = 0
        self._failures = 0
        self._told_due_s = self._commit_due_s = 0.0

    def stop(self) -> None:
        """Makes `run` return once what was read is written."""
        self._stopping.set()

    async def run(self) -> None:
        """Consumes until it is stopped. Cancellation may cut a change off: it is then done or not done, and nothing is lost."""
        assignment: Assignment | None = None
        is_fenced = False
        while not self._stopping.is_set():
            began_s, written_before = time.monotonic(), self._progress.written
            try:
                if is_fenced and not await self._log.prove(self._next):
                    assignment = None
                is_fenced = False
                if assignment is None or self._log.is_revoked:
                    assignment = await self._unless_stopped(self._log.join(self._topics))
                if assignment is not None and not await self._hold_and_work(assignment):
                    assignment = None
                continue
            except OwnershipError as error:
                is_fenced = isinstance(error, FencedError)
                self._instruments.setbacks.add(1, {**self._attributes, "error": type(error).__name__})
                logger.warning("%s: %s", self.name, error)
            except (QuarantineFullError, FailureBurstError) as error:
                longest = max(self._batch_records, MAX_RECORDS)
                self._one_by_one = longest if isinstance(error, QuarantineFullError) else 0
                await self._rest(error)
                continue
            except (LogError, StoreError) as error:
                self._instruments.outages.add(1, {**self._attributes, "error": type(error).__name__})
                self._outage.began(error)
                assignment = None if isinstance(error, LogError) else assignment
            except Exception as defect:  # one projection's defect must not stop the others
                logger.error("%s: a defect; it goes back to its positions", self.name, exc_info=defect)
            went_well = self._progress.written > written_before or time.monotonic() - began_s > WELL_S
            await self._back_off(went_well=went_well)

    async def _back_off(self, *, went_well: bool) -> None:
        self._failures = 1 if went_well else self._failures + 1
        backoff_s = min(MAX_BACKOFF_S, FIRST_BACKOFF_S * 2 ** min(self._failures, 10))
        await event_within(self._stopping, backoff_s * random.uniform(0.5, 1))  # noqa: S311

    async def _rest(self, error: QuarantineFullError | FailureBurstError) -> None:
        """Waits for a person, or for the share to be given to somebody else; goes on reporting meanwhile.

        Of a full quarantine it looks again every FULL_RETRY_S, since an operator can make room; a failure burst ends with the
        deploy of other code.
        """
        self._progress.stopped = str(error)
        while not self._stopping.is_set() and not self._log.is_revoked:
            now_s = time.monotonic()
            if now_s >= self._told_due_s:
                self._told_due_s = now_s + LOG_AGAIN_S
                logger.error("%s: it has stopped: %s", self.name, error)
            try:
                if self._share is not None:
                    await self._report(self._share)
            except StoreError as away:
                self._outage.began(away)
            await event_within(self._stopping, FULL_RETRY_S)
            if isinstance(error, QuarantineFullError):
                return

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

    async def _hold_and_work(self, assignment: Assignment) -> bool:
        """Works on the share until it is given up or the consumer stops. False when the group has to be joined again."""
        await self._claim_buckets()
        share = self._share = await hold(self._log, self._store, assignment, self._buckets, self._owner)
        if share is None:
            return False
        self._next = share.next
        self._is_lost = False
        if not self._burst.began():  # the same records are about to be read again, and would count twice
            self._burst.clear()
        self._commit_due_s = time.monotonic() + COMMIT_S
        self.assigned.set()
        self._progress.passed_by(share)
        self._progress.missed(share)
        stages = Stages(
            self._runtime,
            self._log,
            self._store,
            share,
            burst=self._burst,
            progress=self._progress,
            batch_records=self._batch_records,
            one_by_one=self._one_by_one,
            tick_s=TICK_S,
            tick=lambda: self._tick(share),
            should_end=lambda: self._stopping.is_set() or self._log.is_revoked or self._is_lost,
        )
        self._one_by_one = 0
        try:
            await stages.run()
        except ExceptionGroup as group:
            raise _first(group) from None
        return not self._is_lost

    async def _tick(self, share: Share) -> None:
        """Brings the positions of idle buckets forward, notices a store that lost its tail, marks what is built, and reports.

        All buckets are brought to where reading goes on. After a share was taken over that moves back one that was ahead, as the
        log is read from the bucket that is furthest behind: harmless, since versions skip what it has already.
        """
        share.saw_ends(self._log.ends())
        for bucket in self._buckets:
            await self._bring_forward(share, bucket)
        self._outage.ended()
        await self._report(share)
        if time.monotonic() >= self._commit_due_s:
            self._commit_due_s = time.monotonic() + COMMIT_S
            await self._claim_buckets()  # a failover may have lost the number alone, which no position tells
            self._is_lost = bool(share.next) and not await self._log.prove(share.next)

    async def _bring_forward(self, share: Share, bucket: Bucket) -> None:
        stored = share.stored[bucket]
        if stored:
            caught_up, partitions = share.marks(bucket)
            positions = {at: Advance(stored[at], share.next[at]) for at in stored}
            fence = share.fences[bucket]
            change = BucketChange(bucket, positions=positions, fence=fence, caught_up=caught_up, partitions=partitions)
            written(bucket, await self._store.apply(change))
            stored.update(share.next)
        if share.assignment.missing:
            missing = [Partition(topic, NOT_THERE) for topic in share.assignment.missing]
            change = BucketChange(bucket, caught_up=missing, partitions=[*share.assignment.all, *missing])
            written(bucket, await self._store.apply(change))
        if bucket not in share.built and (await self._store.standing(bucket)).is_built:
            share.built.add(bucket)

    async def _report(self, share: Share) -> None:
        report = write_report(self._progress.report(share, self._log.ends()))
        for bucket in self._buckets:
            await self._store.report(bucket, report)

    async def _unless_stopped(self, work: Coroutine[Any, Any, T]) -> T | None:
        """What it comes to; None when the consumer is told to stop first."""

        async def call_off(doing: asyncio.Task[T]) -> None:
            await self._stopping.wait()
            doing.cancel()

        try:
            async with asyncio.TaskGroup() as group:
                doing = group.create_task(work)
                watching = group.create_task(call_off(doing))
                await asyncio.wait([doing])
                watching.cancel()
        except ExceptionGroup as failure:
            raise _first(failure) from None
        return None if doing.cancelled() else doing.result()


def _first(group: ExceptionGroup[Exception]) -> Exception:
    """What ended the work: the stages that were called off because of it raise nothing."""
    error: Exception = group
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error
