"""`python -m benchmarks.worker NAME`: the product's worker over one of the benchmark's own projections.

Invariants: settings come from the environment and the worker is run as `python -m projections run` runs it, but for the catalog.
"""

from __future__ import annotations

import asyncio
import os
import sys

import uvloop

from benchmarks.stored import PROJECTIONS
from projections.settings import WorkerSettings, read
from projections.worker import run, stop_signals


async def work(name: str) -> None:
    """Until SIGTERM or the end of standard input."""
    settings = read(WorkerSettings, os.environ)
    stop = asyncio.Event()
    with stop_signals(stop, stdin=settings.exit_on_stdin_eof):
        await run(settings, [PROJECTIONS[name]], stop, lambda: print(f"ready {name}", flush=True))


if __name__ == "__main__":
    uvloop.run(work(sys.argv[1]))
