"""read -> fold -> write: the three stages that work on one share at the same time, each a slice ahead of the next.

Invariants: slices keep the order of the log through all stages; a slice is folded onto documents that are at least as new as the
slices before it, whether these are written yet or not; a refused change ends all three stages, and nothing behind it is written.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from projections.batch import Cutter, Slice
from projections.burst import Burst
from projections.errors import ConflictedError, FailureBurstError, QuarantineFullError
from projections.log.port import Log, Partition
from projections.pause import heed_cancellation
from projections.progress import Progress
from projections.project import ChangeSet
from projections.quarantine import set_aside
from projections.record import Outcome
from projections.runtime import Runtime
from projections.share import Share, written
from projections.store.change import Advance, BucketChange, Conflict, Full, Overflow, Waiting
from projections.store.document import PARKED, Document
from projections.store.keys import Bucket
from projections.store.port import ProjectorStore

A = TypeVar("A")
R = TypeVar("R")

FETCH_WAIT_MS: Final = 250
READ_AHEAD: Final = 12
"""Slices that are decoded and wait to be folded: some 2,400 records, for the time that the broker takes to answer a fetch. aiokafka
asks for the next one when nothing is left of the last.
"""
BUILDING_TICK_S: Final = 0.1
"""How often marks are looked at while a bucket is not built: readers wait for it."""
FOLD_AHEAD: Final = 1
"""Slices that are folded and wait to be written: while one is on its way to the store, the next is being folded."""


@dataclass(frozen=True)
class Folded:
    """A slice with what it comes to in each bucket that it concerns."""

    part: Slice
    results: Mapping[Bucket, ChangeSet]


class Stages:
    """The three stages over one share, from when it is taken until it is given up. `run` is called once.

    The first `one_by_one` records are slices of their own: what fitted into a quarantine is then in it, to be dealt with.
    """

    def __init__(
        self,
        runtime: Runtime,
        log: Log,
        store: ProjectorStore,
        share: Share,
        *,
        burst: Burst,
        progress: Progress,
        batch_records: int,
        one_by_one: int = 0,
        tick_s: float,
        tick: Callable[[], Awaitable[None]],
        should_end: Callable[[], bool],
    ) -> None:
        self._runtime = runtime
        self._log = log
        self._store = store
        self._share = share
        self._burst = burst
        self._progress = progress
        self._batch_records = batch_records
        self._one_by_one = one_by_one
        self._tick_s = tick_s
        self._tick = tick
        self._should_end = should_end
        self._buckets = list(share.fences)
        self._passed = dict(share.next)
        self._read: asyncio.Queue[Slice | None] = asyncio.Queue(READ_AHEAD)
        self._folded: asyncio.Queue[Folded | None] = asyncio.Queue(FOLD_AHEAD)
        self._unwritten: dict[Bucket, dict[str, Document]] = {bucket: {} for bucket in self._buckets}

    async def run(self) -> None:
        """Works until `should_end`, and then writes what was read. Raises an ExceptionGroup of what ended a stage."""
        async with asyncio.TaskGroup() as stages:
            stages.create_task(self._reading())
            stages.create_task(self._folding())
            stages.create_task(self._writing())

    # -- read

    async def _reading(self) -> None:
        cutter = Cutter(len(self._buckets))
        while not self._should_end():
            limit = 1 if self._one_by_one > 0 else self._batch_records
            records = await self._log.fetch(max_records=limit, wait_ms=0 if cutter.holds else FETCH_WAIT_MS)
            self._one_by_one -= len(records)
            heed_cancellation()
            self._progress.polled()
            if records:
                decode = self._runtime.decode
                outcomes = [decode(record) for record in records]
                self._progress.read(outcomes)
                for part in cutter.add(outcomes):
                    await self._hand_on(part)
                if 1 < limit == len(records):  # more is at hand: it goes into the slice that is begun
                    await asyncio.sleep(0)  # the other stages have a turn
                    continue
            if rest := cutter.rest():
                await self._hand_on(rest)
            passed = {at: offset for at, offset in self._log.reached().items() if offset > self._passed.get(at, offset)}
            if passed:  # nothing to fold, and still a way to go
                await self._hand_on(Slice(next=passed))
        if rest := cutter.rest():
            await self._hand_on(rest)
        await self._read.put(None)

    async def _hand_on(self, part: Slice) -> None:
        self._passed.update(part.next)
        await self._read.put(part)

    # -- fold

    async def _folding(self) -> None:
        while (part := await self._read.get()) is not None:
            results = await self._each(part.by_bucket, self._fold)
            heed_cancellation()
            if self._burst.began():
                raise FailureBurstError(self._burst.told())
            await self._folded.put(Folded(part, results))
        await self._folded.put(None)

    async def _fold(self, bucket: Bucket, outcomes: Sequence[Outcome]) -> ChangeSet:
        documents = await self._documents(bucket, self._runtime.ids_to_read(outcomes))
        heed_cancellation()
        parked = [id for id, document in documents.items() if document is not None and document.flags & PARKED]
        if parked:
            await self._folded.join()  # what waits behind them may be about to change
            documents = await self._documents(bucket, list(documents))
            heed_cancellation()
            parked = [id for id, document in documents.items() if document is not None and document.flags & PARKED]
        queues = dict(zip(parked, await self._store.queue_places(bucket, parked), strict=True)) if parked else {}
        result = self._runtime.project(outcomes, documents, queues)
        while result.wanted:
            entries = dict(zip(result.wanted, await self._store.entries(bucket, result.wanted), strict=True))
            queues = {id: _with_entries(queue, entries) for id, queue in queues.items()}
            result = self._runtime.project(outcomes, documents, queues)
        self._burst.add(outcomes, result)
        unwritten = self._unwritten[bucket]
        for change in result.changes:
            unwritten[change.id] = change.document
        return result

    async def _documents(self, bucket: Bucket, ids: Sequence[str]) -> dict[str, Document | None]:
        """Documents as they will be once all that was folded is written."""
        if not ids:
            return {}
        unwritten = self._unwritten[bucket]
        found: dict[str, Document | None] = {id: unwritten[id] for id in ids if id in unwritten}
        missing = [id for id in ids if id not in found] if found else ids
        if missing:
            found.update(zip(missing, await self._store.documents(bucket, missing), strict=True))
        return found

    # -- write

    async def _writing(self) -> None:
        tick_due_s = 0.0
        while True:
            try:
                async with asyncio.timeout(max(0.0, tick_due_s - time.monotonic())):
                    folded = await self._folded.get()
            except TimeoutError:
                pass
            else:
                if folded is not None:
                    await self._write(folded)
                heed_cancellation()
                self._folded.task_done()
                if folded is None:
                    await self._tick()
                    return
            if time.monotonic() >= tick_due_s or self._progress.has_just_caught_up(self._share, self._log.ends()):
                await self._tick()
                heed_cancellation()
                tick_s = self._tick_s if self._share.is_built else min(self._tick_s, BUILDING_TICK_S)
                tick_due_s = time.monotonic() + tick_s

    async def _write(self, folded: Folded) -> None:
        part = folded.part
        by_bucket = {bucket.number: result for bucket, result in folded.results.items()}

        async def write(bucket: Bucket, result: ChangeSet) -> None:
            await self._apply(bucket, result, part.next)

        await self._each(by_bucket, write)
        self._share.next.update(part.next)
        self._progress.wrote(part)

    async def _apply(self, bucket: Bucket, result: ChangeSet, following: Mapping[Partition, int]) -> None:
        stored = self._share.stored[bucket]
        now_ms = time.time_ns() // 1_000_000
        change = BucketChange(
            bucket,
            changes=result.changes,
            set_aside=[set_aside(poison, now_ms) for poison in result.set_aside],
            positions={at: Advance(stored[at], offset) for at, offset in following.items()},
            removed=result.removed,
            added=result.added,
            deltas=result.deltas,
            appends=result.appends,
            timeline_bound=self._runtime.timeline_bound,
            fence=self._share.fences[bucket],
        )
        started_s = time.perf_counter()
        outcome = await self._store.apply(change)
        self._progress.applied(time.perf_counter() - started_s)
        match outcome:
            case Conflict(ids=ids):
                raise ConflictedError(f"{len(ids)} documents of {bucket.tag} were changed by another")
            case Overflow(measures=measures):
                self._runtime.close_off({name: 1 if result.deltas[name] > 0 else -1 for name in measures})
                raise ConflictedError(
                    f"{', '.join(measures)} of {bucket.tag} would exceed 63 bits: what adds to it is parked"
                )
            case Full(size=size, id=None):
                raise QuarantineFullError(f"the quarantine of {bucket.tag} is full: {size} records")
            case Full(size=size, id=id):
                raise QuarantineFullError(f"{size} records wait behind {id!r} in {bucket.tag}: its queue is full")
            case _:
                self._progress.changed(written(bucket, outcome), result)
        stored.update(following)
        unwritten = self._unwritten[bucket]
        for item in result.changes:
            if unwritten.get(item.id) is item.document:
                del unwritten[item.id]

    async def _each(self, work: Mapping[int, A], do: Callable[[Bucket, A], Coroutine[Any, Any, R]]) -> dict[Bucket, R]:
        """Does it for all buckets at once, as they share nothing."""
        if len(work) == 1:
            ((number, item),) = work.items()
            return {self._buckets[number]: await do(self._buckets[number], item)}
        async with asyncio.TaskGroup() as group:
            tasks = {number: group.create_task(do(self._buckets[number], item)) for number, item in work.items()}
        return {self._buckets[number]: task.result() for number, task in tasks.items()}


def _with_entries(queue: Sequence[Waiting], entries: Mapping[str, bytes | None]) -> list[Waiting]:
    """A queue with the entries that were read; a place whose record is gone is vacant."""
    filled = [(item, entries.get(item.coordinates, item.entry)) for item in queue]
    return [item._replace(entry=entry) for item, entry in filled if entry is not None]
