"""Runs benchmarks one after the other and leaves their results.

Invariants: each has an event loop of its own and a bound in time; one that fails leaves no file and does not keep the others from
running.
"""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import uvloop

from benchmarks import machine, report
from benchmarks.declare import Benchmark, Figures, Outcome
from benchmarks.errors import BrokenRunError, UnknownBenchmarkError

OUT: Final = Path(__file__).parent / "out"

ALL_MET, MISSED_OR_FAILED = 0, 1
"""Exit codes."""

_BUSY_LOAD: Final = 0.75
"""Of each core. What is measured while others want the cores is measured again."""
_BUSY: Final = "  (the machine is busy: measure again when it is not)"

Say = Callable[[str], None]


def choose(catalog: Sequence[Benchmark], only: str | None) -> list[Benchmark]:
    """Those that `only`, ids with commas between them, names, in the catalog's order; all of them for None.

    Case does not matter. Raises UnknownBenchmarkError for ids that are not there, and for a list without any.
    """
    if only is None:
        return list(catalog)
    wanted = {id.strip().upper(): id.strip() for id in only.split(",") if id.strip()}
    unknown = [id for key, id in wanted.items() if key not in {benchmark.id.upper() for benchmark in catalog}]
    if unknown or not wanted:
        raise UnknownBenchmarkError(unknown or [repr(only)], [benchmark.id for benchmark in catalog])
    return [benchmark for benchmark in catalog if benchmark.id.upper() in wanted]


def run(chosen: Sequence[Benchmark], folder: Path = OUT, *, say: Say = print, tell: Say | None = None) -> int:
    """Runs them, prints the table with `say` and what goes on with `tell`; the exit code."""
    tell = tell or _to_stderr
    outcomes: list[Outcome] = []
    for benchmark in chosen:
        report.forget(folder, benchmark.id)
        here = machine.machine()
        tell(f"{benchmark.id}  {benchmark.bar}" + (_BUSY if here["load"] > _BUSY_LOAD * here["cores"] else ""))
        began = time.monotonic()
        try:
            outcome = Outcome(benchmark, measure(benchmark))
        except Exception as error:  # noqa: BLE001 - told, and the exit code says it
            tell(f"{benchmark.id}  failed: {_told(error)}")
            continue
        outcomes.append(outcome)
        path = report.write(folder, outcome, here, machine.versions())
        tell(f"{benchmark.id}  took {time.monotonic() - began:.0f} s, {path}")
    if outcomes:
        say(report.table(outcomes))
    is_whole = len(outcomes) == len(chosen) and all(outcome.is_met for outcome in outcomes)
    return ALL_MET if is_whole else MISSED_OR_FAILED


def measure(benchmark: Benchmark) -> Figures:
    """The figures of one run. Raises BrokenRunError, also when it takes too long, and whatever the benchmark raises."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        figures = runner.run(_within(benchmark))
    odd = [name for name, value in figures.items() if not math.isfinite(value)]
    if odd:
        raise BrokenRunError(f"no finite number: {', '.join(odd)}")
    return figures


async def _within(benchmark: Benchmark) -> Figures:
    bound = asyncio.timeout(benchmark.within_s)
    try:
        async with bound:
            return await benchmark.run()
    except TimeoutError:
        if bound.expired():
            raise BrokenRunError(f"it took longer than {benchmark.within_s:g} s") from None
        raise


def _told(error: BaseException) -> str:
    """The first cause in a group of causes."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
