"""Seed -> which faults come when: the plan of a run, that can be printed, kept and played again.

Invariants: pure; the same `Figures` and seed give the same schedule. When a fault comes is told by how far the log has got, not by
a clock, so a slow machine has the same run.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

KILL: Final = "kill"
JOIN: Final = "join"
LEAVE: Final = "leave"
STALL: Final = "stall"
PAUSE: Final = "pause before the fence"
FAILOVER: Final = "failover"
EMPTY: Final = "empty"
BROKER: Final = "broker"

MOST_AT_ONCE: Final = 3
"""Kills that come together: a worker, and those that take over from it."""


@dataclass(frozen=True)
class Figures:
    """How many faults of each kind; `rebalances` are workers that join and leave, half of the `stalls` are before a fence."""

    kills: int
    rebalances: int
    stalls: int
    failovers: int
    empties: int = 0
    brokers: int = 0


@dataclass(frozen=True)
class Fault:
    """One fault.

    Args:
        place: among all messages, how far publishing has got.
        progress: how much of what was published since the fault before has to be applied, 0 to 1, before it comes.
        dice: chooses the victim.
        count: workers that are killed at once.
        tail: of a failover, how much of the next messages, 0 to 1, is written to the old primary alone.
        amnesia: of a failover, whether the promoted replica lacks the function library.
    """

    kind: str
    place: int
    progress: float
    dice: int
    count: int = 1
    tail: float = 0.0
    amnesia: bool = False

    def __str__(self) -> str:
        more = f" of {self.count}" if self.count > 1 else ""
        more += f", losing {self.tail:.0%} of a stretch" if self.tail else ""
        more += ", functions forgotten" if self.amnesia else ""
        return f"{self.kind}{more} at {self.place}"


def plan(seed: int, figures: Figures, messages: int) -> list[Fault]:
    """The faults in the order in which they come, spread over the messages."""
    dice = random.Random(f"schedule {seed}")
    kinds: list[tuple[str, int]] = []
    left = figures.kills
    while left:
        count = min(left, dice.randint(1, MOST_AT_ONCE))
        kinds.append((KILL, count))
        left -= count
    kinds += [(STALL if number % 2 == 0 else PAUSE, 1) for number in range(figures.stalls)]
    kinds += [(FAILOVER, 1)] * figures.failovers + [(EMPTY, 1)] * figures.empties + [(BROKER, 1)] * figures.brokers
    dice.shuffle(kinds)
    kinds = _with_rebalances(kinds, figures.rebalances, dice)
    return [
        Fault(
            kind,
            place=int(messages * (number + dice.uniform(0.3, 0.9)) / (len(kinds) + 1)),
            progress=dice.uniform(0.0, 0.8),
            dice=dice.randrange(1_000_000),
            count=count,
            tail=dice.uniform(0.3, 0.9) if kind == FAILOVER else 0.0,
            amnesia=kind == FAILOVER and dice.random() < 0.5,
        )
        for number, (kind, count) in enumerate(kinds)
    ]


def _with_rebalances(kinds: Sequence[tuple[str, int]], rebalances: int, dice: random.Random) -> list[tuple[str, int]]:
    """Joins and leaves in turn, at places of their own: the number of workers stays about the same."""
    found = list(kinds)
    places = sorted(dice.randint(0, len(found)) for _ in range(rebalances))
    for number, place in reversed(list(enumerate(places))):
        found.insert(place, (JOIN if number % 2 == 0 else LEAVE, 1))
    return found
