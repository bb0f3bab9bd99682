"""Several consumers of one projection: who may write, who takes over, and what a stalled one can still do: nothing."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from projections import consume, stages
from projections.consume import Consumer
from projections.errors import RebuildingError
from projections.lag import read_report
from projections.log.memory import MemoryBroker, MemoryLog
from projections.log.port import Partition
from projections.store.change import Applied, ApplyOutcome, BucketChange, Fence, Fenced
from projections.store.keys import Bucket
from projections.store.memory import MemoryStore
from projections.store.port import DocumentKey
from projections.telemetry import Instruments
from tests.reads import read
from tests.unit.projections.samples import carts
from tests.unit.projections.test_consume import BUCKET, opened, publish, renamed, until, versions

P = [Partition("shop.carts", number) for number in range(4)]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times that a test can wait for."""
    for name in ("TICK_S", "FULL_RETRY_S", "MAX_BACKOFF_S", "FIRST_BACKOFF_S"):
        monkeypatch.setattr(consume, name, 0.01)
    monkeypatch.setattr(stages, "FETCH_WAIT_MS", 5)


class Member:
    """A consumer of the group, with its log and a store of its own view of the shared state."""

    def __init__(self, broker: MemoryBroker, store: Any, **more: Any) -> None:
        self.log = MemoryLog(broker, "carts")
        self.consumer = Consumer(carts, self.log, store, instruments=Instruments(), **more)


@asynccontextmanager
async def together(*members: Member) -> AsyncIterator[None]:
    """The members run while inside, and are stopped in order after that."""
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        tasks = [group.create_task(member.consumer.run()) for member in members]
        try:
            yield
        finally:
            for member, task in zip(members, tasks, strict=True):
                member.consumer.stop()
                await task
                await member.log.close()


class StallingStore(MemoryStore):
    """Shares its state with another store; its next apply, or raise of a fence, waits until it is let go."""

    def __init__(self, shared: MemoryStore) -> None:
        super().__init__()
        self.buckets = shared.buckets
        self.stall_apply = self.stall_raise = False
        self.stalled, self.go = asyncio.Event(), asyncio.Event()
        self.outcomes: list[ApplyOutcome] = []

    async def _stall(self) -> None:
        self.stalled.set()
        await self.go.wait()

    async def apply(self, change: BucketChange) -> ApplyOutcome:
        if self.stall_apply and change.changes:
            self.stall_apply = False
            await self._stall()
        outcome = await super().apply(change)
        self.outcomes.append(outcome)
        return outcome

    async def raise_fence(self, bucket: Bucket, partitions: Any, owner: str, now_ms: int) -> Fence:
        if self.stall_raise:
            self.stall_raise = False
            await self._stall()
        return await super().raise_fence(bucket, partitions, owner, now_ms)


def filled(partitions: int = 4, each: int = 5) -> MemoryBroker:
    broker = MemoryBroker(give_up_within_s=0.05)
    broker.create("shop.carts", partitions)
    for partition in range(partitions):
        for number in range(each):
            opened_in(broker, partition, f"c-{partition}-{number}")
    return broker


def opened_in(broker: MemoryBroker, partition: int, id: str) -> None:
    one = MemoryBroker()
    opened(one, id)
    [record] = one.since(Partition("shop.carts", 0), 0, 1)
    publish(broker, record, partition)


async def test_two_workers_share_the_partitions_and_each_record_is_applied_once() -> None:
    broker, store = filled(), MemoryStore()
    first, second = Member(broker, store), Member(broker, store)
    async with together(first, second):
        await until(lambda: len(versions(store)) == 20)
        owners = {report.owner for report in read_report(store.buckets[BUCKET].live).values()}
        await until(lambda: len({r.owner for r in read_report(store.buckets[BUCKET].live).values()}) == 2)
    assert owners
    assert store.buckets[BUCKET].positions == dict.fromkeys(P, 5)


async def test_a_worker_that_leaves_is_replaced_at_once() -> None:
    broker, store = filled(), MemoryStore()
    first, second = Member(broker, store), Member(broker, store)
    async with together(second):
        async with together(first):
            await until(lambda: len(versions(store)) == 20)
        for partition in range(4):
            opened_in(broker, partition, f"late-{partition}")
        await until(lambda: len(versions(store)) == 24)


async def test_a_stalled_worker_changes_no_byte_after_another_took_over() -> None:
    broker, shared = filled(partitions=1), MemoryStore()
    slow = StallingStore(shared)
    slow.stall_apply = True
    stalled, other = Member(broker, slow), Member(broker, shared)
    async with together(stalled):
        await slow.stalled.wait()
        broker.expire(stalled.log)
        async with together(other):
            await until(lambda: len(versions(shared)) == 5)
            renamed(broker, "c-0-0", 2)
            await until(lambda: versions(shared)["c-0-0"] == 2)
            before = copy.deepcopy(shared.buckets[BUCKET].documents), dict(shared.buckets[BUCKET].positions)
            applied = len(slow.outcomes)
            slow.go.set()
            await until(lambda: len(slow.outcomes) > applied)
            assert isinstance(slow.outcomes[applied], Fenced)
            assert (shared.buckets[BUCKET].documents, dict(shared.buckets[BUCKET].positions)) == before


async def test_one_paused_before_its_raise_writes_nothing_and_the_rightful_owner_goes_on() -> None:
    broker, shared = filled(partitions=1), MemoryStore()
    slow = StallingStore(shared)
    slow.stall_raise = True
    paused, other = Member(broker, slow), Member(broker, shared)
    async with together(paused):
        await slow.stalled.wait()
        broker.expire(paused.log)
        async with together(other):
            await until(lambda: len(versions(shared)) == 5)
            paused.consumer.stop()  # it would join again, and share
            slow.go.set()
            renamed(broker, "c-0-1", 2)
            await until(lambda: versions(shared)["c-0-1"] == 2)
        assert not any(isinstance(outcome, Applied) for outcome in slow.outcomes)


async def test_a_failover_that_lost_the_fence_sends_the_worker_back_to_take_over_again() -> None:
    broker, store = filled(partitions=1), MemoryStore()
    member = Member(broker, store)
    async with together(member):
        await until(lambda: len(versions(store)) == 5)
        before = dict(store.buckets[BUCKET].fences)
        store.buckets[BUCKET].fences.clear()
        opened(broker, "late")
        await until(lambda: "late" in versions(store))
        assert store.buckets[BUCKET].fences[P[0]] > before[P[0]]


async def test_a_topic_made_anew_that_has_grown_past_the_position_is_read_from_its_start() -> None:
    broker, store = filled(partitions=1), MemoryStore()
    async with together(Member(broker, store)):
        await until(lambda: len(versions(store)) == 5)
    broker.delete("shop.carts")
    broker.create("shop.carts")
    opened(broker, *(f"new-{number}" for number in range(9)))
    async with together(Member(broker, store)):
        await until(lambda: len(versions(store)) == 14)
    assert store.buckets[BUCKET].positions[P[0]] == 9


async def test_an_emptied_store_is_told_as_rebuilding_until_it_is_whole_again() -> None:
    broker, shared = filled(), MemoryStore()
    slow = StallingStore(shared)
    async with together(Member(broker, slow, batch_records=3)):
        await until(lambda: shared.buckets[BUCKET].is_built)
        [missing], _, _ = await read(shared, [DocumentKey(BUCKET, "nobody")])
        assert missing is None
        slow.stall_apply = True
        shared.buckets.clear()
        await slow.stalled.wait()
        [missing], _, _ = await read(shared, [DocumentKey(BUCKET, "c-3-4")])
        assert isinstance(missing, RebuildingError)
        slow.go.set()
        await until(lambda: shared.buckets[BUCKET].is_built)
        assert len(versions(shared)) == 20


async def test_a_topic_that_is_not_there_leaves_nothing_to_build() -> None:
    broker, store = MemoryBroker(), MemoryStore()
    async with together(Member(broker, store)):
        await until(lambda: store.buckets[BUCKET].is_built)
        opened(broker, "a")
        await until(lambda: versions(store) == {"a": 1})


async def test_with_several_workers_a_bucket_is_built_when_all_of_their_partitions_are() -> None:
    broker, shared = filled(partitions=2), MemoryStore()
    slow = StallingStore(shared)
    first, second = Member(broker, slow), Member(broker, shared)
    slow.stall_apply = True
    async with together(first, second):
        await slow.stalled.wait()
        if len(versions(shared)) == 10:
            pytest.fail("one worker had everything before it was stalled")
        assert not shared.buckets[BUCKET].is_built
        slow.go.set()
        await until(lambda: shared.buckets[BUCKET].is_built)
        assert len(versions(shared)) == 10
