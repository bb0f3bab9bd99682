"""P3: how long an operation takes that the gateway has never seen, beside what graphql-core takes to parse and validate its text;
and how long a trusted document takes when it is asked for the first time, beside later times.

Invariants: no text is sent that was sent before; each is parsed and validated on the server's core, while the server is idle; one
request is under way at a time. The gateway of the trusted documents is another process, which has answered other operations
before: what a process does once is not in the figures. First runs and later ones take turns, each after one of another document:
to come back to an operation costs a processor's caches some 8 % of a run, the first time or not.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

import msgspec
from graphql import GraphQLSchema, build_schema, parse, validate

from benchmarks.composition.operations import request
from benchmarks.composition.peers import ROOT, Peer, RunningPeer, running_peers
from benchmarks.declare import Figures
from benchmarks.errors import BrokenRunError
from benchmarks.http import Connection, connected
from benchmarks.machine import LOAD_CORE, SERVER_CORE, pinned
from benchmarks.processes import cpu_us

SDL: Final = ROOT / "schema" / "schema.graphql"
WARM_RUNS: Final = 5
OTHERS: Final = 20
"""Operations that are sent, twice each, before the first trusted document."""
APART: Final = 5
"""First runs of other documents between two runs of one, and as many later ones of each age."""
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


class Answered(NamedTuple):
    """One request: how long its answer took, and the CPU time that the gateway used meanwhile."""

    taken_ms: float
    used_us: float


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


async def trusted_runs(peer: Peer, redis_url: str, count: int, id: str) -> Figures:
    """The figures of P3 of so many trusted documents, on a gateway of their own. Raises as `first_runs` does."""
    texts = list(unseen(count + OTHERS))
    with tempfile.TemporaryDirectory(prefix="headrace-trusted-") as folder:
        for number, text in enumerate(texts[:count]):
            (Path(folder) / f"{number}.graphql").write_text(text, encoding="utf-8")
        environment = {**peer.environment, "HEADRACE_TRUSTED_DOCUMENTS": folder}
        trusting = msgspec.structs.replace(peer, environment=environment)
        async with (
            running_peers([trusting], redis_url) as [running],
            connected(running.url, peer.headers) as connection,
        ):
            with pinned({running.pid: SERVER_CORE, 0: LOAD_CORE}):
                for text in (*texts[count:], *texts[count:]):
                    await _counted(connection, running.pid, text, id)
                runs: list[list[Answered]] = [[] for _ in range(1 + WARM_RUNS)]
                for place, asked in turns(count):
                    runs[asked].append(await _counted(connection, running.pid, texts[place], id))
    return trusted_figures(runs)


def turns(count: int) -> Iterator[tuple[int, int]]:
    """Which of so many documents is asked for, and how often it was before: every one at first and WARM_RUNS times later on."""
    for step in range(count + WARM_RUNS * APART):
        for asked in range(1 + WARM_RUNS):
            if 0 <= step - asked * APART < count:
                yield step - asked * APART, asked


async def _counted(connection: Connection, pid: int, text: str, id: str) -> Answered:
    used_us = cpu_us(pid) or 0.0
    taken_s = await _timed(connection, request(text, {"id": id}))
    return Answered(taken_s * 1e3, (cpu_us(pid) or 0.0) - used_us)


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


def trusted_figures(runs: Sequence[Sequence[Answered]]) -> Figures:
    """Of first runs, second ones and so on: medians of the first and of all later ones, and what one is to the other."""
    first = runs[0]
    warm = [answered for later in runs[1:] for answered in later]
    first_ms, warm_ms = (median(answered.taken_ms for answered in of) for of in (first, warm))
    first_us, warm_us = (median(answered.used_us for answered in of) for of in (first, warm))
    return {
        "trusted_first_to_warm_cpu": first_us / warm_us if warm_us else 0.0,
        "trusted_first_to_warm": first_ms / warm_ms,
        "trusted_first_run_p50_ms": first_ms,
        "trusted_warm_run_p50_ms": warm_ms,
        "trusted_first_run_cpu_p50_us": first_us,
        "trusted_warm_run_cpu_p50_us": warm_us,
    }
