"""One supervised process: its output is read to the end, its last lines are kept, and it is stopped within a bound.

A part is ready when a line of its output begins with an agreed prefix, or when a question asked from outside is
answered. Lines of the form `<name> <address>` that it prints before that are its addresses.
"""

import asyncio
import contextlib
import os
import signal
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gateway.dev.errors import PartEndedError, PartNotReadyError
from gateway.dev.warden import kill_group

_TAIL_LINES = 30
_LINE_CHARS = 2_000
_POLL_S = 0.02


@dataclass(frozen=True)
class Launch:
    """How to start a part once.

    Exactly one of `ready_line` (a prefix of a line of its output) and `answers` (a blocking question, at most a
    second long, given the process id) tells when it is ready. `env` is its whole environment. `addresses` are shown
    when it is ready, in front of those that it printed itself.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    ready_line: str | None = None
    answers: Callable[[int], bool] | None = None
    addresses: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None


@dataclass(frozen=True)
class Part:
    """A part by name. `launch` is called anew for each attempt, so that a port can be chosen anew."""

    name: str
    launch: Callable[[], Launch]
    attempts: int = 1
    ready_within_s: float = 30.0
    stop_within_s: float = 10.0


class RunningPart:
    """A started process of a part. One task, `follow`, reads its output and sees its end."""

    def __init__(self, part: Part, launch: Launch, process: asyncio.subprocess.Process, log: Callable[[str], None]) -> None:
        self.part = part
        self.launch = launch
        self.addresses: dict[str, str] = dict(launch.addresses)
        self.stopping = False
        self._process = process
        self._log = log
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._ready_line_seen = asyncio.Event()
        self._ended = asyncio.Event()

    @property
    def pid(self) -> int:
        return self._process.pid

    async def follow(self) -> None:
        """Read lines until the process has ended. A descendant that keeps the output open is not waited for."""
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(self._read())
            await self._process.wait()
            kill_group(self.pid)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(reading), 1.0)
            reading.cancel()
            self._ended.set()

    async def until_ready(self) -> None:
        """Raises `PartNotReadyError` when it ends first or takes longer than `ready_within_s`; `StrangerError`."""
        bound_s = self.part.ready_within_s
        try:
            async with asyncio.timeout(bound_s):
                await self._ready()
        except TimeoutError:
            raise PartNotReadyError(self.part.name, f"was not ready within {bound_s:.0f} s", self._tail) from None

    async def until_ended(self) -> PartEndedError:
        """What to say once it has ended."""
        await self._ended.wait()
        return PartEndedError(self.part.name, self._how_it_ended(), self._tail)

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL after `stop_within_s` or when this is cancelled. Returns when it has ended."""
        self.stopping = True
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(self.part.stop_within_s):
                await self._ended.wait()
        except TimeoutError:
            self._log(f"{self.part.name} did not end within {self.part.stop_within_s:.0f} s and is killed")
        finally:
            kill_group(self.pid) if not self._ended.is_set() else None
        await self._ended.wait()

    def kill(self) -> None:
        """SIGKILL to it and all that it started."""
        self.stopping = True
        if not self._ended.is_set():
            kill_group(self.pid)

    async def _ready(self) -> None:
        async with asyncio.TaskGroup() as group:
            ended = group.create_task(self._raise_when_ended())
            if self.launch.answers is None:
                await self._ready_line_seen.wait()
            else:
                while not await asyncio.to_thread(self.launch.answers, self.pid):
                    await asyncio.sleep(_POLL_S)
            ended.cancel()

    async def _raise_when_ended(self) -> None:
        await self._ended.wait()
        raise PartNotReadyError(self.part.name, f"{self._how_it_ended()} before it was ready", self._tail)

    def _how_it_ended(self) -> str:
        code = self._process.returncode or 0
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"

    async def _read(self) -> None:
        assert self._process.stdout  # noqa: S101 - it was started with a pipe
        rest = b""
        while chunk := await self._process.stdout.read(65536):
            *lines, rest = (rest + chunk).split(b"\n")
            rest = rest[-_LINE_CHARS:]
            for line in lines:
                self._take(line.decode(errors="replace").rstrip()[:_LINE_CHARS])
        if rest:
            self._take(rest.decode(errors="replace"))

    def _take(self, line: str) -> None:
        self._tail.append(line)
        self._log(f"{self.part.name} | {line}")
        prefix = self.launch.ready_line
        if prefix is None or self._ready_line_seen.is_set():
            return
        if line.startswith(prefix):
            self._ready_line_seen.set()
            return
        name, _, address = line.partition(" ")
        if address.startswith(("http://", "redis://")) and " " not in address:
            self.addresses[name] = address


async def start_process(launch: Launch) -> asyncio.subprocess.Process:
    """The launch's process, leading a session of its own: a Ctrl-C in the terminal does not reach it."""
    return await asyncio.create_subprocess_exec(
        *launch.argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**launch.env, "PYTHONUNBUFFERED": "1"},
        cwd=launch.cwd or os.curdir,
        start_new_session=True,
    )
