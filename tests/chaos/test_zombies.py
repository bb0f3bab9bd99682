"""A worker that was stopped while another took over: what it does, call by call, when it goes on."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping, Sequence

from projections.consume import Consumer
from projections.log.memory import MemoryBroker, MemoryLog
from projections.log.port import Assignment, Partition
from projections.store.change import ApplyOutcome, BucketChange, Fence
from projections.store.keys import Bucket
from projections.store.memory import MemoryStore
from projections.telemetry import Instruments
from tests.chaos.faulty import Chances, FaultyStore, Process, StoppableLog
from tests.chaos.history import Shape, generate
from tests.chaos.models import ORDERS_TOPIC, order_docs
from tests.chaos.simulated import simulate
from tests.chaos.watch import Watch

BUCKET = Bucket(order_docs.name, order_docs.version, 0)
GIVE_UP_WITHIN_S = 30.0
MESSAGES = [
    message
    for message in generate(Shape(seed=2, events=60, orders=3, products=0, partitions=1, replays=0)).messages
    if message.topic == ORDERS_TOPIC
]


class Recorder:
    """What one worker asks of the group and of the store, in order."""

    def __init__(self) -> None:
        self.calls: list[str] = []


class RecordedStore(FaultyStore):
    recorder: Recorder

    async def raise_fence(self, bucket: Bucket, partitions: Sequence[Partition], owner: str, now_ms: int) -> Fence:
        fence = await super().raise_fence(bucket, partitions, owner, now_ms)
        self.recorder.calls.append("raise")
        return fence

    async def apply(self, change: BucketChange) -> ApplyOutcome:
        outcome = await super().apply(change)
        self.recorder.calls.append(type(outcome).__name__)
        return outcome


class RecordedLog(StoppableLog):
    recorder: Recorder

    async def join(self, topics: Sequence[str]) -> Assignment:
        self.recorder.calls.append("join")
        return await super().join(topics)

    async def prove(self, positions: Mapping[Partition, int]) -> bool:
        proven = await super().prove(positions)
        self.recorder.calls.append(f"prove {proven}")
        return proven


class World:
    """One group of workers over one log and one store."""

    def __init__(self, partitions: int = 1) -> None:
        self.broker = MemoryBroker(give_up_within_s=GIVE_UP_WITHIN_S)
        self.broker.create(ORDERS_TOPIC, partitions)
        self.store = MemoryStore()
        self.watch = Watch(self.store, [], 1)
        self.consumers: list[tuple[Consumer, MemoryLog, asyncio.Task[None]]] = []

    def worker(self) -> tuple[Process, MemoryLog, Recorder]:
        process, recorder = Process(), Recorder()
        log = MemoryLog(self.broker, "group")
        stoppable = RecordedLog(log, process)
        store = RecordedStore(self.store, process, random.Random(1), Chances(), self.watch)
        stoppable.recorder = store.recorder = recorder
        consumer = Consumer(order_docs, stoppable, store, instruments=Instruments())
        self.consumers.append((consumer, log, asyncio.create_task(consumer.run())))
        return process, log, recorder

    def publish(self, start: int, end: int) -> None:
        for message in MESSAGES[start:end]:
            self.broker.append(message.topic, key=message.key, value=message.value, headers=message.headers)

    async def until_at_the_end(self) -> None:
        at = Partition(ORDERS_TOPIC, 0)
        async with asyncio.timeout(60):
            while self.store.buckets[BUCKET].positions.get(at) != self.broker.end(at):  # noqa: ASYNC110 - simulated
                await asyncio.sleep(0.05)

    async def end(self) -> None:
        for consumer, _, _ in self.consumers:
            consumer.stop()
        for _, log, task in self.consumers:
            await task
            await log.close()


async def taken_over(world: World, process: Process, log: MemoryLog) -> None:
    """Another worker takes over from a stopped one, and writes."""
    world.broker.expire(log)
    world.worker()
    world.publish(20, 40)
    await world.until_at_the_end()
    process.go_on()
    world.publish(40, 60)
    await asyncio.sleep(5.0)
    await world.until_at_the_end()
    assert world.watch.violations == []


async def stalled() -> list[str]:
    world = World()
    process, log, recorder = world.worker()
    world.publish(0, 20)
    await world.until_at_the_end()
    process.stop()
    recorder.calls.clear()
    await taken_over(world, process, log)
    await world.end()
    return recorder.calls


async def paused_before_its_fence() -> list[str]:
    world = World()
    process, log, recorder = world.worker()
    process.stops_before_a_fence = True
    world.publish(0, 20)
    async with asyncio.timeout(10):
        while not process.is_stopped:  # noqa: ASYNC110 - the time is simulated
            await asyncio.sleep(0.05)
    await taken_over(world, process, log)
    await world.end()
    return recorder.calls


async def joined_by_another() -> float:
    """Seconds until a second worker has its share."""
    world = World(partitions=2)
    world.worker()
    world.publish(0, 40)
    await world.until_at_the_end()
    started_s = time.monotonic()
    _, _, recorder = world.worker()
    async with asyncio.timeout(2 * GIVE_UP_WITHIN_S):
        while "raise" not in recorder.calls:  # noqa: ASYNC110 - the time is simulated
            await asyncio.sleep(0.05)
    waited_s = time.monotonic() - started_s
    await world.end()
    return waited_s


def test_one_that_is_asked_for_its_share_gives_it_up_as_soon_as_its_change_is_written() -> None:
    assert simulate(joined_by_another(), seed=1) < 1.0


def test_one_that_was_stalled_is_fenced_asks_the_group_and_raises_no_fence_before_it_has_joined_again() -> None:
    calls = simulate(stalled(), seed=1)
    fenced = calls.index("Fenced")
    assert "Applied" not in calls[:fenced]
    joined = calls.index("join", fenced)
    assert calls[fenced + 1 : joined] == ["prove False"]


def test_one_that_was_paused_before_its_fence_writes_nothing_before_it_has_joined_again() -> None:
    calls = simulate(paused_before_its_fence(), seed=1)
    assert calls[:4] == ["join", "raise", "prove False", "join"]
