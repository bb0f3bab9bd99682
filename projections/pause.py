"""Waiting for an event, at most so long: how every loop of this program pauses.

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
