"""What a request costs while one context's data cannot be had: the order page without customers.

Invariants: the customers' read model is as one that is being built anew and has nothing yet; whole and empty take turns, and it is
whole again behind each turn; every other context's fields are as ever, and what is missing is told with its path and code.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from statistics import median
from typing import Any, Final, cast

from redis.asyncio import Redis

from benchmarks.composition.answers import ask, normal, sample
from benchmarks.composition.rounds import OURS, Field, Turn, measure_turn
from benchmarks.declare import Figures
from benchmarks.errors import BrokenRunError
from projections.contexts.customers import customer_docs
from projections.store.keys import Bucket

_TURN: Final = Turn(OURS, "order_page")
_FAILED: Final = {"path": ["order", "customer"], "code": "READ_MODEL_REBUILDING"}


async def context_down(field: Field, redis_url: str, ids: list[str], rounds: int, seconds: float) -> Figures:
    """CPU per order page with the customers (`ids`) gone, over that with all. Raises BrokenRunError."""
    whole: list[float] = []
    empty: list[float] = []
    client = cast("Any", Redis).from_url(redis_url)
    try:
        await _check(field, client, ids)
        for number in range(rounds):
            whole.append((await measure_turn(field, _TURN, seconds, number)).cpu_us)
            async with _gone(client, ids):
                empty.append((await measure_turn(field, _TURN, seconds, number)).cpu_us)
    finally:
        await client.aclose()
    return {
        "context_down_cpu_ratio": median(one / other for one, other in zip(empty, whole, strict=True)),
        "context_down_cpu_us_per_request": median(empty),
    }


@asynccontextmanager
async def _gone(client: Any, ids: list[str]) -> AsyncGenerator[None]:
    """Without these customers, and without the mark that their bucket is built."""
    bucket = Bucket(customer_docs.name, customer_docs.version, 0)
    keys = [bucket.built, *map(bucket.document, ids)]
    stored = dict(zip(keys, await client.mget(keys), strict=True))
    await client.delete(*keys)
    try:
        yield
    finally:
        await client.mset(stored)


async def _check(field: Field, client: Any, ids: list[str]) -> None:
    bodies = sample(field.operations[_TURN.operation])
    before = await _asked(field, bodies)
    async with _gone(client, ids):
        found = await _asked(field, bodies)
    for one, other in zip(before, found, strict=True):
        errors = [
            {"path": error.get("path"), "code": error.get("extensions", {}).get("code")}
            for error in other.pop("errors", [])
        ]
        one["data"]["order"]["customer"] = None
        if errors != [_FAILED] or other != one:
            raise BrokenRunError(
                f"without customers it answered {str(other)[:500]} with {errors}, not {str(one)[:500]}"
            )
    if await _asked(field, bodies[:1]) == found[:1]:
        raise BrokenRunError("customers did not come back")


async def _asked(field: Field, bodies: list[bytes]) -> list[dict[str, Any]]:
    return [json.loads(normal(answer)) for answer in await ask(field.peers[OURS], bodies)]
