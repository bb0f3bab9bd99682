"""Waiting for an event, at most so long: how every loop of this program pauses, and how it heeds a cancellation.

Invariants: returns as soon as the event is set; cancellation passes through.
"""

from __future__ import annotations

import asyncio


async def event_within(event: asyncio.Event, wait_s: float) -> None:
    """Returns when the event is set, or after `wait_s`; ask the event which it was."""
    try:
        async with asyncio.timeout(wait_s):
            await event.wait()
    except TimeoutError:
        return


def heed_cancellation() -> None:
    """Raises CancelledError when this task was cancelled and something that it called has kept that to itself.

    `asyncio.wait_for` does so before Python 3.12 when what it waits for is done by then, and both client libraries use it: a stage
    that goes on after that waits for others that are gone. Only for tasks that are children of a TaskGroup and have none of their
    own that failed: before Python 3.13 that leaves its parent's count of cancellations behind.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
