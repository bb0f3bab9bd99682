"""Processes that a benchmark looks at: whose they are, and the CPU time that they have used.

Invariants: Linux's /proc; elsewhere nothing is found, and figures of CPU time are left out.
"""

from __future__ import annotations

import contextlib
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
        if ("-m", module) in zip(arguments, arguments[1:], strict=False):
            return pid
    return None


def cpu_us(pid: int) -> float | None:
    """Microseconds of CPU (user and system, all threads) that a process has used; resolution 10 ms. None: it is gone."""
    try:
        fields = _stat(pid)
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) * 1e6 / os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str]:
    """Fields of /proc/<pid>/stat from the third on (proc(5)): state, ppid, ...; 11 and 12 are utime and stime."""
    return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
