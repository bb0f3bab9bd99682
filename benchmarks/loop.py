"""The whole running loop, `python -m examples.shop run`, as a child of this process: shop, broker, projector, store, gateway.

Invariants: it listens on free loopback ports, knows no setting of the caller's, and has ended when the context is left; it also
ends by itself when this process is killed.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.errors import BrokenRunError
from benchmarks.processes import descendants, running_module
from gateway.dev.ports import free_port

_ROOT: Final = Path(__file__).parents[1]
_READY_WITHIN_S: Final = 60.0
_STOP_WITHIN_S: Final = 30.0
_TAIL_LINES: Final = 20


@dataclass(frozen=True)
class Loop:
    """Where its parts are. `gateway_pid` and `projector_pid` are None where processes cannot be looked at."""

    graphql_url: str
    kafka: str
    gateway_pid: int | None
    projector_pid: int | None


@asynccontextmanager
async def running_loop(settings: Mapping[str, str]) -> AsyncGenerator[Loop]:
    """A loop that is ready, with `HEADRACE_...` settings of the benchmark's. Raises BrokenRunError with its last lines."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("HEADRACE_", "SHOP_"))}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "examples.shop", "run", "--stop-with-parent"),
        cwd=_ROOT,
        env={**ours, **settings, "HEADRACE_PORT": str(free_port())},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout
    try:
        yield await _until_ready(process.stdout, process.pid)
    finally:
        await _stop(process)


async def _until_ready(output: asyncio.StreamReader, pid: int) -> Loop:
    lines: list[str] = []
    with suppress(TimeoutError):
        async with asyncio.timeout(_READY_WITHIN_S):
            while line := (await output.readline()).decode(errors="replace"):
                lines.append(line.rstrip())
                name, _, address = lines[-1].partition(" ")
                if name == "ready":
                    children = descendants(pid)
                    return Loop(
                        graphql_url=address,
                        kafka=_address(lines, "kafka"),
                        gateway_pid=running_module(children, "gateway"),
                        projector_pid=running_module(children, "projections"),
                    )
    shown = "\n  ".join(lines[-_TAIL_LINES:]) or "(no output)"
    raise BrokenRunError(f"the loop was not ready within {_READY_WITHIN_S:g} s; its last lines:\n  {shown}")


def _address(lines: list[str], part: str) -> str:
    for line in lines:
        name, _, address = line.partition(" ")
        if name == part:
            return address
    raise BrokenRunError(f"the loop did not say where {part} is")


async def _stop(process: asyncio.subprocess.Process) -> None:
    """SIGTERM, and SIGKILL when it has not ended in time: its own warden ends its parts then. Reads it to the end."""
    if process.returncode is None:
        process.terminate()
    try:
        async with asyncio.timeout(_STOP_WITHIN_S):
            await process.communicate()
    except TimeoutError:
        process.kill()
        await process.communicate()
