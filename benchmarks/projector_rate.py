"""P4: how many events a second one projector process stores, beside a blind pipelined SET of the same documents.

Invariants: one side runs at a time, alone on the core of the server under test; broker and Valkey have the other core. The sides
take turns, each ratio is of two runs of one round, and what is told is the median over the rounds. Everything is on: versions,
positions, fences, notices. What was stored is looked at behind it.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import Any, Final

from redis.asyncio import Redis

from benchmarks.declare import Benchmark, Figures, at_least
from benchmarks.errors import BrokenRunError
from benchmarks.measure import Pace
from benchmarks.projector import RunningProjector, running_projectors
from benchmarks.servers import Servers, store_and_broker
from benchmarks.sink import run_sink
from benchmarks.stored import PROJECTIONS
from benchmarks.topic import Filler, filler
from benchmarks.workload import Entry, ids, order_events, runs, stored_events
from projections.store.document import unpack
from projections.store.keys import Bucket

EACH: Final = 10
"""Events of one aggregate that follow each other where coalescing is measured."""
NAMES: Final = ("plain", "indexed", "measured", "orders")
REFERENCE_SETS_PER_S: Final = 45_000
_LOOKED_AT: Final = 200


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    rounds: int = 4
    events: int = 25_000
    names: Sequence[str] = NAMES


QUICK: Final = Size(rounds=1, events=2_000, names=("plain", "orders"))
"""Shows that the program runs; its figures mean nothing."""


@dataclass
class _Bench:
    servers: Servers
    filler: Filler
    projectors: dict[str, RunningProjector]
    events: int
    expected: dict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))
    """By projection: the version of each aggregate by now."""

    def _fresh(self, name: str, count: int) -> list[str]:
        return ids(count, first=len(self.expected[name]))

    async def _read(self, name: str, entries: Iterable[Entry], aggregates: Sequence[str], version: int) -> Pace:
        self.expected[name].update(dict.fromkeys(aggregates, version))
        return await self.projectors[name].read(entries)

    async def new(self, name: str = "plain") -> Pace:
        aggregates = self._fresh(name, self.events)
        return await self._read(name, stored_events(aggregates, 1), aggregates, 1)

    async def again(self) -> Pace:
        """The aggregates of the last `new` once more."""
        aggregates = list(self.expected["plain"])[-self.events :]
        return await self._read("plain", stored_events(aggregates, 2), aggregates, 2)

    async def coalesced(self) -> Pace:
        aggregates = self._fresh("plain", self.events // EACH)
        return await self._read("plain", runs(aggregates, EACH), aggregates, EACH)

    async def orders(self) -> Pace:
        aggregates = self._fresh("orders", self.events // 3)
        return await self._read("orders", order_events(aggregates), aggregates, 3)

    async def sink(self, way: str) -> Pace:
        """Over the records of the last round of `plain`, of which `set` needs only how many they are."""
        if way == "set":
            return await run_sink(way, self.servers, self.events)
        topic = PROJECTIONS["plain"].topics[0]
        each = self.filler.ends(topic)
        starts = [max(0, end - self.events // len(each)) for end in each]
        return await run_sink(way, self.servers, sum(each) - sum(starts), topic, starts)

    async def check(self) -> None:
        """Raises BrokenRunError unless a sample of every projection's documents stands where it should."""
        client: Any = Redis.from_url(self.servers.redis, protocol=2)
        try:
            for name, versions in self.expected.items():
                bucket = Bucket(name, PROJECTIONS[name].version, 0)
                sample = random.Random(1).sample(sorted(versions), min(_LOOKED_AT, len(versions)))
                for id, stored in zip(sample, await client.mget([bucket.document(id) for id in sample]), strict=True):
                    found = unpack(stored) if stored else None
                    if found is None or found.version != versions[id] or not found.view or found.flags:
                        raise BrokenRunError(f"{name}: {id} should be at version {versions[id]} and is {found}")
                if await client.exists(bucket.quarantine):
                    raise BrokenRunError(f"{name}: records were set aside")
        finally:
            await client.aclose()


async def measure() -> Figures:
    """See the module."""
    return await rate(Size())


async def rate(size: Size) -> Figures:
    """The figures of P4 over so many rounds and events."""
    topics = [PROJECTIONS[name].topics[0] for name in size.names]
    async with (
        store_and_broker() as servers,
        filler(servers.kafka, topics) as fill,
        running_projectors(size.names, servers, fill) as projectors,
    ):
        bench = _Bench(servers, fill, projectors, size.events)
        found = await _rounds(bench, size.rounds)
        await bench.check()
    return figures(found)


async def _rounds(bench: _Bench, rounds: int) -> dict[str, list[Pace]]:
    sides: dict[str, Callable[[], Awaitable[Pace]]] = {
        "blind_set": lambda: bench.sink("set"),
        "projector": bench.new,
        "consume_and_drop": lambda: bench.sink("drop"),
        "naive_sink": lambda: bench.sink("sink"),
        "updates": bench.again,
        "coalesced": bench.coalesced,
        **{name: partial(bench.new, name) for name in bench.projectors if name not in ("plain", "orders")},
        "orders": bench.orders,
    }
    found: dict[str, list[Pace]] = defaultdict(list)
    for _ in range(rounds):
        for side, once in sides.items():
            found[side].append(await once())
    return found


def figures(found: dict[str, list[Pace]]) -> Figures:
    """Rates, ratios to the blind SET of the same round, and CPU of the projector, of Valkey and of the broker."""

    def ratio(side: str, to: str) -> float:
        return median(one.per_s / other.per_s for one, other in zip(found[side], found[to], strict=True))

    told: dict[str, float] = {"ratio_to_blind_set": ratio("projector", "blind_set")}
    told["events_per_s_where_a_core_does_45k_sets"] = told["ratio_to_blind_set"] * REFERENCE_SETS_PER_S
    told["cpu_ratio_to_blind_set"] = median(pace.cpu_us["set"] for pace in found["blind_set"]) / median(
        pace.cpu_us["projector"] for pace in found["projector"]
    )
    told["ratio_to_naive_sink"] = ratio("projector", "naive_sink")
    told["ratio_to_consume_and_drop"] = ratio("projector", "consume_and_drop")
    for side in found:
        if side not in _COMPARED:
            told[f"{side}_ratio_to_blind_set"] = ratio(side, "blind_set")
    for side, paces in found.items():
        told[f"{side}_per_s"] = median(pace.per_s for pace in paces)
    for side, paces in found.items():
        for process in paces[0].cpu_us:
            used = median(pace.cpu_us[process] for pace in paces)
            told[f"{side}_{process if process in _SERVERS else 'own'}_cpu_us_per_event"] = used
    return told


_SERVERS: Final = ("valkey", "broker")
_COMPARED: Final = ("blind_set", "projector", "naive_sink", "consume_and_drop")

benchmark: Final = Benchmark(
    id="P4",
    bar="one projector process, everything on, 400-byte events of as many aggregates: >= 1x the blind pipelined SET",
    bounds={
        "ratio_to_blind_set": at_least(1),
        "events_per_s_where_a_core_does_45k_sets": at_least(40_000),
    },
    run=measure,
    within_s=300,
)
