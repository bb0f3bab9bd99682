"""`python -m projections run | status | quarantine`: the projector, and what an operator asks of it.

Exit codes: 0 done, 1 the store cannot be reached or used, 2 wrong settings or arguments (all of them listed on stderr), 3 something
is still set aside after `quarantine retry`.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Callable, Sequence

from projections.catalog import PROJECTIONS
from projections.errors import DefinitionError, OperatorError, SettingsError, StoreError
from projections.operate.arguments import parser
from projections.operate.commands import DONE, Desk, quarantine
from projections.operate.live import status
from projections.runtime import Definition
from projections.settings import StoreSettings, WorkerSettings, projector_settings
from projections.worker import open_store, run, selected, spare_collections, stop_signals

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    asked = parser().parse_args(arguments)
    if sys.stdin is None:  # it was closed, and uvloop aborts when it closes a file of its own that got that number
        os.open(os.devnull, os.O_RDONLY)
    try:
        settings = projector_settings(os.environ, runs=asked.command == "run")
        sources = selected(PROJECTIONS, settings.projections)
    except (DefinitionError, SettingsError) as error:
        print(error, file=sys.stderr)
        return 2
    logging.basicConfig(level=settings.log_level, format=LOG_FORMAT, stream=sys.stderr)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # every outage is told once, by the consumer that meets it
    command = _run(settings, sources) if isinstance(settings, WorkerSettings) else _operate(asked, settings, sources)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(command)
    except OperatorError as error:
        print(error, file=sys.stderr)
        return 2
    except StoreError as error:
        print(error, file=sys.stderr)
        return 1


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop, a quarter less CPU an event than asyncio's own; None where it is not to be had (Windows)."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _run(settings: WorkerSettings, sources: Sequence[Definition]) -> int:
    stop = asyncio.Event()
    names = ", ".join(source.name for source in sources)

    def ready() -> None:
        spare_collections()
        print(f"ready {names}", flush=True)

    with stop_signals(stop, stdin=settings.exit_on_stdin_eof):
        await run(settings, sources, stop, ready)
    return DONE


async def _operate(asked: argparse.Namespace, settings: StoreSettings, sources: Sequence[Definition]) -> int:
    store = open_store(settings)
    try:
        if asked.command == "quarantine":
            return await quarantine(asked, store, sources, settings.buckets, _desk())
        stop = asyncio.Event()
        with stop_signals(stop, stdin=False):
            await status(
                asked,
                store,
                sources,
                settings.buckets,
                write=lambda text: print(text, end="", flush=True),
                is_terminal=sys.stdout.isatty(),
                stop=stop,
            )
        return DONE
    finally:
        await store.close()


def _desk() -> Desk:
    return Desk(
        out=lambda text: print(text, flush=True),
        told=lambda text: print(text, file=sys.stderr, flush=True),
        ask=_ask if sys.stdin and sys.stdin.isatty() else None,
    )


def _ask(question: str) -> bool:
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


if __name__ == "__main__":
    sys.exit(main())
