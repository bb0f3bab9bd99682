"""`status`: one table, one line of JSON, or the same again every second.

Invariants: a store that is away is said and asked again while watching; the terminal's cursor is shown again at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from projections.errors import StoreUnavailableError
from projections.operate.aside import OperatorStore
from projections.operate.screen import CLEAR, HIDE_CURSOR, SHOW_CURSOR, drawn
from projections.pause import event_within
from projections.runtime import Definition
from projections.status import read_status, status_table

EVERY_S: Final = 1.0


async def status(
    asked: argparse.Namespace,
    store: OperatorStore,
    sources: Sequence[Definition],
    buckets: int,
    *,
    write: Callable[[str], None],
    is_terminal: bool,
    stop: asyncio.Event,
) -> None:
    """Writes what was asked for; until `stop` is set when that is to watch. Raises StoreError."""
    in_place = is_terminal and not asked.json and not asked.once
    if not (in_place or asked.watch):
        write(await _page(asked, store, sources, buckets) + "\n")
        return
    if in_place:
        write(HIDE_CURSOR + CLEAR)
    try:
        while not stop.is_set():
            try:
                page = await _page(asked, store, sources, buckets)
            except StoreUnavailableError as error:
                page = msgspec.json.encode({"error": str(error)}).decode() if asked.json else f"{error}; trying again"
            if in_place:
                columns, lines = shutil.get_terminal_size()
                write(drawn(f"{time.strftime('%H:%M:%S')}  Ctrl-C ends", page, columns, lines))
            else:
                write(page + "\n")
            await event_within(stop, EVERY_S)
    finally:
        if in_place:
            write(SHOW_CURSOR)


async def _page(asked: argparse.Namespace, store: OperatorStore, sources: Sequence[Definition], buckets: int) -> str:
    rows = await read_status(store, sources, buckets, time.time_ns() // 1_000_000)
    return msgspec.json.encode(rows).decode() if asked.json else status_table(rows)
