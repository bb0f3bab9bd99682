"""Load on one server: as many requests as it answers over some connections, by wrk where it is, else by a client of our own.

Invariants: each connection has one request under way; bodies take turns; an answer of another status than 200, or a connection that
ends, breaks the run. What generates the load is on the load's core.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast
from urllib.parse import urlsplit

from benchmarks.errors import BrokenRunError
from benchmarks.http import head
from benchmarks.machine import LOAD_CORE, pinned
from benchmarks.measure import quantile

CONNECTIONS: Final = 16
_SCRIPT: Final = Path(__file__).parent / "wrk.lua"
_GRACE_S: Final = 15.0


@dataclass(frozen=True)
class Loaded:
    """What came of it: answers, bytes of them with their heads, seconds, and quantiles of how long an answer took."""

    requests: int
    bytes: int
    seconds: float
    p50_ms: float
    p99_ms: float


def has_wrk() -> bool:
    """Whether wrk can be used."""
    return shutil.which("wrk") is not None


@dataclass(frozen=True)
class Asked:
    """What a server is sent: bodies, from number `begin` on, with these headers beside those that every POST has."""

    url: str
    bodies: Sequence[bytes]
    begin: int = 0
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


async def load(asked: Asked, seconds: float) -> Loaded:
    """Asks for so long; wrk needs whole seconds. Raises BrokenRunError."""
    with pinned({0: LOAD_CORE}):
        if has_wrk() and seconds == int(seconds):
            found = await load_by_wrk(asked, int(seconds))
        else:
            found = await load_by_ourselves(asked, seconds)
    if not found.requests:
        raise BrokenRunError(f"{asked.url} answered nothing within {seconds:g} s")
    return found


async def load_by_wrk(asked: Asked, seconds: int) -> Loaded:
    """As `load`, by wrk."""
    with tempfile.TemporaryDirectory(prefix="headrace-load-") as folder:
        file = Path(folder) / "bodies"
        file.write_bytes(b"\n".join(asked.bodies) + b"\n")
        headers = [part for name, value in asked.headers.items() for part in ("-H", f"{name}: {value}")]
        options = ("-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", f"{_GRACE_S:g}s", "-s", str(_SCRIPT))
        process = await asyncio.create_subprocess_exec(
            *("wrk", *options, *headers, asked.url, "--", str(file), str(asked.begin)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(seconds + 2 * _GRACE_S):
                said, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    lines = said.decode().strip().splitlines()
    if process.returncode or not lines or not lines[-1].startswith("{"):
        raise BrokenRunError(f"wrk failed: {said[-500:]!r}")
    told = json.loads(lines[-1])
    if told["failed"]:
        raise BrokenRunError(f"{told['failed']} of {told['requests']} requests to {asked.url} failed")
    return Loaded(
        told["requests"], told["bytes"], told["us"] / 1e6, p50_ms=told["p50_us"] / 1e3, p99_ms=told["p99_us"] / 1e3
    )


@dataclass
class _Run:
    """What the connections of one run share."""

    requests: Iterator[bytes]
    stop_s: float
    done: asyncio.Future[None]
    left: int = CONNECTIONS
    bytes: int = 0
    taken_s: list[float] = field(default_factory=list[float])

    def fail(self, message: str) -> None:
        if not self.done.done():
            self.done.set_exception(BrokenRunError(message))

    def close(self) -> None:
        self.left -= 1
        if not self.left and not self.done.done():
            self.done.set_result(None)


async def load_by_ourselves(asked: Asked, seconds: float) -> Loaded:
    """As `load`, by this process."""
    parts, first_lines = urlsplit(asked.url), head(asked.url, asked.headers)
    requests = [f"{first_lines}{len(body)}\r\n\r\n".encode() + body for body in asked.bodies]
    turns = itertools.islice(itertools.cycle(requests), asked.begin % len(requests), None)
    loop = asyncio.get_running_loop()
    began_s = time.perf_counter()
    run = _Run(turns, began_s + seconds, loop.create_future())
    opened: list[asyncio.Transport] = []
    host, port = parts.hostname or "", parts.port or 80
    try:
        for _ in range(CONNECTIONS):
            transport, _ = await loop.create_connection(lambda: _Client(run), host, port)
            opened.append(transport)
        async with asyncio.timeout(seconds + _GRACE_S):
            await run.done
    except TimeoutError:
        raise BrokenRunError(f"{asked.url} did not answer within {_GRACE_S:g} s") from None
    finally:
        for one in opened:
            one.close()
    taken_ms = [taken_s * 1000 for taken_s in run.taken_s] or [0.0]
    return Loaded(
        requests=len(run.taken_s),
        bytes=run.bytes,
        seconds=time.perf_counter() - began_s,
        p50_ms=quantile(taken_ms, 0.5),
        p99_ms=quantile(taken_ms, 0.99),
    )


class _Client(asyncio.Protocol):
    """One connection: sends the next request when it is answered, until it is time to stop."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._answer = bytearray()
        self._whole = 0  # bytes of the answer that is under way, 0 as long as that is not known
        self._sent_s = 0.0
        self._is_over = False
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's is none of asyncio's classes
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        if not self._is_over:
            self._run.fail(f"a connection ended while a request was under way: {exc}")

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._answer += data
        if not self._whole:
            self._whole = self._length()
        if self._whole and len(self._answer) >= self._whole:
            now_s = time.perf_counter()
            self._run.taken_s.append(now_s - self._sent_s)
            self._run.bytes += self._whole
            if now_s < self._run.stop_s:
                self._send()
            else:
                self._end()

    def _send(self) -> None:
        self._answer.clear()
        self._whole = 0
        self._sent_s = time.perf_counter()
        self._transport.write(next(self._run.requests))

    def _length(self) -> int:
        """Of the whole answer, 0 when its head is not whole."""
        end = self._answer.find(b"\r\n\r\n")
        if end < 0:
            return 0
        head = bytes(self._answer[:end]).lower()
        at = head.find(b"\r\ncontent-length:")
        if not head.startswith(b"http/1.1 200") or at < 0:
            self._run.fail(f"answered {bytes(self._answer[: end + 500])!r}")
            self._end()
            return 0
        return end + 4 + int(head[at + 17 :].split(b"\r\n", 1)[0])

    def _end(self) -> None:
        self._is_over = True
        self._transport.close()
        self._run.close()
