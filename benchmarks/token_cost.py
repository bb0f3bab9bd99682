"""P6: what a consistency token costs: to verify it, to find it satisfied, to be woken when what it asks for has come.

Invariants: one Valkey on a core, this process (gateway and writer) on the other; the reads with and without a token are the same
and take turns; a waiting read is asleep when its document changes, and the change comes before it would look again by itself.
"""

from __future__ import annotations

import asyncio
import hmac
import random
import secrets
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from redis.asyncio import Redis

from benchmarks import rows
from benchmarks.declare import Benchmark, Figures, at_most
from benchmarks.errors import BrokenRunError
from benchmarks.machine import LOAD_CORE, SERVER_CORE, pinned
from benchmarks.measure import median_call_us, spread
from benchmarks.serving import InnerGateway, gateway_over, read_answer, request_body
from gateway.consistency.requirements import Aggregate, Required, Requirements, require
from gateway.consistency.token import TokenCodec
from gateway.consistency.wait import RECHECK_S
from gateway.dev.servers import EmbeddedValkey, embedded
from projections.store.redis import RedisStore

_VERIFY_ROUNDS, _VERIFY_BATCH = 101, 100
_READ_ROUNDS: Final = 100
_WAKE_UPS: Final = 1000
_ASLEEP_S: Final = (0.002, 0.5 * RECHECK_S)
"""How long a read sleeps before its document changes; a read looks again by itself after 0.75 of RECHECK_S at the soonest."""
_BEGINS_WITHIN_S: Final = 2.0

_CUSTOMER: Final = '{ customer(id: "c-1") { name version } }'
_READS: Final = (
    _CUSTOMER,
    "{ customers { totalCount nodes { name version } } }",
    """{ order(id: "o-1") { status placedAt total version customer { name }
         lines { number amount product { title price } } payments { status captured } shipments { status carrier } } }""",
    "{ orders { totalCount nodes { total customer { name } lines { product { title } } payments { status } } } }",
)


async def measure() -> Figures:
    """See the module."""
    async with embedded(EmbeddedValkey()) as valkey:
        assert valkey.pid is not None
        store, writer = RedisStore(valkey.url), RedisStore(valkey.url)
        try:
            await writer.check()
            await rows.fill(writer)
            with pinned({0: SERVER_CORE, valkey.pid: LOAD_CORE}):
                async with gateway_over(store) as gateway, Redis.from_url(valkey.url) as asking:
                    figures = verify(gateway.endpoint.tokens)
                    figures |= await satisfied(gateway, asking)
                    return figures | await woken(gateway, writer)
        finally:
            await store.close()
            await writer.close()


def verify(codec: TokenCodec) -> dict[str, float]:
    """Microseconds to read a token of 1 requirement and of 16, each token for the first time, and to sign 128 bytes.

    The signature is the floor, and tells a slow machine from a slow codec.
    """
    calls: list[Callable[[], object]] = [partial(hmac.digest, bytes(32), bytes(128), "sha256")]
    for count in (1, 16):
        tokens = iter([codec.mint(_strange(count)) for _ in range(_VERIFY_ROUNDS * _VERIFY_BATCH)])
        calls.append(lambda tokens=tokens: codec.read(next(tokens)))  # type: ignore[misc]
    hmac_us, one_us, sixteen_us = median_call_us(calls, rounds=_VERIFY_ROUNDS, batch=_VERIFY_BATCH)
    return {"verify_1_us": one_us, "verify_16_us": sixteen_us, "hmac_us": hmac_us}


async def satisfied(gateway: InnerGateway, asking: Redis) -> dict[str, float]:
    """Trips to the store, as the reader counts them and as the server does, that the same reads make more with a token."""
    token = gateway.endpoint.tokens.mint(_of_rows())
    plain, tokened = _Count(), _Count()
    for query in _READS:
        await gateway.answer(request_body(query))  # parsed, and connections open
    for _ in range(_READ_ROUNDS):
        for query in _READS:
            for after, count in ((None, plain), (token, tokened)):
                await _counted(gateway, asking, count, query, after)
    reads = _READ_ROUNDS * len(_READS)
    return {
        "extra_round_trips": tokened.trips - plain.trips,
        "extra_reads_at_the_server": tokened.arrivals - plain.arrivals,
        "round_trips_per_read": plain.trips / reads,
        "satisfied_read_extra_us": (tokened.took_s - plain.took_s) / reads * 1e6,
    }


async def woken(gateway: InnerGateway, writer: RedisStore) -> dict[str, float]:
    """Milliseconds from the return of `apply` to the answer of the read that waited for it; and of a bare PING, in turns.

    The PING tells a slow wake-up from processes that wait for their core.
    """
    pause_s = random.Random(1)
    late_ms: list[float] = []
    ping_ms: list[float] = []
    for version in range(2, _WAKE_UPS + 2):
        late_ms.append(await _wake_up(gateway, writer, version, pause_s.uniform(*_ASLEEP_S)))
        began_s = time.perf_counter()
        await writer.ping()
        ping_ms.append((time.perf_counter() - began_s) * 1000)
    return spread("wake_up", late_ms) | {"wake_up_max_ms": max(late_ms)} | spread("ping", ping_ms)


async def _wake_up(gateway: InnerGateway, writer: RedisStore, version: int, asleep_s: float) -> float:
    wanted = require([(Aggregate("customers", "customer", "c-1"), Required(0, version, int(time.time())))])
    body = request_body(_CUSTOMER, gateway.endpoint.tokens.mint(wanted), maxWaitMs=2000)
    before = gateway.endpoint.reader.trips_made
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(_timed(gateway, body))
        # The first trip finds it missing, the second is the look after the subscription: then it sleeps.
        await _until(lambda: gateway.endpoint.reader.trips_made >= before + 2)
        await asyncio.sleep(asleep_s)
        if reading.done():
            raise BrokenRunError("a read did not wait for a version that nobody had written")
        await rows.advance(writer, version)
        applied_s = time.perf_counter()
    answer, answered_s = reading.result()
    found = read_answer(answer)
    if not found["extensions"]["consistency"]["satisfied"] or found["data"]["customer"]["version"] != version:
        raise BrokenRunError(f"a read was answered with {found}, not with version {version}")
    return (answered_s - applied_s) * 1000


async def _timed(gateway: InnerGateway, body: bytes) -> tuple[bytes, float]:
    return await gateway.answer(body), time.perf_counter()


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(_BEGINS_WITHIN_S):
        while not condition():  # noqa: ASYNC110 - a counter, which has nothing to await
            await asyncio.sleep(0.0005)


class _Count:
    """What some reads came to: trips that the reader made, packets of commands that reached the server, time."""

    def __init__(self) -> None:
        self.trips = 0
        self.arrivals = 0
        self.took_s = 0.0


async def _counted(gateway: InnerGateway, asking: Redis, count: _Count, query: str, after: str | None) -> None:
    trips, arrivals = gateway.endpoint.reader.trips_made, await _arrivals(asking)
    began_s = time.perf_counter()
    answer = await gateway.answer(request_body(query, after))
    count.took_s += time.perf_counter() - began_s
    count.trips += gateway.endpoint.reader.trips_made - trips
    count.arrivals += await _arrivals(asking) - arrivals - 1  # this question is one itself
    found = read_answer(answer)
    if after is not None and not found["extensions"]["consistency"]["satisfied"]:
        raise BrokenRunError(f"not satisfied by what is stored: {found['extensions']['consistency']}")


async def _arrivals(asking: Redis) -> int:
    stats = await asking.info("stats")
    return int(stats["total_reads_processed"])


def _of_rows() -> Requirements:
    """The rows, each at its version."""
    owners = {
        "customer": "customers",
        "order": "orders",
        "payment": "payments",
        "shipment": "shipping",
        "product": "catalog",
    }
    now_s = int(time.time())
    return require(
        (Aggregate(owners[projection.aggregate], projection.aggregate, id), Required(0, 1, now_s))
        for projection, id, _ in rows.ROWS
    )


def _strange(count: int) -> Requirements:
    """Requirements of `count` orders, with ids as the shop makes them."""
    now_s = int(time.time())
    wanted = require(
        (Aggregate("orders", "order", f"o-{secrets.token_hex(8)}"), Required(0, 3, now_s)) for _ in range(count)
    )
    if len(wanted.of) != count:
        raise BrokenRunError(f"a token holds {len(wanted.of)} requirements, not {count}")
    return wanted


benchmark: Final = Benchmark(
    id="P6",
    bar="a token: verified in <= 10 us, no round trip more when satisfied, woken <= 5 ms (p99) after apply",
    bounds={
        "verify_1_us": at_most(10),
        "verify_16_us": at_most(10),
        "extra_round_trips": at_most(0),
        "extra_reads_at_the_server": at_most(0),
        "wake_up_p99_ms": at_most(5),
    },
    run=measure,
    within_s=180,
)
