"""Clients side by side, which share a number of calls; one client is one call at a time.

Invariants: each client has one call under way; whatever one of them raises ends them all.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
Once = Callable[[], Awaitable[T]]
"""One call, and what it came to."""


async def side_by_side(
    clients: Sequence[Once[T]], count: int, *, pauses: random.Random | None = None, pause_up_to_s: float = 0.0
) -> list[T]:
    """`count` calls in all, by whichever client is free; with `pauses`, after a pause of random length each.

    Clients that call again as soon as they were answered fall into step with whatever answers at intervals.
    """
    found: list[T] = []
    left = iter(range(count))

    async def work(once: Once[T]) -> None:
        for _ in left:
            if pauses is not None:
                await asyncio.sleep(pauses.uniform(0, pause_up_to_s))
            found.append(await once())

    async with asyncio.TaskGroup() as group:
        for once in clients:
            group.create_task(work(once))
    return found
