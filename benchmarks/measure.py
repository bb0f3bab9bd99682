"""From samples to figures.

Invariants: pure but for the clock; a quantile is a sample that was seen, never one that was made up between two.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Pace:
    """How quickly events were worked through: so many a second, and microseconds of CPU for each by name of the process."""

    per_s: float
    cpu_us: dict[str, float]


def quantile(samples: Sequence[float], share: float) -> float:
    """The smallest sample that `share` (0 < share <= 1) of all samples do not exceed (nearest rank).

    Raises ValueError without samples.
    """
    if not samples or not 0 < share <= 1:
        raise ValueError(f"no quantile {share} of {len(samples)} samples")
    return sorted(samples)[math.ceil(share * len(samples)) - 1]


def spread(name: str, samples_ms: Sequence[float]) -> dict[str, float]:
    """`<name>_p50_ms` and `<name>_p99_ms`."""
    return {f"{name}_p50_ms": quantile(samples_ms, 0.5), f"{name}_p99_ms": quantile(samples_ms, 0.99)}


def median_call_us(calls: Sequence[Callable[[], object]], *, rounds: int, batch: int) -> list[float]:
    """Microseconds of CPU of each call: the median over rounds of its mean in a batch.

    For calls that only compute: their CPU time is their time on a core of their own, also while others want the core. They
    take turns within a round, so that a disturbance of the machine meets them all.
    """
    taken: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, found in zip(calls, taken, strict=True):
            began = time.thread_time_ns()
            for _ in range(batch):
                call()
            found.append((time.thread_time_ns() - began) / 1000 / batch)
    return [median(found) for found in taken]
