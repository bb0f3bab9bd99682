"""P5: from the acceptance of a command to a read that shows it, through outbox and broker; and the projector's own share of that.

Invariants: the first half is the whole running loop (`token_wait`). The second half is one projector at half of the rate that it
catches up with: for each event, when its change was told less when a consumer that does nothing else had the record. Both read from
the same broker with the same patience, so what is left is the projector's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks import token_wait
from benchmarks.declare import Benchmark, Figures, at_least, at_most
from benchmarks.errors import BrokenRunError
from benchmarks.machine import LOAD_CORE, SERVER_CORE, pinned
from benchmarks.measure import spread
from benchmarks.projector import running_projectors
from benchmarks.servers import Servers, store_and_broker
from benchmarks.stored import PROJECTIONS
from benchmarks.topic import PARTITIONS, Filler, filler
from benchmarks.workload import Entry, ids, stored_events
from projections.settings import WorkerSettings
from projections.store.keys import Bucket
from projections.store.redis import RedisStore

NAME: Final = "plain"
TICK_S: Final = 0.005
"""How often the producer sends what is due: a relay's linger."""
_ARRIVES_WITHIN_S: Final = 20.0


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    catch_up_events: int = 20_000
    seconds: float = 8.0


QUICK: Final = Size(catch_up_events=1_000, seconds=0.3)


async def measure() -> Figures:
    """See the module."""
    return {**await own_share(Size()), **await token_wait.measure()}


@dataclass
class Stamps:
    """When each event was sent, had by the consumer, and visible: seconds by id of its aggregate."""

    sent: dict[str, float] = field(default_factory=dict[str, float])
    arrived: dict[str, float] = field(default_factory=dict[str, float])
    visible: dict[str, float] = field(default_factory=dict[str, float])

    def figures(self) -> Figures:
        """Differences as quantiles."""
        shares = [max(0.0, at - self.arrived[id]) * 1000 for id, at in self.visible.items()]
        read = [(at - self.sent[id]) * 1000 for id, at in self.visible.items()]
        consumed = [(at - self.sent[id]) * 1000 for id, at in self.arrived.items()]
        return {
            **spread("own_share", shares),
            **spread("produce_visible_at_half_load", read),
            **spread("produce_consume_at_half_load", consumed),
        }


async def own_share(size: Size) -> Figures:
    """The second half."""
    topic = PROJECTIONS[NAME].topics[0]
    async with (
        store_and_broker() as servers,
        filler(servers.kafka, [topic]) as fill,
        running_projectors([NAME], servers, fill) as projectors,
    ):
        projector = projectors[NAME]
        first = size.catch_up_events
        pace = await projector.read(stored_events(ids(first), 1))
        per_s = pace.per_s / 2
        events = list(stored_events(ids(int(per_s * size.seconds), first=first), 1))
        with pinned({projector.pid: SERVER_CORE, 0: LOAD_CORE}):
            stamps = await _stamped(servers, fill, events, per_s)
    return {**stamps.figures(), "half_load_events_per_s": per_s}


async def _stamped(servers: Servers, fill: Filler, events: Sequence[Entry], per_s: float) -> Stamps:
    stamps = Stamps()
    topic = PROJECTIONS[NAME].topics[0]
    async with (
        _consumer(servers, topic, fill.ends(topic)) as consumer,
        _notices(servers) as notices,
        asyncio.TaskGroup() as group,
    ):
        background = [group.create_task(_arrivals(consumer, stamps)), group.create_task(_changes(notices, stamps))]
        await _send(fill, topic, events, per_s, stamps)
        await _all_seen(stamps, len(events))
        for task in background:
            task.cancel()
    return stamps


async def _send(fill: Filler, topic: str, events: Sequence[Entry], per_s: float, stamps: Stamps) -> None:
    """At an even rate: every tick what is due by then."""
    left = iter(events)
    began_s = time.perf_counter()
    sent = 0
    while sent < len(events):
        await asyncio.sleep(TICK_S)
        now_s = time.perf_counter()
        due = list(islice(left, int((now_s - began_s) * per_s) - sent))
        stamps.sent.update((entry.key.decode(), now_s) for entry in due)
        sent += await fill.fill(topic, due)


async def _all_seen(stamps: Stamps, count: int) -> None:
    deadline_s = time.monotonic() + _ARRIVES_WITHIN_S
    while min(len(stamps.arrived), len(stamps.visible)) < count:
        if time.monotonic() > deadline_s:
            told = f"{len(stamps.arrived)} of {count} events arrived, {len(stamps.visible)} became visible"
            raise BrokenRunError(told)
        await asyncio.sleep(TICK_S)


@asynccontextmanager
async def _consumer(servers: Servers, topic: str, starts: Sequence[int]) -> AsyncGenerator[Any]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=servers.kafka,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        fetch_max_wait_ms=WorkerSettings.fetch_max_wait_ms,
    )
    await consumer.start()
    try:
        places = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        consumer.assign(places)
        for place, start in zip(places, starts, strict=True):
            consumer.seek(place, start)
        yield consumer
    finally:
        await consumer.stop()


async def _arrivals(consumer: Any, stamps: Stamps) -> None:
    while True:
        batches = await consumer.getmany(timeout_ms=1000)
        now_s = time.perf_counter()
        stamps.arrived.update((record.key.decode(), now_s) for found in batches.values() for record in found)


@asynccontextmanager
async def _notices(servers: Servers) -> AsyncGenerator[Any]:
    store = RedisStore(servers.redis)
    try:
        async with store.changes(Bucket(NAME, PROJECTIONS[NAME].version, 0)) as notices:
            yield notices
    finally:
        await store.close()


async def _changes(notices: Any, stamps: Stamps) -> None:
    async for batch in notices:
        now_s = time.perf_counter()
        stamps.visible.update((notice.id, now_s) for notice in batch)


benchmark: Final = Benchmark(
    id="P5",
    bar="accepted -> visible to a token read: p99 <= 5x produce -> consume; the projector's share <= 10 ms p99 at half load",
    bounds={
        "alone_p99_ratio": at_most(5),
        f"side_by_side_{token_wait.CLIENTS}_p99_ratio": at_most(5),
        "satisfied_percent": at_least(99),
        "satisfied_but_older": at_most(0),
        "own_share_p99_ms": at_most(10),
    },
    run=measure,
    within_s=360,
)
