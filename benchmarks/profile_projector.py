"""`python -m benchmarks.profile_projector [--projection plain] [--events 30000] [--again]`: where a microsecond goes.

Invariants: the product's own parts, one after the other over each batch, so that the CPU time of a part is its own and nothing is
hidden behind a trip; in a running projector the parts overlap. The process has a core of its own, broker and Valkey the other.
Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

import uvloop
from redis.asyncio import Redis

from benchmarks.errors import BrokenRunError
from benchmarks.machine import SERVER_CORE, pinned
from benchmarks.processes import cpu_us
from benchmarks.servers import Servers, store_and_broker
from benchmarks.sink import PIPELINE, documents, set_all
from benchmarks.stored import PROJECTIONS
from benchmarks.topic import filler
from benchmarks.workload import Entry, ids, order_events, stored_events
from projections.batch import Cutter, Slice
from projections.declare import Projection
from projections.log.kafka import KafkaLog
from projections.log.port import Log, Partition
from projections.runtime import Runtime, runtime_of
from projections.store import calls
from projections.store.change import Advance, Applied, BucketChange, Fence
from projections.store.keys import Bucket
from projections.store.redis import RedisStore

ROUNDS: Final = 5
BATCH_RECORDS: Final = 400
"""As a projector fetches by default."""
STAGES: Final = {
    "fetch": "aiokafka, and a `Record` of each",
    "decode": "envelope, versions, times, the event of its data",
    "cut": "into slices of 200 aggregates, by bucket",
    "read": "the stored documents of a slice, one MGET",
    "fold": "decode the view, evolve, encode it, its entries and numbers",
    "write arguments": "keys and arguments of `apply` as texts and bytes",
    "write": "the call of `apply` but for its arguments, and its answer",
}
YARDSTICK: Final = "blind SET"


class Meter:
    """Microseconds an event by stage: CPU of this process, time on the clock, CPU of Valkey."""

    def __init__(self, valkey_pid: int, events: int) -> None:
        self._valkey_pid = valkey_pid
        self._events = events
        self.used: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])

    @asynccontextmanager
    async def stage(self, name: str) -> AsyncGenerator[None]:
        """What happens inside counts for this stage; the look at Valkey does not."""
        valkey_us = cpu_us(self._valkey_pid) or 0.0
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        yield
        cpu_s, passed_s = time.process_time() - began_cpu_s, time.perf_counter() - began_s
        used = (cpu_s * 1e6, passed_s * 1e6, (cpu_us(self._valkey_pid) or 0.0) - valkey_us)
        self.used[name] = [sum_us + us / self._events for sum_us, us in zip(self.used[name], used, strict=True)]


@dataclass(frozen=True)
class _Worker:
    """The parts of a projector, and what it writes under."""

    log: Log
    store: RedisStore
    runtime: Runtime
    bucket: Bucket
    fence: Fence


async def one_round(worker: _Worker, meter: Meter, expected: int) -> None:
    """Reads what lies in the log and stores it, stage by stage. Raises BrokenRunError when a write is refused."""
    cutter = Cutter(1)
    standing = dict((await worker.store.standing(worker.bucket)).positions)
    gc.collect()
    gc.freeze()  # what the broker was given is not the projector's, which would not walk it
    while expected > 0:
        async with meter.stage("fetch"):
            records = await worker.log.fetch(max_records=BATCH_RECORDS, wait_ms=1000)
        expected -= len(records)
        async with meter.stage("decode"):
            outcomes = [worker.runtime.decode(record) for record in records]
        async with meter.stage("cut"):
            parts = cutter.add(outcomes)
        if expected <= 0 and (rest := cutter.rest()):
            parts.append(rest)
        for part in parts:
            await _store(worker, meter, part, standing)
    gc.unfreeze()


async def _store(worker: _Worker, meter: Meter, part: Slice, standing: dict[Partition, int]) -> None:
    runtime, store, bucket = worker.runtime, worker.store, worker.bucket
    ids = runtime.ids_to_read(part.by_bucket[0])
    async with meter.stage("read"):
        found = dict(zip(ids, await store.documents(bucket, ids), strict=True))
    async with meter.stage("fold"):
        result = runtime.project(part.by_bucket[0], found, {})
    positions = {at: Advance(standing.get(at, 0), offset) for at, offset in part.next.items()}
    standing.update(part.next)
    folded = {name: getattr(result, name) for name in ("changes", "removed", "added", "deltas", "appends")}
    change = BucketChange(bucket, positions=positions, fence=worker.fence, **folded)
    async with meter.stage("write arguments"):
        calls.apply_arguments(change, 1, 1)
    async with meter.stage("write"):
        outcome = await store.apply(change)
    if not isinstance(outcome, Applied):
        raise BrokenRunError(f"a write was refused: {outcome}")


async def profile(name: str, events: int, *, again: bool) -> dict[str, list[float]]:
    """By stage: microseconds an event of CPU here, on the clock, of CPU of Valkey; medians over the rounds."""
    projection = PROJECTIONS[name]
    found: list[Meter] = []
    async with store_and_broker() as servers, filler(servers.kafka, projection.topics) as fill:
        with pinned({0: SERVER_CORE}):
            async with _worker(projection, servers) as worker:
                for number in range(ROUNDS):
                    for entries, is_told in _entries(name, events, number, again=again):
                        meter = Meter(servers.pids["valkey"], events)
                        count = await fill.fill(projection.topics[0], entries)
                        await one_round(worker, meter, count)
                        await _yardstick(servers, meter, events)
                        found += [meter] if is_told else []
    for meter in found:  # the arguments are made within the call, too
        own = meter.used["write arguments"]
        meter.used["write"] = [all - part for all, part in zip(meter.used["write"], own, strict=True)]
    return {stage: [median(one.used[stage][at] for one in found) for at in range(3)] for stage in (*STAGES, YARDSTICK)}


async def _yardstick(servers: Servers, meter: Meter, events: int) -> None:
    client: Any = Redis.from_url(servers.redis, protocol=2)
    stored = documents(events)
    try:
        async with meter.stage(YARDSTICK):
            for first in range(0, events, PIPELINE):
                await set_all(client, stored[first : first + PIPELINE])
    finally:
        await client.aclose()


@asynccontextmanager
async def _worker(projection: Projection[Any, Any], servers: Servers) -> AsyncGenerator[_Worker]:
    log = KafkaLog(servers.kafka, group="benchmark.profile")
    store = RedisStore(servers.redis)
    try:
        await store.check()
        own: Sequence[Partition] = []
        while not own:  # a topic that was made a moment ago
            own = (await log.join(projection.topics)).own
        await log.start(dict.fromkeys(own, 0))
        bucket = Bucket(projection.name, projection.version, 0)
        fence = await store.raise_fence(bucket, own, "profile", time.time_ns() // 1_000_000)
        yield _Worker(log, store, runtime_of(projection), bucket, fence)
    finally:
        await log.close()
        await store.close()


def _entries(name: str, events: int, number: int, *, again: bool) -> list[tuple[Sequence[Entry], bool]]:
    if name == "orders":
        return [(list(order_events(ids(events // 3, first=number * events))), True)]
    aggregates = ids(events, first=number * events)
    first = (list(stored_events(aggregates, 1)), not again)
    return [first, (list(stored_events(aggregates, 2)), True)] if again else [first]


def table(found: dict[str, list[float]]) -> str:
    """In Markdown."""
    lines = ["| stage | what it does | CPU, us | on the clock, us | Valkey's CPU, us |", "|---|---|---|---|---|"]
    lines += [_line(stage, what, found[stage]) for stage, what in STAGES.items()]
    sums = [sum(found[stage][at] for stage in STAGES) for at in range(3)]
    yardstick = _line("beside it", "a blind SET of each document, in pipelines", found[YARDSTICK])
    return "\n".join([*lines, _line("all", "", sums), yardstick])


def _line(stage: str, what: str, used: Sequence[float]) -> str:
    cpu, clock, valkey = used
    return f"| {stage} | {what} | {cpu:.1f} | {clock:.1f} | {valkey:.1f} |"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile_projector")
    parser.add_argument("--projection", choices=("plain", "indexed", "measured", "orders"), default="plain")
    parser.add_argument("--events", type=int, default=30_000)
    parser.add_argument("--again", action="store_true", help="events of aggregates that are stored already")
    asked = parser.parse_args()
    print(table(uvloop.run(profile(asked.projection, asked.events, again=asked.again))))


if __name__ == "__main__":
    main()
