"""A relay in front of a server, for what a real server does not do when asked: speaking TLS, cutting an answer off."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import ssl
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway.dev.ports import LOOPBACK

_CHUNK = 64 * 1024


class Relay:
    """Hands bytes to and fro. `cut_after` is how many bytes of answers it still lets through before it cuts; None: all."""

    def __init__(self, port: int) -> None:
        self.port = 0
        self.cut_after: int | None = None
        self._to = port
        self._clients: dict[asyncio.Task[Any], asyncio.StreamWriter] = {}

    async def close(self) -> None:
        """Ends all clients' connections."""
        for far_writer in self._clients.values():
            far_writer.transport.abort()
        if self._clients:
            await asyncio.wait(list(self._clients))

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client."""
        far_reader, far_writer = await asyncio.open_connection(LOOPBACK, self._to)
        task = asyncio.current_task()
        assert task
        self._clients[task] = far_writer
        try:
            async with asyncio.TaskGroup() as group:
                asking = group.create_task(_pass_on(reader, far_writer))
                await self._answer(far_reader, writer)
                asking.cancel()
        finally:
            far_writer.transport.abort()
            writer.transport.abort()
            del self._clients[task]

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK):
            writer.write(data[: self.cut_after])
            with contextlib.suppress(ConnectionError):
                await writer.drain()
            if self.cut_after is not None:
                self.cut_after -= min(len(data), self.cut_after)
                if not self.cut_after:
                    return


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def relayed(port: int, tls: ssl.SSLContext | None = None) -> AsyncGenerator[Relay]:
    """A relay to a port of this machine, on a port of its own, behind TLS when asked."""
    relay = Relay(port)
    server = await asyncio.start_server(relay.handle, LOOPBACK, 0, ssl=tls)
    relay.port = server.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        server.close()
        await relay.close()


def certificate(folder: Path) -> tuple[Path, Path] | None:
    """A certificate of 127.0.0.1 that vouches for itself, and its key; None where there is no openssl to make it."""
    openssl = shutil.which("openssl")
    if openssl is None:
        return None
    made, key = folder / "certificate.pem", folder / "key.pem"
    words = [
        openssl,
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]
    words += ["-subj", f"/CN={LOOPBACK}", "-addext", f"subjectAltName=IP:{LOOPBACK}"]
    subprocess.run([*words, "-keyout", str(key), "-out", str(made)], check=True, capture_output=True)
    return made, key
