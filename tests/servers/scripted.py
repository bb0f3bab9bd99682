"""A server of one connection at a time that says what the test tells it to say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from gateway.dev.ports import LOOPBACK

_WITHIN_S: Final = 20.0


class Scripted(asyncio.Protocol):
    """A server that says what the test tells it to say, on the connection that came last.

    It answers nothing of itself: connect without `driver_info`, so that redis-py says nothing, either.
    """

    def __init__(self) -> None:
        self.url = ""
        self.pieces: list[bytes] = []
        self.connections = 0
        self._changed = asyncio.Event()
        self._transport: Any = None

    @property
    def commands(self) -> int:
        """How many commands have come, all of them of two words or three."""
        return sum(piece.count(b"*") for piece in self.pieces)

    def say(self, data: bytes) -> None:
        self._transport.write(data)

    async def until_commands(self, count: int) -> None:
        await self._until(lambda: self.commands >= count)

    async def until_gone(self) -> None:
        await self._until(lambda: self._transport is None)

    async def _until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(_WITHIN_S):
            while not holds():
                self._changed.clear()
                await self._changed.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self.connections += 1

    def data_received(self, data: bytes) -> None:
        self.pieces.append(data)
        self._changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._changed.set()


@asynccontextmanager
async def scripted() -> AsyncGenerator[Scripted]:
    script = Scripted()
    server = await asyncio.get_running_loop().create_server(lambda: script, LOOPBACK, 0)
    script.url = f"redis://{LOOPBACK}:{server.sockets[0].getsockname()[1]}"
    try:
        yield script
    finally:
        server.close()
