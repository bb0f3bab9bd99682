"""P1, P2, P2b and P3 as one run: one store, one shop in it, all servers at once, and rounds in which they take turns.

Invariants: what is measured is what the chosen benchmarks need; answers are compared before anything is measured, and again behind
it. P1 without one context's data, and first runs, are of Headrace alone.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from benchmarks.composition import plot
from benchmarks.composition.answers import compare
from benchmarks.composition.context_down import context_down
from benchmarks.composition.data import Shop, fill, shop
from benchmarks.composition.first_run import first_runs, trusted_runs
from benchmarks.composition.load import has_wrk
from benchmarks.composition.operations import order_list, order_page
from benchmarks.composition.peers import FOLDER, available, read_peers, running_peers
from benchmarks.composition.rounds import OURS, Field, Turn, beside, identical, measure_rounds, warm_up
from benchmarks.declare import Benchmark, Figures, Together, at_least, at_most
from benchmarks.machine import LOAD_CORE, SERVER_CORE, pinned
from gateway.dev.servers import EmbeddedValkey, embedded
from projections.store.redis import RedisStore

PAGE: Final = "order_page"
LIST: Final = "order_list"


@dataclass(frozen=True)
class Size:
    """How much is measured; `peers` are the folders of those that take part, all when left out."""

    orders: int = 4000
    bodies: int = 500
    rounds: int = 3
    seconds: float = 3.0
    warm_s: float = 2.0
    texts: int = 100
    peers: tuple[str, ...] = ()


QUICK: Final = Size(orders=200, bodies=20, rounds=1, seconds=0.2, warm_s=0.1, texts=3, peers=("floor", "headrace"))


async def compose(ids: Sequence[str], size: Size) -> Mapping[str, Figures]:
    """The figures of the benchmarks with these ids, in one run."""
    stocked = shop(size.orders)
    async with _field(stocked, size) as (field, redis_url):
        for operation in field.operations.values():
            await compare(list(field.peers.values()), operation)
        turns = _turns(ids, field)
        await warm_up(field, turns, size.warm_s)
        rounds = await measure_rounds(field, turns, size.rounds, size.seconds)
        told: dict[str, Figures] = {}
        if page.id in ids:
            down = await context_down(field, redis_url, list(stocked.customers), size.rounds, size.seconds)
            told[page.id] = {**beside(rounds, PAGE), **down}
        if listing.id in ids:
            told[listing.id] = beside(rounds, LIST)
        if same.id in ids:
            told[same.id] = identical(rounds, {LIST: "list", PAGE: "page"})
        if first_run.id in ids:
            told[first_run.id] = await _first_runs(field, redis_url, size.texts, next(iter(stocked.orders)))
        for operation in field.operations.values():
            await compare(list(field.peers.values()), operation)
    return told


async def _first_runs(field: Field, redis_url: str, count: int, id: str) -> Figures:
    """Of operations that were never sent, and of trusted documents."""
    ours = field.peers[OURS]
    unseen = await first_runs(ours, count, id)
    return {**unseen, **await trusted_runs(ours.peer, redis_url, count, id)}


@asynccontextmanager
async def _field(stocked: Shop, size: Size) -> AsyncGenerator[tuple[Field, str]]:
    """The store with the shop in it, and the servers, each in its place."""
    operations = (order_page(stocked, size.bodies), order_list(stocked, size.bodies))
    peers = [peer for peer in read_peers() if not size.peers or peer.folder.name in size.peers]
    chosen = available(peers, _tell)
    async with embedded(EmbeddedValkey()) as valkey:
        store = RedisStore(valkey.address)
        try:
            await store.check()
            await fill(store, stocked)
        finally:
            await store.close()
        assert valkey.pid
        async with running_peers(chosen, valkey.address) as running:
            places = {peer.pid: SERVER_CORE for peer in running} | {valkey.pid: LOAD_CORE}
            with pinned(places):
                named = {operation.name: operation for operation in operations}
                yield Field({peer.name: peer for peer in running}, named, valkey.pid), valkey.address


def _turns(ids: Sequence[str], field: Field) -> list[Turn]:
    """Who has to be measured with what, for these benchmarks."""
    found: list[Turn] = []
    graph = [peer for peer in field.peers.values() if peer.peer.answers_graph]
    if page.id in ids:
        found += [Turn(name, PAGE) for name in field.peers]
    if listing.id in ids:
        found += [Turn(peer.name, LIST) for peer in graph]
    if same.id in ids:
        kinds = [(operation, is_same) for operation in (PAGE, LIST) for is_same in (False, True)]
        found += [Turn(peer.name, *kind) for kind in kinds for peer in graph]
    return list(dict.fromkeys(found))


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


async def measure(ids: Sequence[str]) -> Mapping[str, Figures]:
    """See the module."""
    return await compose(ids, Size())


def versions() -> dict[str, str]:
    """Of what machine.versions does not know: Node, the packages that are pinned for it, and wrk."""
    pinned_packages: dict[str, str] = json.loads((FOLDER / "package.json").read_text(encoding="utf-8"))["dependencies"]
    try:
        node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return {"load": _load_generator()}
    return {"node": node.stdout.strip().removeprefix("v"), **pinned_packages, "load": _load_generator()}


def _load_generator() -> str:
    return "wrk" if has_wrk() else "benchmarks.composition.load"


def draw(found: Mapping[str, Figures]) -> str | None:
    """Requests a second of every server, as SVG; None when none were measured."""
    titles = {
        "Order page over five contexts, bodies vary": ("P1", ""),
        "20 such orders, bodies vary": ("P2", ""),
        "Order page, one identical body": ("P2b", "_page_identical"),
        "20 such orders, one identical body": ("P2b", "_list_identical"),
    }
    drawn = plot.groups(found, titles)
    return plot.svg("Requests a second of one server process, logarithmic", drawn, OURS) if drawn else None


together: Final = Together(name="composition", run=measure, draw=draw, versions=versions, within_s=600)
page: Final = Benchmark(
    id="P1",
    bar="order page over 5 contexts, one server process: >= 20x Strawberry with caches, >= 1.5x Mercurius + graphql-jit, "
    ">= 0.5x bare ASGI that returns one value; with one context's data gone <= 1.5x CPU",
    bounds={
        "ratio_to_strawberry_cached": at_least(20),
        "ratio_to_mercurius": at_least(1.5),
        "ratio_to_floor": at_least(0.5),
        "context_down_cpu_ratio": at_most(1.5),
    },
    run=together,
)
listing: Final = Benchmark(
    id="P2",
    bar="20 such orders in one query: >= 40x Strawberry with caches, >= 5x Mercurius + graphql-jit",
    bounds={"ratio_to_strawberry_cached": at_least(40), "ratio_to_mercurius": at_least(5)},
    run=together,
)
same: Final = Benchmark(
    id="P2b",
    bar="the same with one identical body on all connections: the list >= 1.5x its rate with bodies that vary",
    bounds={"list_identical_to_varied": at_least(1.5)},
    run=together,
)
first_run: Final = Benchmark(
    id="P3",
    bar="first run of an unseen operation <= graphql-core's parse + validate of its text, + 2 ms; of a trusted document "
    "<= 1.1x the CPU of a later one",
    bounds={"first_run_beyond_checking_ms": at_most(2), "trusted_first_to_warm_cpu": at_most(1.1)},
    run=together,
)
