"""`python -m benchmarks.worker NAME [PATH]`: the product's worker over one of the benchmark's own projections.

With a PATH, when its stages did what is left there (`stages`).

Invariants: settings come from the environment and the worker is run as `python -m projections run` runs it, but for the catalog.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import nullcontext
from pathlib import Path

import uvloop

from benchmarks.stages import noted
from benchmarks.stored import PROJECTIONS
from projections.settings import WorkerSettings, read
from projections.worker import run, spare_collections, stop_signals


async def work(name: str) -> None:
    """Until SIGTERM or the end of standard input."""
    settings = read(WorkerSettings, os.environ)
    stop = asyncio.Event()

    def ready() -> None:
        spare_collections()
        print(f"ready {name}", flush=True)

    with stop_signals(stop, stdin=settings.exit_on_stdin_eof):
        await run(settings, [PROJECTIONS[name]], stop, ready)


if __name__ == "__main__":
    with noted(Path(sys.argv[2])) if len(sys.argv) > 2 else nullcontext():
        uvloop.run(work(sys.argv[1]))
