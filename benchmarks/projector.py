"""A projector (`benchmarks/worker.py`) as a child of this process: fed, watched, and measured while it catches up.

Invariants: while it is fed it is stopped (SIGSTOP), so that what is measured is how it reads what lies there, not how quickly a
producer writes; it has the core of the server under test while it is measured, and ends with this process.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from redis.asyncio import Redis

from benchmarks.errors import BrokenRunError
from benchmarks.machine import LOAD_CORE, SERVER_CORE, pinned
from benchmarks.measure import Pace
from benchmarks.processes import cpu_us
from benchmarks.servers import Servers
from benchmarks.stored import PROJECTIONS
from benchmarks.topic import Filler
from benchmarks.workload import Entry
from projections.store.keys import Bucket

NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_ROOT: Final = Path(__file__).parents[1]
_READY_WITHIN_S: Final = 60.0
_STOP_WITHIN_S: Final = 15.0
_ROUND_WITHIN_S: Final = 120.0
_POLL_S: Final = 0.005
_WARM_SHARE: Final = 0.1
"""Of a round, at its beginning: not measured."""


class RunningProjector:
    """A child that keeps one projection fed; made by `running_projectors`."""

    def __init__(self, name: str, pid: int, servers: Servers, filler: Filler, client: Redis) -> None:
        self.pid = pid
        self._topic = PROJECTIONS[name].topics[0]
        self._positions = Bucket(name, PROJECTIONS[name].version, 0).positions
        self._filler = filler
        self._client: Any = client
        self._processes = {"projector": pid, **servers.pids}

    async def read(self, entries: Iterable[Entry]) -> Pace:
        """Feeds it and waits until all of it is stored. Raises BrokenRunError when that does not come to be."""
        before = sum(self._filler.ends(self._topic))
        await self._reaches(before)
        os.kill(self.pid, signal.SIGSTOP)
        try:
            count = await self._filler.fill(self._topic, entries)
            fed = await self._look()
        finally:
            os.kill(self.pid, signal.SIGCONT)
        with pinned({self.pid: SERVER_CORE}):
            began = await self._reaches(before + int(count * _WARM_SHARE))
            ended = await self._reaches(before + count)
        if ended.position - began.position < count / 2:  # so few events that nothing was seen in between
            began = fed
        events = ended.position - began.position
        used = {name: (ended.cpu_us[name] - began.cpu_us[name]) / events for name in self._processes}
        return Pace(events / (ended.at_s - began.at_s), used)

    async def _reaches(self, position: int) -> _Sight:
        deadline_s = time.monotonic() + _ROUND_WITHIN_S
        while (sight := await self._look()).position < position:
            if time.monotonic() > deadline_s:
                raise BrokenRunError(f"{self._topic} was read up to {sight.position} of {position} and no further")
            await asyncio.sleep(_POLL_S)
        return sight

    async def _look(self) -> _Sight:
        stored = await self._client.hvals(self._positions)
        used = {name: cpu_us(pid) or 0.0 for name, pid in self._processes.items()}
        return _Sight(time.perf_counter(), sum(map(int, stored)), used)


@dataclass(frozen=True)
class _Sight:
    at_s: float
    position: int
    cpu_us: dict[str, float]


@asynccontextmanager
async def running_projectors(
    names: Sequence[str],
    servers: Servers,
    filler: Filler,
    settings: Mapping[str, str] = NOTHING,
    stages: Path | None = None,
) -> AsyncGenerator[dict[str, RunningProjector]]:
    """A process for each, with its partitions; on the core of the load while it is not measured. Raises BrokenRunError.

    `settings` are more of `HEADRACE_...`; at `stages` the only one of them leaves when its stages did what, once it has ended.
    """
    client = Redis.from_url(servers.redis, protocol=2)
    processes: dict[str, asyncio.subprocess.Process] = {}
    try:
        for name in names:
            processes[name] = await _started(name, servers, settings, stages)
        for name, process in processes.items():
            await _until_ready(process, name)
        pids = {name: process.pid for name, process in processes.items()}
        with pinned(dict.fromkeys(pids.values(), LOAD_CORE)):
            yield {name: RunningProjector(name, pid, servers, filler, client) for name, pid in pids.items()}
    finally:
        await client.aclose()
        for process in processes.values():
            await _stop(process)


async def _started(
    name: str, servers: Servers, more: Mapping[str, str], stages: Path | None
) -> asyncio.subprocess.Process:
    ours = {key: value for key, value in os.environ.items() if not key.startswith("HEADRACE_")}
    settings = {
        "HEADRACE_KAFKA_BOOTSTRAP": servers.kafka,
        "HEADRACE_REDIS_URL": servers.redis,
        "HEADRACE_LOG_LEVEL": "WARNING",
        "HEADRACE_EXIT_ON_STDIN_EOF": "1",
        **more,
    }
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.worker", name, *([str(stages)] if stages else [])),
        cwd=_ROOT,
        env={**ours, **settings},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )


async def _until_ready(process: asyncio.subprocess.Process, name: str) -> None:
    assert process.stdout
    try:
        async with asyncio.timeout(_READY_WITHIN_S):
            line = await process.stdout.readline()
    except TimeoutError:
        line = b""
    if not line.startswith(b"ready"):
        raise BrokenRunError(f"the projector of {name} was not ready within {_READY_WITHIN_S:g} s: {line!r}")


async def _stop(process: asyncio.subprocess.Process) -> None:
    try:
        async with asyncio.timeout(_STOP_WITHIN_S):
            if process.returncode is None:
                process.terminate()
            await process.communicate()
    except TimeoutError:
        process.kill()
        await process.communicate()
