"""`python -m benchmarks.profile_projector [--projection plain] [--events 30000] [--again]`: where a microsecond goes.

Invariants: the product's own parts, each run over all events before the next one, so that the CPU time of a part is its own and
nothing is hidden behind a trip; in a running projector the parts overlap. The process has a core of its own, broker and Valkey the
other. Prints a table in Markdown.
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
from projections.batch import Slice, slices
from projections.declare import Projection
from projections.log.kafka import KafkaLog
from projections.log.port import Log, Partition
from projections.project import ChangeSet
from projections.record import Record
from projections.runtime import Runtime, runtime_of
from projections.store import calls
from projections.store.change import Advance, Applied, BucketChange, Fence
from projections.store.document import Document
from projections.store.keys import Bucket
from projections.store.redis import RedisStore

ROUNDS: Final = 5
BATCH_RECORDS: Final = 2000
"""As a projector fetches by default."""
CHUNK: Final = 2000
"""Events that one part works on before the next part does."""
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

    def _now(self) -> tuple[float, float, float]:
        return time.process_time() * 1e6, time.perf_counter() * 1e6, cpu_us(self._valkey_pid) or 0.0

    @asynccontextmanager
    async def stage(self, name: str) -> AsyncGenerator[None]:
        """What happens inside counts for this stage."""
        began = self._now()
        yield
        self.used[name] = [
            sum_us + (after - before) / self._events
            for sum_us, before, after in zip(self.used[name], began, self._now(), strict=True)
        ]


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
    records: list[Record] = []
    async with meter.stage("fetch"):
        while len(records) < expected:
            records += await worker.log.fetch(max_records=BATCH_RECORDS, wait_ms=1000)
    gc.freeze()  # a projector does not hold so many records: to walk them again and again is not its cost
    for first in range(0, expected, CHUNK):
        await _chunk(worker, meter, records[first : first + CHUNK])
    gc.unfreeze()


async def _chunk(worker: _Worker, meter: Meter, records: Sequence[Record]) -> None:
    runtime, store, bucket = worker.runtime, worker.store, worker.bucket
    async with meter.stage("decode"):
        outcomes = [runtime.decode(record) for record in records]
    async with meter.stage("cut"):
        parts = list(slices(outcomes, 1))
    wanted = [runtime.ids_to_read(part.by_bucket[0]) for part in parts]
    async with meter.stage("read"):
        found = [dict(zip(some, await store.documents(bucket, some), strict=True)) for some in wanted]
    results: list[ChangeSet] = []
    folded: dict[str, Document] = {}
    async with meter.stage("fold"):
        for part, stored in zip(parts, found, strict=True):
            stored |= {id: folded[id] for id in stored.keys() & folded.keys()}  # as they will be when they are written
            results.append(runtime.project(part.by_bucket[0], stored, {}))
            folded |= {change.id: change.document for change in results[-1].changes}
    changes = _changes(worker, parts, results, dict((await store.standing(bucket)).positions))
    async with meter.stage("write arguments"):
        for change in changes:
            calls.apply_arguments(change, 1, 1)
    async with meter.stage("write"):
        for change in changes:
            outcome = await store.apply(change)
            if not isinstance(outcome, Applied):
                raise BrokenRunError(f"a write was refused: {outcome}")


def _changes(
    worker: _Worker, parts: Sequence[Slice], results: Sequence[ChangeSet], standing: dict[Partition, int]
) -> list[BucketChange]:
    changes: list[BucketChange] = []
    for part, result in zip(parts, results, strict=True):
        positions = {at: Advance(standing.get(at, 0), offset) for at, offset in part.next.items()}
        standing.update(part.next)
        folded = {name: getattr(result, name) for name in ("changes", "removed", "added", "deltas", "appends")}
        changes.append(BucketChange(worker.bucket, positions=positions, fence=worker.fence, **folded))
    return changes


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
