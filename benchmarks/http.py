"""A load generator's HTTP/1.1 connection: one request at a time, kept alive, as cheap as asyncio's streams are.

Invariants: a general client costs as much CPU as the gateway that it asks, on the same two cores; this one reads answers that
carry a Content-Length, as all of the gateway's do, and refuses others.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

from benchmarks.errors import BrokenRunError

ANSWER_WITHIN_S: Final = 20.0


class Connection:
    """Made by `connected`; not for concurrent requests."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, path: str) -> None:
        self._reader = reader
        self._writer = writer
        self._head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: "

    async def post(self, body: bytes) -> bytes:
        """The body of an answer of status 200. Raises BrokenRunError for another one, OSError, TimeoutError."""
        async with asyncio.timeout(ANSWER_WITHIN_S):
            self._writer.write(f"{self._head}{len(body)}\r\n\r\n".encode() + body)
            status, length = _read_head(await self._head_bytes())
            answer = await self._reader.readexactly(length)
        if status != 200:
            raise BrokenRunError(f"the gateway answered {status}: {answer[:500]!r}")
        return answer

    async def _head_bytes(self) -> bytes:
        try:
            return await self._reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            raise BrokenRunError("the gateway closed a connection that was in use") from None


@asynccontextmanager
async def connected(url: str) -> AsyncGenerator[Connection]:
    """A connection for POSTs to `http://host:port/path`. Raises OSError."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        yield Connection(reader, writer, parts.netloc, parts.path)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _read_head(head: bytes) -> tuple[int, int]:
    """Status and length of an answer."""
    first, *lines = head.decode("latin-1").split("\r\n")
    for line in lines:
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            return int(first.split()[1]), int(value)
    raise BrokenRunError(f"an answer without Content-Length: {first}")
