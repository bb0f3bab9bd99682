"""How long a read waits for the write that its token names, through the whole running loop, beside produce -> consume (P5).

Invariants: both are measured on the same broker in the same run, in rounds that take turns, one at a time and eight at a time. The
broker answers at intervals, so records, and mutations that go one at a time, come after a pause of random length: neither falls
into step with it. Eight clients register without a pause: their load is part of the question. The loop's processes are where the
kernel places them: they are more than there are cores.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Final, NamedTuple

import msgspec

from benchmarks.declare import Figures
from benchmarks.errors import BrokenRunError
from benchmarks.http import Connection, connected
from benchmarks.load import side_by_side
from benchmarks.loop import running_loop
from benchmarks.measure import spread
from benchmarks.processes import CpuMeter
from benchmarks.yardstick import Yardstick, yardstick

ROUNDS: Final = 5
PER_ROUND: Final = 100
"""500 mutations one at a time, 500 eight at a time, and as many records of the yardstick."""
CLIENTS: Final = 8
WARM_UP: Final = 40
FETCH_MAX_WAIT_MS: Final = 50
"""The embedded broker's latency follows from it: the projector and the yardstick's consumer have the same."""
PAUSE_UP_TO_S: Final = FETCH_MAX_WAIT_MS / 1000

_MUTATION: Final = """mutation Register($input: RegisterCustomerInput!) { registerCustomer(input: $input) {
  __typename
  ... on RegisterCustomerAccepted { customer { id name version } receipt { token } }
} }"""


class Registered(NamedTuple):
    """One mutation that selected the customer back. `is_lie`: said to be satisfied, and showed something older."""

    request_ms: float
    wait_ms: float
    is_satisfied: bool
    is_lie: bool


async def measure() -> Figures:
    """See the module."""
    settings = {"HEADRACE_FETCH_MAX_WAIT_MS": str(FETCH_MAX_WAIT_MS)}
    async with (
        running_loop(settings) as loop,
        yardstick(loop.kafka, like_topic="shop.customers", fetch_max_wait_ms=FETCH_MAX_WAIT_MS) as stick,
    ):
        meter = CpuMeter({"gateway": loop.gateway_pid, "projector": loop.projector_pid})
        return await _rounds(_Shop(loop.graphql_url, meter), stick)


async def _rounds(shop: _Shop, stick: Yardstick) -> Figures:
    pauses = random.Random(1)
    await shop.registered(WARM_UP, CLIENTS, pauses)
    await _passed(stick, WARM_UP, CLIENTS, pauses)
    records: dict[int, list[float]] = {1: [], CLIENTS: []}
    mutations: dict[int, list[Registered]] = {1: [], CLIENTS: []}
    for _ in range(ROUNDS):
        for clients in (1, CLIENTS):
            records[clients] += await _passed(stick, PER_ROUND, clients, pauses)
            with shop.meter:
                mutations[clients] += await shop.registered(PER_ROUND, clients, pauses)
    everybody = [*mutations[1], *mutations[CLIENTS]]
    return {
        **figures("alone", mutations[1], records[1]),
        **figures(f"side_by_side_{CLIENTS}", mutations[CLIENTS], records[CLIENTS]),
        "satisfied_percent": sum(found.is_satisfied for found in everybody) / len(everybody) * 100,
        "satisfied_but_older": sum(found.is_lie for found in everybody),
        **shop.meter.figures(len(everybody), "mutation"),
    }


class _Shop:
    """Registers customers under names of their own."""

    def __init__(self, url: str, meter: CpuMeter) -> None:
        self.meter = meter
        self._url = url
        self._numbers = itertools.count(1)

    async def registered(self, count: int, clients: int, pauses: random.Random) -> list[Registered]:
        """`count` of them. The connections are made for it: the gateway closes those that are idle for some seconds."""
        async with AsyncExitStack() as stack:
            connections = [await stack.enter_async_context(connected(self._url)) for _ in range(clients)]
            each = [partial(register, connection, self._numbers) for connection in connections]
            return await side_by_side(each, count, pauses=pauses if clients == 1 else None, pause_up_to_s=PAUSE_UP_TO_S)


async def _passed(stick: Yardstick, count: int, clients: int, pauses: random.Random) -> list[float]:
    return await side_by_side([stick.pass_one] * clients, count, pauses=pauses, pause_up_to_s=PAUSE_UP_TO_S)


async def register(connection: Connection, numbers: Iterator[int]) -> Registered:
    """Registers a customer under a new name and reads it back in the same request."""
    name = f"Ada {next(numbers)}"
    body = {
        "query": _MUTATION,
        "variables": {"input": {"name": name, "segment": "BUILDING", "nation": "FRANCE"}},
        "extensions": {"consistency": {"maxWaitMs": 1000}},
    }
    began_s = time.perf_counter()
    answer = await connection.post(msgspec.json.encode(body))
    return read_registered(name, msgspec.json.decode(answer), (time.perf_counter() - began_s) * 1000)


def read_registered(name: str, answer: dict[str, Any], request_ms: float) -> Registered:
    """What the gateway answered to the registration of `name`. Raises BrokenRunError when it was not accepted."""
    result = (answer.get("data") or {}).get("registerCustomer") or {}
    if "errors" in answer or result.get("__typename") != "RegisterCustomerAccepted":
        raise BrokenRunError(f"a registration was answered with {answer}")
    consistency = answer["extensions"]["consistency"]
    is_shown = (result["customer"] or {}).get("name") == name
    is_satisfied = consistency["satisfied"]
    return Registered(request_ms, consistency["waitedMs"], is_satisfied, is_satisfied and not is_shown)


def figures(way: str, mutations: list[Registered], records_ms: list[float]) -> dict[str, float]:
    """Named after the way of sending."""
    waits = spread(f"{way}_wait", [found.wait_ms for found in mutations])
    records = spread(f"{way}_produce_consume", records_ms)
    ratio = waits[f"{way}_wait_p99_ms"] / records[f"{way}_produce_consume_p99_ms"]
    requests = spread(f"{way}_request", [found.request_ms for found in mutations])
    return {f"{way}_p99_ratio": ratio, **waits, **records, **requests}
