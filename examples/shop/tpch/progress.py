"""Shows how far a load is, on standard error: bars on a terminal, else a line now and then."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from examples.shop.tpch.write import Progress

_LINE_EVERY_S = 5.0


@contextmanager
def shown_progress(stream: TextIO = sys.stderr) -> Iterator[Progress]:
    """A `Progress` that can be seen while the context lasts."""
    if not stream.isatty():
        yield _Lines(stream)
        return
    columns = (TextColumn("{task.description:>10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bars(*columns, console=Console(file=stream)) as bars:
        yield _Stages(bars)


class _Stages:
    """One bar per stage, made when it is first heard of."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=total)
        self._bars.update(self._tasks[stage], completed=done, total=total)


class _Lines:
    """A line when a stage is complete, and every few seconds on the way."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._told_at = time.monotonic()

    def __call__(self, stage: str, done: int, total: int) -> None:
        if done >= total or time.monotonic() - self._told_at > _LINE_EVERY_S:
            self._told_at = time.monotonic()
            print(f"{stage}: {done:,} of {total:,}", file=self._stream, flush=True)
