"""Simulated time: an event loop whose clock jumps to the next thing that is due, so that seconds of waiting cost nothing.

Invariants: `time.monotonic` and `time.time_ns`, `random` and `uuid` all follow from the seed while it runs, so a run that failed is
played again exactly; a loop in which nothing is due any more raises instead of hanging.
"""

from __future__ import annotations

import asyncio
import random
import selectors
import time
import uuid
from collections.abc import Coroutine, Mapping
from typing import Any, Final, TypeVar
from unittest import mock

T = TypeVar("T")

START_S: Final = 1_800_000_000.0
STEP_S: Final = 1e-6
"""What looking at the clock costs: two looks are never at the same time."""


class Clock:
    """The time of the simulation, in seconds."""

    def __init__(self) -> None:
        self.now_s = START_S

    def monotonic(self) -> float:
        self.now_s += STEP_S
        return self.now_s

    def time_ns(self) -> int:
        return int(self.monotonic() * 1e9)


class _JumpingSelector(selectors.BaseSelector):
    """Never waits: the clock is put forward instead."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._real = selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("nothing is due any more: everybody waits for somebody else")
        self._clock.now_s += max(0.0, timeout)
        return self._real.select(0)

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


def simulate(main: Coroutine[Any, Any, T], seed: int) -> T:
    """Runs a coroutine to its end in simulated time."""
    clock = Clock()
    numbers = random.Random(f"simulation {seed}")
    state = random.getstate()
    random.seed(seed)
    try:
        with (
            mock.patch.object(time, "monotonic", clock.monotonic),
            mock.patch.object(time, "perf_counter", clock.monotonic),
            mock.patch.object(time, "time_ns", clock.time_ns),
            mock.patch.object(uuid, "uuid4", side_effect=lambda: uuid.UUID(int=numbers.getrandbits(128))),
            asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(_JumpingSelector(clock))) as runner,
        ):
            return runner.run(main)
    finally:
        random.setstate(state)
