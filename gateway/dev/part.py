"""One supervised process: its output is read to the end, its last lines are kept, and it is stopped within a bound.

A part is ready when a line of its output begins with an agreed prefix, or when a question asked from outside is
answered. Lines of the form `<name> <address>` that it prints before that are its addresses.
"""

import asyncio
import contextlib
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gateway.dev.errors import PartEndedError, PartNotReadyError
from gateway.dev.warden import Warden, kill_group, spawn

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

    def __init__(self, part: Part, warden: Warden, log: Callable[[str], None]) -> None:
        """Starts the process. `log` gets every line of its output. Raises OSError when there is no such program."""
        self.part = part
        self.launch = launch = part.launch()
        self.addresses: dict[str, str] = dict(launch.addresses)
        self.stopping = False
        self._warden = warden
        self._log = log
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._ready_line_seen = False
        self._ended = asyncio.Event()
        env = {**launch.env, "PYTHONUNBUFFERED": "1"}
        self._process = spawn(launch.argv, warden, env=env, cwd=launch.cwd, output=subprocess.PIPE)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def follow(self) -> None:
        """Read lines until the process, and what it may have started, has ended."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read())
            while self._process.poll() is None:  # noqa: ASYNC110 - Popen has nothing to await
                await asyncio.sleep(_POLL_S)
            kill_group(self.pid)
            self._warden.forget(self.pid)
        self._ended.set()

    async def until_ready(self) -> None:
        """Raises `PartNotReadyError` when it ends first or takes longer than `ready_within_s`; `StrangerError`."""
        try:
            async with asyncio.timeout(self.part.ready_within_s):
                while not await self._is_ready():
                    if self._ended.is_set():
                        raise PartNotReadyError(
                            self.part.name, f"{self._how_it_ended()} before it was ready", self._tail
                        )
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            what = f"was not ready within {self.part.ready_within_s:.0f} s"
            raise PartNotReadyError(self.part.name, what, self._tail) from None

    async def until_ended(self) -> PartEndedError:
        """What to say once it has ended."""
        await self._ended.wait()
        return PartEndedError(self.part.name, self._how_it_ended(), self._tail)

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL when it has not ended within `stop_within_s`. Returns when it has ended."""
        self.stopping = True
        self._process.terminate()
        try:
            async with asyncio.timeout(self.part.stop_within_s):
                await self._ended.wait()
        except TimeoutError:
            self._log(f"{self.part.name} did not end within {self.part.stop_within_s:.0f} s and is killed")
            self.kill()
            await self._ended.wait()

    def kill(self) -> None:
        """SIGKILL to it and all that it started."""
        self.stopping = True
        if not self._ended.is_set():
            kill_group(self.pid)

    async def _is_ready(self) -> bool:
        if self.launch.answers is None:
            return self._ready_line_seen
        return await asyncio.to_thread(self.launch.answers, self.pid)

    def _how_it_ended(self) -> str:
        code = self._process.returncode or 0
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"

    async def _read(self) -> None:
        output = self._process.stdout
        assert output  # noqa: S101 - it was started with a pipe
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), output)
        rest = b""
        with contextlib.closing(transport):
            while chunk := await reader.read(65536):
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
        if prefix is None or self._ready_line_seen:
            return
        if line.startswith(prefix):
            self._ready_line_seen = True
            return
        name, _, address = line.partition(" ")
        if address.startswith(("http://", "redis://")) and " " not in address:
            self.addresses[name] = address
