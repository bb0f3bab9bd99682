"""Writes a history into the services' own databases and outboxes, in bulk, while the services run.

Invariants
- A batch is one transaction of some tenths of a second: commands of the running services wait that long, not longer.
- Contexts are written one after the other, each after those that its aggregates name.
- Nothing is written when the shop has any of the history already; what was written before a failure is told.
"""

import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, IntegrityError

from examples.shop.contexts import CONTEXTS
from examples.shop.service.aggregates import look
from examples.shop.service.database import create_tables, open_engine, writing
from examples.shop.service.declare import Context
from examples.shop.service.history import History, write_history
from examples.shop.tpch.errors import LoadedError, NotRunningError, PartlyLoadedError
from examples.shop.tpch.generate import check_room
from examples.shop.tpch.history import STREAMS
from examples.shop.tpch.rows import Open

# 2,000 orders with their outbox rows take 0.2 to 0.3 s, 2,000 of the others less.
_AGGREGATES_AT_ONCE = 2_000
# 67 MB at scale 0.01 when nothing was published meanwhile, and the write-ahead log of a batch.
_DATABASE_BYTES_PER_SCALE = 8_000_000_000
# What is looked at to see whether all of a context is shown; one query of the gateway takes as many ids.
_LAST = 100


class Progress(Protocol):
    """Is told how far a stage is, from any thread."""

    def __call__(self, stage: str, done: int, total: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Written:
    """What one context got. `last` are its last aggregates (id and version), in the order of writing."""

    aggregates: int
    records: int
    last: Sequence[tuple[str, int]]


class Writer:
    """Owns the connections to the five databases while a history is written. Blocking; for a thread of its own."""

    def __init__(self, engines: Mapping[str, Engine], progress: Progress) -> None:
        self._engines = engines
        self._progress = progress
        self._stopped = threading.Event()
        self._done: dict[str, int] = {}

    def stop(self) -> None:
        """Let `write` end after the batch that it writes, with `PartlyLoadedError`."""
        self._stopped.set()

    def write(self, table: Open, totals: Mapping[str, int]) -> dict[str, Written]:
        """All contexts. `totals` are the aggregates to come, by context.

        Raises `LoadedError` before anything is written, `PartlyLoadedError` after that.
        """
        self._refuse_what_is_there(table)
        contexts = {context.name: context for context in CONTEXTS}
        try:
            return {
                name: self._write_context(contexts[name], stream(table), totals[name])
                for name, stream in STREAMS.items()
            }
        except DBAPIError as error:
            reason = "one of its ids is taken" if isinstance(error, IntegrityError) else str(error.orig)
            raise PartlyLoadedError(self._how_far(totals, reason)) from error
        except _StoppedError as error:
            raise PartlyLoadedError(self._how_far(totals, "it was stopped")) from error

    def _write_context(self, context: Context[Any], stream: Iterator[History], total: int) -> Written:
        engine = self._engines[context.name]
        last: deque[tuple[str, int]] = deque(maxlen=_LAST)
        done = records = 0
        while batch := list(islice(stream, _AGGREGATES_AT_ONCE)):
            if self._stopped.is_set():
                raise _StoppedError
            with writing(engine) as connection:
                records += write_history(connection, context, batch)
            done += len(batch)
            last.extend((history.id, len(history.facts)) for history in batch)
            self._done[context.name] = done
            self._progress(context.name, done, total)
        return Written(done, records, tuple(last))

    def _refuse_what_is_there(self, table: Open) -> None:
        """Every scale has the same first aggregates."""
        there: list[str] = []
        for context in CONTEXTS:
            with self._engines[context.name].connect() as connection:
                first = islice(STREAMS[context.name](table), 1)
                if any(look(connection, context, history.id) for history in first):
                    there.append(context.name)
        if there:
            missing = [name for name in STREAMS if name not in there]
            rest = f", {_listed(missing)} do not" if missing else ""
            raise LoadedError(
                f"nothing was loaded: {_listed(there)} of this shop hold a TPC-H history already{rest};"
                " a shop takes it once, start a new one"
            )

    def _how_far(self, totals: Mapping[str, int], reason: str) -> str:
        parts = [f"{name} {self._done.get(name, 0):,} of {total:,}" for name, total in totals.items()]
        return f"the history is in only in part ({', '.join(parts)}): {reason}; start a new shop to load it again"


@contextmanager
def opened(databases: Mapping[str, str]) -> Iterator[Mapping[str, Engine]]:
    """The databases of the five services, with their tables. Raises `NotRunningError` when one cannot be used."""
    with ExitStack() as stack:
        engines: dict[str, Engine] = {}
        for context in CONTEXTS:
            engine = open_engine(databases[context.name])
            stack.callback(engine.dispose)
            engines[context.name] = engine
            try:
                create_tables(engine, context.tables)
            except DBAPIError as error:
                raise NotRunningError(f"the database of {context.name} cannot be used: {error.orig}") from error
        yield engines


def check_database_room(engines: Mapping[str, Engine], scale: float) -> None:
    """Raises `ScaleError` when a history of this scale does not fit on the disk of the SQLite files."""
    for engine in engines.values():
        if engine.dialect.name == "sqlite" and engine.url.database:
            check_room(Path(engine.url.database).parent, scale * _DATABASE_BYTES_PER_SCALE)


class _StoppedError(Exception):
    """Somebody called `stop`."""


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
