"""`python -m projections run | status | quarantine`: the projector, and what an operator asks of it.

Exit codes: 0 done, 1 the store cannot be reached or used, 2 wrong settings or arguments (all of them listed on stderr).
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from projections.catalog import PROJECTIONS
from projections.declare import Projection
from projections.errors import DefinitionError, SettingsError, StoreError
from projections.settings import GATEWAY_NAMES, WorkerSettings, read
from projections.status import progress, progress_table, quarantine_table, set_aside_in
from projections.store.redis import RedisStore
from projections.worker import run, selected, stop_signals

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    asked = _parser().parse_args(arguments)
    try:
        settings = read(WorkerSettings, os.environ, elsewhere=GATEWAY_NAMES)
        projections = selected(PROJECTIONS, settings.projections)
    except (DefinitionError, SettingsError) as error:
        print(error, file=sys.stderr)
        return 2
    logging.basicConfig(level=settings.log_level, format=LOG_FORMAT, stream=sys.stderr)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # every outage is told once, by the consumer that meets it
    try:
        if asked.command == "run":
            asyncio.run(_run(settings, projections))
        elif asked.command == "status":
            print(asyncio.run(_status(settings, projections, as_json=asked.json)))
        else:
            print(asyncio.run(_quarantine(settings, projections, as_json=asked.json)))
    except StoreError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m projections", description="Keeps read models fed from the log.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="run the projections until SIGTERM or Ctrl-C")
    status = commands.add_parser("status", help="position, end and lag of every partition")
    status.add_argument("--json", action="store_true", help="for programs")
    quarantine = commands.add_parser("quarantine", help="records that were set aside")
    actions = quarantine.add_subparsers(dest="action", required=True)
    listing = actions.add_parser("list", help="their coordinates, cause and key")
    listing.add_argument("--json", action="store_true", help="for programs, with the whole records")
    return parser


async def _run(settings: WorkerSettings, projections: Sequence[Projection[Any, Any]]) -> None:
    stop = asyncio.Event()
    names = ", ".join(projection.name for projection in projections)
    with stop_signals(stop, stdin=settings.exit_on_stdin_eof):
        await run(settings, projections, stop, lambda: print(f"ready {names}", flush=True))


async def _status(settings: WorkerSettings, projections: Sequence[Projection[Any, Any]], *, as_json: bool) -> str:
    store = RedisStore(settings.redis_url)
    try:
        rows = await progress(store, projections, settings.buckets)
    finally:
        await store.close()
    return msgspec.json.encode(rows).decode() if as_json else progress_table(rows, time.time_ns() // 1_000_000)


async def _quarantine(settings: WorkerSettings, projections: Sequence[Projection[Any, Any]], *, as_json: bool) -> str:
    store = RedisStore(settings.redis_url)
    try:
        rows = await set_aside_in(store, projections, settings.buckets)
    finally:
        await store.close()
    if as_json:
        return msgspec.json.encode([{"projection": name, "entry": entry} for name, entry in rows]).decode()
    return quarantine_table(rows)


if __name__ == "__main__":
    sys.exit(main())
