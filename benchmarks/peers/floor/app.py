"""The ASGI app: `uvicorn benchmarks.peers.floor.app:app`. REDIS_URL says where the store is.

Invariants: of a request only the order's id is looked for in its body; GETs of one tick of the loop go out together, and are
answered in their order.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, cast
from urllib.parse import urlsplit

import hiredis

HEADER_BYTES: Final = 10
PREFIX: Final = b"hr:{orders:1:0}:d:"

Message = MutableMapping[str, Any]


class Link(asyncio.Protocol):
    """A connection to the store that only gets."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader()
        self._waiting: deque[asyncio.Future[bytes | None]] = deque()
        self._commands: list[bytes] = []
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's is none of asyncio's classes

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            self._waiting.popleft().set_result(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        for future in self._waiting:
            future.set_exception(exc or ConnectionResetError("the store closed the connection"))
        self._waiting.clear()

    def get(self, key: bytes) -> asyncio.Future[bytes | None]:
        """The value at a key."""
        if not self._commands:
            self._loop.call_soon(self._send)
        self._commands.append(b"*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n" % (len(key), key))
        future: asyncio.Future[bytes | None] = self._loop.create_future()
        self._waiting.append(future)
        return future

    def _send(self) -> None:
        self._transport.write(b"".join(self._commands))
        self._commands.clear()


class App:
    """One link for all requests, made by the first of them."""

    def __init__(self, redis_url: str) -> None:
        self._at = urlsplit(redis_url)
        self._link: Link | None = None

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """See ASGI. Answers 200 with the order's stored JSON, empty when there is none."""
        if scope["type"] != "http":
            return
        link = self._link or await self._connected()
        body: bytes = (await receive())["body"]
        found = await link.get(PREFIX + body[body.rfind(b':"') + 2 : -3])
        answer = found[HEADER_BYTES:] if found else b""
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    async def _connected(self) -> Link:
        loop = asyncio.get_running_loop()
        _, link = await loop.create_connection(Link, self._at.hostname or "", self._at.port or 6379)
        self._link = self._link or link
        return self._link


app: Final = App(os.environ["REDIS_URL"])
