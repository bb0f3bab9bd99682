"""Processes that a benchmark looks at: whose they are, and the CPU time that they have used.

Invariants: Linux's /proc; elsewhere nothing is found, and figures of CPU time are left out.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")


def descendants(pid: int) -> dict[int, tuple[str, ...]]:
    """The living children of a process, and theirs: arguments by process id."""
    parents: dict[int, int] = {}
    for folder in _PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parents[int(folder.name)] = int(_stat(int(folder.name))[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    arguments: dict[int, tuple[str, ...]] = {}
    for child in found - {pid}:
        with contextlib.suppress(OSError):
            arguments[child] = tuple((_PROC / str(child) / "cmdline").read_bytes().decode().rstrip("\0").split("\0"))
    return arguments


def running_module(processes: Mapping[int, tuple[str, ...]], module: str) -> int | None:
    """The process among `processes` that runs `python -m <module>`."""
    for pid, arguments in processes.items():
        if ("-m", module) in itertools.pairwise(arguments):
            return pid
    return None


def cpu_us(pid: int) -> float | None:
    """Microseconds of CPU (user and system) that a process has used. None: it is gone.

    By the scheduler's own count of its living threads; where there is none, in steps of 10 ms.
    """
    if threads_ns := _scheduled(pid, 0):
        return sum(threads_ns) / 1000
    try:
        fields = _stat(pid)
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) * 1e6 / os.sysconf("SC_CLK_TCK")


def core_wait_us(pid: int) -> float | None:
    """Microseconds for which the living threads of a process could have run, and others had the core. None: nobody counts it."""
    threads_ns = _scheduled(pid, 1)
    return sum(threads_ns) / 1000 if threads_ns else None


class CpuMeter:
    """CPU time of some processes while it is entered, added up over the times; those without a process id are left out."""

    def __init__(self, processes: Mapping[str, int | None]) -> None:
        self._processes = {name: pid for name, pid in processes.items() if pid is not None}
        self._used_us = dict.fromkeys(self._processes, 0.0)

    def __enter__(self) -> None:
        self._count(-1)

    def __exit__(self, *_: object) -> None:
        self._count(1)

    def figures(self, count: int, unit: str) -> dict[str, float]:
        """`<name>_cpu_us_per_<unit>`, `count` of them in all."""
        return {f"{name}_cpu_us_per_{unit}": used_us / count for name, used_us in self._used_us.items()}

    def _count(self, sign: int) -> None:
        for name, pid in self._processes.items():
            self._used_us[name] += sign * (cpu_us(pid) or 0.0)


def _scheduled(pid: int, field: int) -> list[int]:
    """Nanoseconds of each thread: of running (0), or of waiting for a core (1)."""
    found: list[int] = []
    for count in (_PROC / str(pid) / "task").glob("*/schedstat"):
        with contextlib.suppress(OSError):  # a thread that ends just now
            found.append(int(count.read_text().split()[field]))
    return found


def _stat(pid: int) -> list[str]:
    """Fields of /proc/<pid>/stat from the third on (proc(5)): state, ppid, ...; 11 and 12 are utime and stime."""
    return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
