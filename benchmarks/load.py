"""Ways of sending: one at a time with pauses, or several side by side.

Invariants: a count of calls in all; whatever one of them raises ends them all.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
Once = Callable[[], Awaitable[T]]
"""One call, and what it came to."""


async def one_at_a_time(once: Once[T], count: int, pauses: random.Random, *, pause_up_to_s: float) -> list[T]:
    """`count` calls, each after a pause of random length, so that they do not fall into step with what they call."""
    found: list[T] = []
    for _ in range(count):
        await asyncio.sleep(pauses.uniform(0, pause_up_to_s))
        found.append(await once())
    return found


async def side_by_side(clients: Sequence[Once[T]], count: int) -> list[T]:
    """`count` calls in all, without pauses, by whichever client is free."""
    found: list[T] = []
    left = iter(range(count))

    async def work(once: Once[T]) -> None:
        for _ in left:
            found.append(await once())  # noqa: PERF401 - the clients share the list

    async with asyncio.TaskGroup() as group:
        for once in clients:
            group.create_task(work(once))
    return found
