"""P5's second half: what the projector itself adds between a record that could be had and a document that is visible.

Invariants: one producer, one broker, one Valkey, one projector for the whole of it. What they sustain together is found first, by
rounds at rates that rise; then half of that is sent evenly. A record could be had when a consumer that decodes nothing had it
(`arrivals`); it is visible when the notice of its change is there, which leaves the store with the document. Both consumers ask
with the same patience, of a broker that answers at intervals: what is between their turns counts as the projector's.
"""

from __future__ import annotations

import asyncio
import gc
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Any, Final

from benchmarks.arrivals import Arrivals, Visible, arrivals, visible_in
from benchmarks.declare import Figures
from benchmarks.errors import BrokenRunError
from benchmarks.machine import LOAD_CORE, SERVER_CORE, pinned
from benchmarks.measure import spread
from benchmarks.processes import core_wait_us, cpu_us
from benchmarks.projector import running_projectors
from benchmarks.servers import store_and_broker
from benchmarks.stages import Stages
from benchmarks.stored import PROJECTIONS
from benchmarks.topic import PARTITIONS, Filler, Packed, filler
from benchmarks.workload import ids, stored_events
from projections.store.keys import Bucket

NAME: Final = "plain"
BUCKET: Final = Bucket(NAME, PROJECTIONS[NAME].version, 0)
FETCH_MAX_WAIT_MS: Final = 4
"""The embedded broker looks for records twice in this time: little of what is measured is its pause between two looks."""
TICK_S: Final = 0.01
"""How often what is due is sent, as one batch, to one partition after another: what a fetch costs the embedded broker grows with
the batches that it holds.
"""
CAUGHT_UP_WITHIN_S: Final = 0.25
"""A rate is sustained when all is visible so soon behind its last record; what piles up at a higher one does not go so quickly."""
TRIES: Final = 2
"""At a rate that is not sustained, so that a neighbour's second on the core does not end the rise."""
_ARRIVES_WITHIN_S: Final = 20.0


@dataclass(frozen=True)
class Size:
    """How much is measured: rates that rise by `growth` from `first_per_s`, for `step_s` each; half of the last for `seconds`, in
    so many `rounds`, behind `warm_s` of the same.
    """

    first_per_s: float = 8_000
    growth: float = 1.25
    steps: int = 10
    step_s: float = 2.0
    rounds: int = 3
    warm_s: float = 1.0
    seconds: float = 2.0


QUICK: Final = Size(first_per_s=500, steps=1, step_s=0.2, rounds=1, warm_s=0.1, seconds=0.3)


@dataclass
class Stamps:
    """When each event was sent, could be had, was fetched by the projector, and was visible: seconds by id of its aggregate."""

    sent: dict[str, float] = field(default_factory=dict[str, float])
    arrived: dict[str, float] = field(default_factory=dict[str, float])
    fetched: dict[str, float] = field(default_factory=dict[str, float])
    visible: dict[str, float] = field(default_factory=dict[str, float])

    def shares_ms(self) -> dict[str, list[float]]:
        """Differences by name. What the projector had before the other consumer it did not wait for."""
        return {
            "own_share": _between_ms(self.arrived, self.visible),
            "own_fetch": _between_ms(self.arrived, self.fetched),
            "own_behind_fetch": _between_ms(self.fetched, self.visible),
            "produce_visible_at_half_load": _between_ms(self.sent, self.visible),
            "produce_consume_at_half_load": _between_ms(self.sent, self.arrived),
        }


def _between_ms(before: Mapping[str, float], after: Mapping[str, float]) -> list[float]:
    return [max(0.0, after[id] - at) * 1000 for id, at in before.items()]


@dataclass(frozen=True)
class Round:
    """What was sent: ids by partition in the order of their offsets, the first of which are `starts`."""

    stamps: Stamps
    ids: Sequence[Sequence[str]]
    starts: Sequence[int]
    late_s: float
    """Until the last was visible, behind when it was due."""
    busy_percent: Mapping[str, float]
    """Of a core what each process used; and of the time what the projector could have run for, and somebody else had its core."""

    def by_id(self, times: Sequence[Sequence[float]]) -> dict[str, float]:
        """The times of this round's events, out of those of all records by partition and offset."""
        return {
            id: at_s
            for ids, start, found in zip(self.ids, self.starts, times, strict=True)
            for id, at_s in zip(ids, found[start : start + len(ids)], strict=True)
        }


async def own_share(size: Size) -> Figures:
    """See the module. Rounds have servers of their own: the embedded broker grows slower with every batch that it holds."""
    async with _set_up() as run:
        per_s = await run.sustained(size)
    shares_ms: defaultdict[str, list[float]] = defaultdict(list)
    busy: defaultdict[str, list[float]] = defaultdict(list)
    for _ in range(size.rounds):
        found, stages_ms = await _half_load(per_s / 2, size)
        for name, samples in {**found.stamps.shares_ms(), **stages_ms}.items():
            shares_ms[name] += samples
        for name, percent in found.busy_percent.items():
            busy[name].append(percent)
    figures: dict[str, float] = {"sustained_events_per_s": per_s, "half_load_events_per_s": per_s / 2}
    for name, samples in shares_ms.items():
        figures |= spread(name, samples)
    return figures | {f"{name}_percent": mean(parts) for name, parts in busy.items()}


async def _half_load(per_s: float, size: Size) -> tuple[Round, dict[str, list[float]]]:
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder:
        path = Path(folder) / "stages.json"
        async with _set_up(path) as run:
            await run.round(per_s, size.warm_s)
            warm = run.sent
            found = await run.round(per_s, size.seconds)
        stages = Stages.read(path)
    found.stamps.fetched = found.by_id(stages.fetched_s(PARTITIONS))
    return found, stages.shares_ms(warm)


@asynccontextmanager
async def _set_up(stages: Path | None = None) -> AsyncGenerator[_Run]:
    topic = PROJECTIONS[NAME].topics[0]
    settings = {"HEADRACE_FETCH_MAX_WAIT_MS": str(FETCH_MAX_WAIT_MS)}
    async with (
        store_and_broker() as servers,
        filler(servers.kafka, [topic]) as fill,
        running_projectors([NAME], servers, fill, settings, stages) as projectors,
        arrivals(servers.kafka, topic, fill.ends(topic), FETCH_MAX_WAIT_MS) as arrived,
        visible_in(servers.redis, BUCKET) as visible,
    ):
        processes = {"projector": projectors[NAME].pid, **servers.pids, "load": os.getpid()}
        with pinned({projectors[NAME].pid: SERVER_CORE, 0: LOAD_CORE}):
            yield _Run(fill, topic, arrived, visible, processes)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Without pauses of this process's own: it holds a hundred thousand records."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class _Run:
    """Sends rounds, each of aggregates that are new."""

    def __init__(
        self,
        fill: Filler,
        topic: str,
        arrived: Arrivals,
        visible: Visible,
        processes: Mapping[str, int],
    ) -> None:
        self._fill = fill
        self._topic = topic
        self._arrived = arrived
        self._visible = visible
        self._processes = processes
        self.sent = 0
        """Events of all rounds."""

    async def sustained(self, size: Size) -> float:
        """The highest rate that was. Raises BrokenRunError when the first was not."""
        best = late_s = 0.0
        for step in range(size.steps):
            per_s = size.first_per_s * size.growth**step
            for _ in range(TRIES):
                late_s = (await self.round(per_s, size.step_s)).late_s
                if late_s <= CAUGHT_UP_WITHIN_S:
                    best = per_s
                    break
            if best < per_s:
                break
        if not best:
            raise BrokenRunError(
                f"{size.first_per_s:g} events a second were too many: the last was {late_s:.2f} s late"
            )
        return best

    async def round(self, per_s: float, seconds: float) -> Round:
        """One round, until all of it is visible."""
        starts = self._fill.ends(self._topic)
        ticks = self._packed(per_s, seconds)
        await asyncio.sleep(TICK_S)
        used_us = {name: cpu_us(pid) or 0.0 for name, pid in self._processes.items()}
        waited_us = core_wait_us(self._processes["projector"]) or 0.0
        began_s = time.perf_counter()
        with _no_collection():
            sent = await self._send(ticks)
            await self._all_there()
        took_s = time.perf_counter() - began_s
        busy = {
            f"{name}_busy_at_half_load": ((cpu_us(pid) or 0.0) - used_us[name]) / took_s / 1e4
            for name, pid in self._processes.items()
        }
        waited_us = (core_wait_us(self._processes["projector"]) or 0.0) - waited_us
        busy["projector_kept_from_core"] = waited_us / took_s / 1e4
        ids = [[key.decode() for tick in ticks for key in tick.keys[number]] for number in range(PARTITIONS)]
        stamps = Stamps(sent=sent, visible=self._visible.taken())
        found = Round(stamps, ids, starts, max(stamps.visible.values()) - began_s - len(ticks) * TICK_S, busy)
        stamps.arrived = found.by_id(self._arrived.at_s)
        return found

    def _packed(self, per_s: float, seconds: float) -> list[Packed]:
        """Encoded before the round, so that the producer takes as little as it can of the core that it shares."""
        ticks = max(1, round(seconds / TICK_S))
        first = self.sent
        self.sent += int(per_s * seconds)
        ends = [first + (self.sent - first) * tick // ticks for tick in range(ticks + 1)]
        return [
            self._fill.pack(stored_events(ids(end - start, first=start), 1), number % PARTITIONS)
            for number, (start, end) in enumerate(pairwise(ends))
        ]

    async def _send(self, ticks: Sequence[Packed]) -> dict[str, float]:
        """At an even rate; when each event was handed over."""
        sent_s: list[float] = []
        acknowledged: list[asyncio.Future[Any]] = []
        began_s = time.perf_counter()
        for number, packed in enumerate(ticks):
            await asyncio.sleep(began_s + number * TICK_S - time.perf_counter())
            sent_s.append(time.perf_counter())
            acknowledged += await self._fill.send(self._topic, packed)
        await asyncio.gather(*acknowledged)
        return {
            key.decode(): at_s
            for packed, at_s in zip(ticks, sent_s, strict=True)
            for keys in packed.keys
            for key in keys
        }

    async def _all_there(self) -> None:
        deadline_s = time.monotonic() + _ARRIVES_WITHIN_S
        while min(self._arrived.count, self._visible.count) < self.sent:
            if time.monotonic() > deadline_s:
                told = f"of {self.sent} events {self._arrived.count} arrived, {self._visible.count} became visible"
                raise BrokenRunError(told)
            await asyncio.sleep(TICK_S)
