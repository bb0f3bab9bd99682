"""Tells waiting commands that something arrived from another service."""

import asyncio


class Arrivals:
    """One listener announces, any number of commands wait. Lives in one event loop."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def announce(self) -> None:
        """Wakes everybody who waits for news that come after their `next()`."""
        self._next.set()
        self._next = asyncio.Event()

    def next(self) -> asyncio.Event:
        """Is set at the next announcement. Take it before looking, so that no news falls between look and wait."""
        return self._next
