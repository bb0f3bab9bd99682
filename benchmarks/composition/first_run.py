"""P3: how long an operation takes that the gateway has never seen, beside what graphql-core takes to parse and validate its text.

Invariants: no text is sent that was sent before; each is parsed and validated on the server's core, while the server is idle; one
request is under way at a time.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from graphql import GraphQLSchema, build_schema, parse, validate

from benchmarks.composition.operations import request
from benchmarks.composition.peers import ROOT, RunningPeer
from benchmarks.declare import Figures
from benchmarks.errors import BrokenRunError
from benchmarks.http import Connection, connected
from benchmarks.machine import LOAD_CORE, SERVER_CORE, pinned
from benchmarks.processes import cpu_us

SDL: Final = ROOT / "schema" / "schema.graphql"
WARM_RUNS: Final = 5
_ORDER: Final = ("id", "key", "version", "status", "placedAt", "total")
_PRODUCT: Final = ("id", "sku", "title", "brand", "category", "price", "available")
_EDGES: Final = {
    "customer": ("id", "name", "segment", "nation", "email", "since"),
    "lines": ("number", "quantity", "amount", "discount", "tax"),
    "payments": ("id", "status", "amount", "captured", "refunded", "authorizedAt"),
    "shipments": ("id", "status", "carrier", "lineNumbers", "createdAt", "deliveredAt"),
}


@dataclass(frozen=True)
class Run:
    """One text: what parsing and validating it took this process, its first run, and later ones in the median."""

    checked_ms: float
    checked_cpu_ms: float
    first_ms: float
    first_cpu_ms: float
    warm_ms: float


def unseen(count: int) -> Iterator[str]:
    """Order pages over all five contexts, each with a choice of fields and with names of its own."""
    chosen = random.Random(4)
    for number in range(count):
        parts = [_fields(number, _ORDER, chosen)]
        for edge, names in _EDGES.items():
            product = f" product {{ {_fields(number, _PRODUCT, chosen)} }}" if edge == "lines" else ""
            parts.append(f"{edge} {{ {_fields(number, names, chosen)}{product} }}")
        yield f"query First{number}($id: ID!) {{\n  order(id: $id) {{\n    " + "\n    ".join(parts) + "\n  }\n}\n"


def _fields(number: int, names: Sequence[str], chosen: random.Random) -> str:
    first, *others = chosen.sample(names, chosen.randint(2, len(names)))
    return " ".join([f"{first}{number}: {first}", *others])


async def first_runs(peer: RunningPeer, count: int, id: str) -> Figures:
    """The figures of P3, of so many texts. Raises BrokenRunError for an answer with errors."""
    schema = build_schema(SDL.read_text(encoding="utf-8"))
    async with connected(peer.url, peer.peer.headers) as connection:
        texts = list(unseen(count + 1))
        await _run(schema, connection, peer.pid, texts[0], id)
        return figures([await _run(schema, connection, peer.pid, text, id) for text in texts[1:]])


async def _run(schema: GraphQLSchema, connection: Connection, pid: int, text: str, id: str) -> Run:
    with pinned({0: SERVER_CORE}):
        began_s, cpu_s = time.perf_counter(), time.thread_time()
        problems = validate(schema, parse(text))
        checked_s, cpu_s = time.perf_counter() - began_s, time.thread_time() - cpu_s
    if problems:
        raise BrokenRunError(f"{text} is not valid: {problems[0]}")
    body = request(text, {"id": id})
    with pinned({0: LOAD_CORE}):
        used_us = cpu_us(pid) or 0.0
        first_s = await _timed(connection, body)
        used_us = (cpu_us(pid) or 0.0) - used_us
        warm_s = [await _timed(connection, body) for _ in range(WARM_RUNS)]
    return Run(checked_s * 1e3, cpu_s * 1e3, first_s * 1e3, used_us / 1e3, median(warm_s) * 1e3)


async def _timed(connection: Connection, body: bytes) -> float:
    began_s = time.perf_counter()
    answer = await connection.post(body)
    taken_s = time.perf_counter() - began_s
    if b'"errors":' in answer or b'"order":{' not in answer:
        raise BrokenRunError(f"{body!r} was answered with {answer[:500]!r}")
    return taken_s


def figures(runs: list[Run]) -> Figures:
    """Medians over the texts."""
    return {
        "first_run_beyond_checking_ms": median(run.first_ms - run.checked_ms for run in runs),
        "first_run_cpu_beyond_checking_ms": median(run.first_cpu_ms - run.checked_cpu_ms for run in runs),
        "first_run_p50_ms": median(run.first_ms for run in runs),
        "parse_and_validate_p50_ms": median(run.checked_ms for run in runs),
        "warm_run_p50_ms": median(run.warm_ms for run in runs),
        "first_run_cpu_p50_ms": median(run.first_cpu_ms for run in runs),
        "parse_and_validate_cpu_p50_ms": median(run.checked_cpu_ms for run in runs),
    }
