"""A load generator's HTTP/1.1 connection: one request at a time, kept alive, as cheap as asyncio's streams are.

Invariants: a general client costs as much CPU as the gateway that it asks, on the same two cores; this one reads answers that
carry a Content-Length, as all of the gateway's do, and refuses others.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

from benchmarks.errors import BrokenRunError

ANSWER_WITHIN_S: Final = 20.0
NO_HEADERS: Final[Mapping[str, str]] = {}


class Connection:
    """Made by `connected`; not for concurrent requests."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str) -> None:
        self._reader = reader
        self._writer = writer
        self._head = head

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


def head(url: str, headers: Mapping[str, str]) -> str:
    """The head of a POST of JSON to `http://host:port/path`, up to the length of its body."""
    parts = urlsplit(url)
    named = {"Host": parts.netloc, "Content-Type": "application/json", **headers}
    lines = [f"POST {parts.path} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items()), "Content-Length: "]
    return "\r\n".join(lines)


@asynccontextmanager
async def connected(url: str, headers: Mapping[str, str] = NO_HEADERS) -> AsyncGenerator[Connection]:
    """A connection for POSTs to `http://host:port/path`, with more headers when some are given. Raises OSError."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        yield Connection(reader, writer, head(url, headers))
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
