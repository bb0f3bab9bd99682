"""What a benchmark is: an id, the bar in words, a function that measures, and the bounds that judge its figures.

Invariants: frozen values; a figure that is bounded but missing, or is not a number, misses its bar.
"""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

Figures = Mapping[str, float]
"""What was measured. A name ends in its unit: `_us`, `_ms`, `_percent`, `_per_s`; a ratio or a count has none."""

_ID: Final = re.compile(r"[A-Z][A-Z0-9]{0,15}[a-z]?\Z")


@dataclass(frozen=True)
class Bound:
    """A limit of one figure, itself included."""

    limit: float
    is_ceiling: bool

    def __str__(self) -> str:
        return f"{'<=' if self.is_ceiling else '>='} {self.limit:g}"

    def is_met(self, value: float | None) -> bool:
        """None: the figure was not measured."""
        if value is None or not math.isfinite(value):
            return False
        return value <= self.limit if self.is_ceiling else value >= self.limit


def at_most(limit: float) -> Bound:
    """Met by the limit and anything below."""
    return Bound(limit, is_ceiling=True)


def at_least(limit: float) -> Bound:
    """Met by the limit and anything above."""
    return Bound(limit, is_ceiling=False)


@dataclass(frozen=True)
class Together:
    """What measures several benchmarks in one run, so that they share servers, data and rounds.

    Args:
        name: what its plot is named after.
        run: as `Benchmark.run`, for those that are chosen, by id; the figures of each by its id.
        draw: the plot as SVG, of the figures by id; None when there is nothing to draw.
        versions: of what its figures depend on, beside machine.versions.
        within_s: all of them.
    """

    name: str
    run: Callable[[Sequence[str]], Awaitable[Mapping[str, Figures]]] = field(repr=False)
    draw: Callable[[Mapping[str, Figures]], str | None] = field(repr=False)
    versions: Callable[[], Mapping[str, str]] = field(repr=False)
    within_s: float = 300.0


@dataclass(frozen=True)
class Benchmark:
    """One line of the catalog.

    Args:
        id: what `--only` takes and the JSON file is named after, as in `P6`.
        bar: the figure to reach, in words.
        bounds: the same for the judge, by figure.
        run: measures; starts what it needs on loopback and leaves nothing behind, also when cancelled. Raises
            BrokenRunError, or whatever its servers raise. Or what measures it with others.
        within_s: it is cancelled, and has failed, when it takes longer; a Together has its own bound.
    """

    id: str
    bar: str
    bounds: Mapping[str, Bound]
    run: Callable[[], Awaitable[Figures]] | Together = field(repr=False)
    within_s: float = 300.0

    def __post_init__(self) -> None:
        if not _ID.match(self.id):
            raise ValueError(f"{self.id!r} is no id of a benchmark: capitals and digits, as in P6, P2b, TOKEN")
        if not self.bounds:
            raise ValueError(f"{self.id} bounds no figure: it could not be missed")


@dataclass(frozen=True)
class Outcome:
    """A benchmark and what it measured."""

    benchmark: Benchmark
    figures: Figures

    @property
    def is_met(self) -> bool:
        """Whether every bounded figure was measured and is within its bound."""
        return all(bound.is_met(self.figures.get(name)) for name, bound in self.benchmark.bounds.items())
