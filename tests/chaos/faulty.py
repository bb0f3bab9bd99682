"""A store and a log that a simulated worker reaches over a bad network, and from a process that may be stopped at any call.

Invariants: a call that fails before it was sent changes nothing; one that fails after it was done has been done; while the process
is stopped nothing is sent and no answer arrives.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from projections.errors import StoreUnavailableError
from projections.log.port import Assignment, Log, Partition
from projections.record import Record
from projections.store.change import ApplyOutcome, BucketChange, Fence, Standing, Waiting
from projections.store.document import Document
from projections.store.keys import Bucket
from projections.store.port import ProjectorStore
from tests.chaos.watch import Watch

T = TypeVar("T")


@dataclass
class Chances:
    """How likely it is, per call of the store, that it fails before it is sent, or after it was done; and how slow it may be."""

    before: float = 0.0
    after: float = 0.0
    slowest_s: float = 0.0


class Process:
    """What can be stopped as a whole, as by SIGSTOP, at once or at its next raise of a fence."""

    def __init__(self) -> None:
        self._going = asyncio.Event()
        self._going.set()
        self.stops_before_a_fence = False

    @property
    def is_stopped(self) -> bool:
        return not self._going.is_set()

    def stop(self) -> None:
        self._going.clear()

    def go_on(self) -> None:
        self.stops_before_a_fence = False
        self._going.set()

    async def passing(self) -> None:
        """Returns while the process goes, else once it goes on."""
        await self._going.wait()


class FaultyStore:
    """Implements `ProjectorStore` over another, with faults; every change is shown to a `Watch`."""

    def __init__(
        self, store: ProjectorStore, process: Process, dice: random.Random, chances: Chances, watch: Watch
    ) -> None:
        self._store = store
        self._process = process
        self._dice = dice
        self._chances = chances
        self._watch = watch

    async def check(self) -> None:
        await self._through(self._store.check)

    async def claim_buckets(self, projection: str, generation: int, buckets: int) -> int:
        return await self._through(lambda: self._store.claim_buckets(projection, generation, buckets))

    async def raise_fence(self, bucket: Bucket, partitions: Sequence[Partition], owner: str, now_ms: int) -> Fence:
        if self._process.stops_before_a_fence:
            self._process.stop()

        async def raised() -> Fence:
            fence = await self._store.raise_fence(bucket, partitions, owner, now_ms)
            self._watch.raised(bucket, partitions, fence)
            return fence

        return await self._through(raised)

    async def standing(self, bucket: Bucket) -> Standing:
        return await self._through(lambda: self._store.standing(bucket))

    async def documents(self, bucket: Bucket, ids: Sequence[str]) -> list[Document | None]:
        return await self._through(lambda: self._store.documents(bucket, ids))

    async def queued(self, bucket: Bucket, ids: Sequence[str]) -> list[list[Waiting]]:
        return await self._through(lambda: self._store.queued(bucket, ids))

    async def queue_places(self, bucket: Bucket, ids: Sequence[str]) -> list[list[Waiting]]:
        return await self._through(lambda: self._store.queue_places(bucket, ids))

    async def entries(self, bucket: Bucket, coordinates: Sequence[str]) -> list[bytes | None]:
        return await self._through(lambda: self._store.entries(bucket, coordinates))

    async def apply(self, change: BucketChange) -> ApplyOutcome:
        return await self._through(lambda: self._watch.applying(change, self._store.apply(change)))

    async def report(self, bucket: Bucket, live: Mapping[str, bytes]) -> None:
        await self._through(lambda: self._store.report(bucket, live))

    async def quarantined(self, bucket: Bucket, limit: int | None = None) -> dict[str, bytes]:
        return await self._through(lambda: self._store.quarantined(bucket, limit))

    async def quarantine_sizes(self, buckets: Sequence[Bucket]) -> list[int]:
        return await self._through(lambda: self._store.quarantine_sizes(buckets))

    async def close(self) -> None:
        """The store is shared: it stays open."""

    async def _through(self, call: Callable[[], Awaitable[T]]) -> T:
        await self._delay()
        if self._dice.random() < self._chances.before:
            raise StoreUnavailableError("a fault: not sent")
        answer = await call()
        await self._delay()
        if self._dice.random() < self._chances.after:
            raise StoreUnavailableError("a fault: done, and the answer was lost")
        return answer

    async def _delay(self) -> None:
        await self._process.passing()
        if self._chances.slowest_s:
            await asyncio.sleep(self._dice.uniform(0, self._chances.slowest_s))
            await self._process.passing()


class StoppableLog:
    """Implements `Log` over another, in a process that may be stopped."""

    def __init__(self, log: Log, process: Process) -> None:
        self._log = log
        self._process = process

    async def join(self, topics: Sequence[str]) -> Assignment:
        return await self._through(lambda: self._log.join(topics))

    @property
    def is_revoked(self) -> bool:
        return self._log.is_revoked

    async def prove(self, positions: Mapping[Partition, int]) -> bool:
        return await self._through(lambda: self._log.prove(positions))

    async def identities(self, partitions: Sequence[Partition]) -> dict[Partition, str]:
        return await self._through(lambda: self._log.identities(partitions))

    async def start(self, positions: Mapping[Partition, int]) -> Mapping[Partition, int]:
        return await self._through(lambda: self._log.start(positions))

    async def fetch(self, *, max_records: int, wait_ms: int) -> list[Record]:
        return await self._through(lambda: self._log.fetch(max_records=max_records, wait_ms=wait_ms))

    def reached(self) -> Mapping[Partition, int]:
        return self._log.reached()

    def ends(self) -> Mapping[Partition, int]:
        return self._log.ends()

    async def close(self) -> None:
        await self._log.close()

    async def _through(self, call: Callable[[], Awaitable[T]]) -> T:
        await self._process.passing()
        answer = await call()
        await self._process.passing()
        return answer
