"""The guards of the projector: where each stands, what it protects, and the quickest tests that notice when it is gone.

Invariants: `text` occurs exactly once in `file` (a test of the suite says so when it goes stale); `instead` leaves a program that
runs, without the guard.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Guard:
    """One guard.

    Args:
        text, instead: what is replaced by what, in `file`.
        protects: what would go wrong.
        tests: arguments of pytest, tried in this order until one fails.
    """

    name: str
    file: str
    text: str
    instead: str
    protects: str
    tests: tuple[str, ...]


GUARDS: Final[tuple[Guard, ...]] = ()
