"""Waiting for a condition with a deadline, for tests that watch other processes."""

import contextlib
import os
import threading
import time
from collections.abc import Callable


def until(condition: Callable[[], object], within_s: float = 10.0, what: str = "the condition") -> None:
    """Return once `condition()` holds; fail when it does not within `within_s`."""
    deadline = time.monotonic() + within_s
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come about within {within_s:.0f} s"
        pause.wait(0.02)


def is_alive(pid: int) -> bool:
    """Whether a process runs under `pid`; one that has ended and was not waited for does not count."""
    with contextlib.suppress(OSError):
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:  # noqa: PTH123 - not a file of the project
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    return False
