"""Runs benchmarks one after the other and leaves their results.

Invariants: each, or those that are measured together, has an event loop of its own and a bound in time; one that fails leaves no
file and does not keep the others from running.
"""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, cast

import uvloop

from benchmarks import machine, report
from benchmarks.declare import Benchmark, Figures, Outcome, Together
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
    for party in parties(chosen):
        outcomes += _run_party(party, folder, tell)
    if outcomes:
        say(report.table(outcomes))
    is_whole = len(outcomes) == len(chosen) and all(outcome.is_met for outcome in outcomes)
    return ALL_MET if is_whole else MISSED_OR_FAILED


def parties(chosen: Sequence[Benchmark]) -> list[list[Benchmark]]:
    """Those that are measured in one run, each party where its first one is."""
    found: dict[str, list[Benchmark]] = {}
    for benchmark in chosen:
        name = f"together {benchmark.run.name}" if isinstance(benchmark.run, Together) else benchmark.id
        found.setdefault(name, []).append(benchmark)
    return list(found.values())


def _run_party(party: Sequence[Benchmark], folder: Path, tell: Say) -> list[Outcome]:
    """What was measured; nothing when it failed, which is told."""
    report.forget(*(report.result_path(folder, benchmark.id) for benchmark in party))
    together = party[0].run if isinstance(party[0].run, Together) else None
    if together:
        report.forget(report.plot_path(folder, together.name))
    here = machine.machine()
    for benchmark in party:
        tell(f"{benchmark.id}  {benchmark.bar}" + (_BUSY if here["load"] > _BUSY_LOAD * here["cores"] else ""))
    began = time.monotonic()
    names = ", ".join(benchmark.id for benchmark in party)
    try:
        found = measure(party)
    except Exception as error:  # noqa: BLE001 - told, and the exit code says it
        tell(f"{names}  failed: {_told(error)}")
        return []
    versions = {**machine.versions(), **(together.versions() if together else {})}
    outcomes = [Outcome(benchmark, found[benchmark.id]) for benchmark in party]
    paths = [report.write(folder, outcome, here, versions) for outcome in outcomes]
    drawn = together.draw(found) if together else None
    if together and drawn:
        paths.append(report.write_plot(folder, together.name, drawn))
    tell(f"{names}  took {time.monotonic() - began:.0f} s, {', '.join(map(str, paths))}")
    return outcomes


def measure(party: Sequence[Benchmark]) -> Mapping[str, Figures]:
    """The figures of one run, of one benchmark or of some that are measured together, by id.

    Raises BrokenRunError, also when it takes too long, and whatever the benchmark raises.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(_within(party))
    names = [(id, name) for id, figures in found.items() for name, value in figures.items() if not math.isfinite(value)]
    if names:
        raise BrokenRunError(f"no finite number: {', '.join(f'{id} {name}' for id, name in names)}")
    return found


async def _measured(party: Sequence[Benchmark]) -> Mapping[str, Figures]:
    first = party[0]
    if isinstance(first.run, Together):
        return await first.run.run([benchmark.id for benchmark in party])
    return {first.id: await first.run()}


async def _within(party: Sequence[Benchmark]) -> Mapping[str, Figures]:
    first = party[0]
    within_s = first.run.within_s if isinstance(first.run, Together) else first.within_s
    bound = asyncio.timeout(within_s)
    try:
        async with bound:
            return await _measured(party)
    except TimeoutError:
        if bound.expired():
            raise BrokenRunError(f"it took longer than {within_s:g} s") from None
        raise


def _told(error: BaseException) -> str:
    """The first cause in a group of causes."""
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return f"{type(error).__name__}: {error}"


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
