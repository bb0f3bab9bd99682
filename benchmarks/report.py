"""What is left of a run: a table for people, one JSON file per benchmark for programs, and plots.

Invariants: a file is whole or absent; it says what was measured in this run, never in an earlier one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.declare import Figures, Outcome


def result_path(folder: Path, id: str) -> Path:
    """Where a benchmark's file is."""
    return folder / f"{id}.json"


def plot_path(folder: Path, name: str) -> Path:
    """Where the plot of benchmarks that are measured together is."""
    return folder / f"{name}.svg"


def forget(*paths: Path) -> None:
    """Removes what an earlier run left, so that a run that fails leaves nothing to be taken for its own."""
    for path in paths:
        path.unlink(missing_ok=True)


def write(folder: Path, outcome: Outcome, machine: Mapping[str, Any], versions: Mapping[str, str]) -> Path:
    """Writes `{id, bar, figures, met, machine, versions}`. Raises ValueError for a figure that is not finite, OSError."""
    content = {
        "id": outcome.benchmark.id,
        "bar": outcome.benchmark.bar,
        "figures": {name: float(f"{value:.6g}") for name, value in outcome.figures.items()},
        "met": outcome.is_met,
        "machine": machine,
        "versions": versions,
    }
    path = result_path(folder, outcome.benchmark.id)
    _write(path, json.dumps(content, indent=2, allow_nan=False) + "\n")
    return path


def write_plot(folder: Path, name: str, svg: str) -> Path:
    """Writes a plot. Raises OSError."""
    path = plot_path(folder, name)
    _write(path, svg)
    return path


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def table(outcomes: list[Outcome]) -> str:
    """Every figure of every outcome with its bar and whether it is met; bounded ones first."""
    rows = [("figure", "value", "bar", "met")]
    for outcome in outcomes:
        rows.extend(_rows(outcome))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:<{widths[2]}}  {row[3]}".rstrip() for row in rows]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def _rows(outcome: Outcome) -> Iterator[tuple[str, str, str, str]]:
    benchmark, figures = outcome.benchmark, outcome.figures
    for name, bound in benchmark.bounds.items():
        verdict = "yes" if bound.is_met(figures.get(name)) else "NO"
        yield f"{benchmark.id} {name}", _shown(figures, name), str(bound), verdict
    for name in figures:
        if name not in benchmark.bounds:
            yield f"{benchmark.id} {name}", _shown(figures, name), "", ""


def _shown(figures: Figures, name: str) -> str:
    value = figures.get(name)
    if value is None:
        return "not measured"
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"
