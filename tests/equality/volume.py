"""Cases by the hundred thousand, in processes of their own: the figure EQ.

Invariants: everything follows from the seed; the same seed and number of operations give the same cases, whatever the number of
processes.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Final

from tests.chaos.simulated import simulate
from tests.equality.pair import play_pair
from tests.equality.play import Tally, play_world

WORLD_CASES: Final = 500
"""Cases that share a world."""
LEAST_COMPILED: Final = 0.97
"""Of what is played without documents that do not fit. The rest has a null in the place of a condition or of an id."""
MOST_TOLD: Final = 20
ODD_PART: Final = 5
"""For so many cases one more of the graph of odd types."""


@dataclass
class Volume:
    """What was played in all, and what differed."""

    tally: Tally = field(default_factory=Tally)
    told: list[str] = field(default_factory=list[str])

    @property
    def compiled_share(self) -> float:
        """How much of what could be compiled was."""
        return self.tally.compiled / max(1, self.tally.compilable)

    @property
    def is_met(self) -> bool:
        """Whether nothing differs, and nearly everything was compiled."""
        return not self.told and self.compiled_share >= LEAST_COMPILED


def play_volume(seed: int, operations: int, jobs: int) -> Volume:
    """Plays so many cases, a world for every WORLD_CASES of them. Ends early once MOST_TOLD differ."""
    found = Volume()
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for tally, told in pool.map(_play, *zip(*_worlds(seed, operations), strict=True)):
            found.tally.add(tally)
            found.told += told
            if len(found.told) >= MOST_TOLD:
                pool.shutdown(wait=False, cancel_futures=True)
                break
    return found


def _worlds(seed: int, operations: int) -> Iterator[tuple[int, int]]:
    """Seeds of worlds, each with the number of its cases."""
    for number, start in enumerate(range(0, operations, WORLD_CASES)):
        yield seed * 1_000_000 + number, min(WORLD_CASES, operations - start)


def _play(world: int, count: int) -> tuple[Tally, list[str]]:
    logging.disable(logging.CRITICAL)
    tally, verdicts = simulate(play_world(world, range(count)), world)
    pair, told = simulate(play_pair(world, count // ODD_PART), world)
    tally.odd_operations += pair.played
    return tally, [*map(str, verdicts), *told]
