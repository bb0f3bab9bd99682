"""P8: what an event and a request cost as the stored data grows from ten thousand rows to a million.

Invariants: both stores of rows are there at once and take turns: a few rows in one projection, many in another that is declared
alike, with an index per customer and one list of all rows. Every event is of another aggregate that is stored already, and
moves its row in both lists. What is compared is CPU time, of the projector and of Valkey, and of the reader that the gateway has.
"""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from statistics import median
from typing import Final

from benchmarks.declare import Benchmark, Figures, at_most
from benchmarks.errors import BrokenRunError
from benchmarks.filled import fill
from benchmarks.machine import LOAD_CORE, SERVER_CORE, pinned
from benchmarks.measure import Pace
from benchmarks.processes import cpu_us
from benchmarks.projector import RunningProjector, running_projectors
from benchmarks.servers import Servers, store_and_broker
from benchmarks.stored import PROJECTIONS
from benchmarks.topic import filler
from benchmarks.workload import CUSTOMERS, ids, stored_event
from projections.errors import StoreError
from projections.store.document import unpack
from projections.store.keys import Bucket
from projections.store.port import Page, PageQuery, ReadAnswer, Wanted
from projections.store.redis import RedisStore

SIDES: Final = ("few", "many")
PAGE_ROWS: Final = 20
DOCUMENTS: Final = 20
"""That a request reads by their ids, beside two pages."""
LATER: Final = 7 * CUSTOMERS
"""Milliseconds by which an event moves its row on, in the lists that it is in."""


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    few: int = 10_000
    many: int = 1_000_000
    rounds: int = 5
    events: int = 20_000
    requests: int = 1_500


QUICK: Final = Size(few=500, many=2_000, rounds=1, events=500, requests=50)


async def measure() -> Figures:
    """See the module."""
    return await growth(Size())


async def growth(size: Size) -> Figures:
    """The figures of P8 over so many rows, rounds, events and requests."""
    topics = [PROJECTIONS[name].topics[0] for name in SIDES]
    rows = {"few": ids(size.few), "many": ids(size.many)}
    async with store_and_broker() as servers, filler(servers.kafka, topics) as fills:
        store = RedisStore(servers.redis, timeout_s=30)
        try:
            await store.check()
            for name in SIDES:
                await fill(store, PROJECTIONS[name], rows[name])
            requests = await _requests(store, servers, rows, size)
            async with running_projectors(SIDES, servers, fills) as projectors:
                events = await _events(projectors, rows, size)
        finally:
            await store.close()
    return figures(requests, events)


@dataclass
class _Used:
    """CPU of a request, microseconds, by round."""

    reader: list[float] = field(default_factory=list[float])
    valkey: list[float] = field(default_factory=list[float])


async def _requests(store: RedisStore, servers: Servers, rows: dict[str, list[str]], size: Size) -> dict[str, _Used]:
    found: dict[str, _Used] = defaultdict(_Used)
    chosen = random.Random(8)
    with pinned({0: SERVER_CORE}):
        for _ in range(size.rounds):
            for name in SIDES:
                asked = [_asked(name, rows[name], chosen) for _ in range(size.requests)]
                valkey_us, own_us = cpu_us(servers.pids["valkey"]) or 0.0, time.process_time() * 1e6
                for wanted in asked:
                    _look(await store.read(wanted))
                found[name].reader.append((time.process_time() * 1e6 - own_us) / size.requests)
                found[name].valkey.append(((cpu_us(servers.pids["valkey"]) or 0.0) - valkey_us) / size.requests)
    return found


def _asked(name: str, aggregates: Sequence[str], chosen: random.Random) -> Wanted:
    """Documents by their ids, the newest rows of a customer, and the newest of all."""
    documents = {Bucket(name, 1, 0): chosen.sample(aggregates, DOCUMENTS)}
    customer = f"c-{chosen.randrange(CUSTOMERS):06d}"
    lists = (("by_customer", (customer,)), ("in_order", ()))
    pages = [PageQuery(name, 1, 1, index, values, limit=PAGE_ROWS, descending=True) for index, values in lists]
    return Wanted(documents, pages=pages)


def _look(answer: ReadAnswer) -> None:
    """Reads all documents of it. Raises BrokenRunError when something was not there."""
    for item in (*chain.from_iterable(answer.documents.values()), *answer.pages):
        if item is None or isinstance(item, StoreError):
            raise BrokenRunError(f"a read was answered with {item!r}")
        for one in item.stored if isinstance(item, Page) else (item,):
            if one is not None:
                unpack(one)


async def _events(
    projectors: dict[str, RunningProjector], rows: dict[str, list[str]], size: Size
) -> dict[str, list[Pace]]:
    """Rounds over aggregates in random order: each at its next version, none twice until all had their turn."""
    found: dict[str, list[Pace]] = defaultdict(list)
    chosen = random.Random(9)
    turns = {name: _Turns(rows[name], chosen) for name in SIDES}
    for _ in range(size.rounds):
        for name in SIDES:
            entries = [
                stored_event(id, version, int(id.removeprefix("o-")) + version * LATER)
                for id, version in turns[name].take(size.events)
            ]
            with pinned({0: LOAD_CORE}):
                found[name].append(await projectors[name].read(entries))
    return found


class _Turns:
    def __init__(self, aggregates: Sequence[str], chosen: random.Random) -> None:
        self._aggregates = list(aggregates)
        chosen.shuffle(self._aggregates)
        self._taken = 0

    def take(self, count: int) -> list[tuple[str, int]]:
        """So many (id, next version)."""
        size, first = len(self._aggregates), self._taken
        self._taken += count
        return [(self._aggregates[at % size], 2 + at // size) for at in range(first, first + count)]


def figures(requests: dict[str, _Used], events: dict[str, list[Pace]]) -> Figures:
    """Medians over the rounds, and how they grow."""
    told: dict[str, float] = {}
    costs: dict[str, tuple[float, float]] = {}
    for name in SIDES:
        projector = median(pace.cpu_us["projector"] for pace in events[name])
        valkey = median(pace.cpu_us["valkey"] for pace in events[name])
        reader, its_valkey = median(requests[name].reader), median(requests[name].valkey)
        costs[name] = (projector + valkey, reader + its_valkey)
        told |= {
            f"{name}_projector_cpu_us_per_event": projector,
            f"{name}_valkey_cpu_us_per_event": valkey,
            f"{name}_events_per_s": median(pace.per_s for pace in events[name]),
            f"{name}_reader_cpu_us_per_request": reader,
            f"{name}_valkey_cpu_us_per_request": its_valkey,
        }
    ratios = [many / few for few, many in zip(costs["few"], costs["many"], strict=True)]
    return {"cost_per_event_ratio": ratios[0], "cost_per_request_ratio": ratios[1], **told}


benchmark: Final = Benchmark(
    id="P8",
    bar="cost per event and per request as data grows from 10 k to 1 M documents: <= 1.2x",
    bounds={"cost_per_event_ratio": at_most(1.2), "cost_per_request_ratio": at_most(1.2)},
    run=measure,
    within_s=480,
)
