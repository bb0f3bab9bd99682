"""One service's database: SQLAlchemy Core on a few threads of its own, so that the event loop never blocks.

- A write is one transaction on a writer thread. SQLite has one writer thread, because it admits one writer at a time:
  queueing here is fair, polling for its lock is not. `BEGIN IMMEDIATE` takes the lock before the first read, so a
  decision is never made on a state that another writer (the bulk loader) is about to change.
- A write that loses a race on a unique constraint, or to a deadlock, is run again: it must be a function of the
  database and its arguments.
- Cancelling the caller does not undo or stop a transaction that has started.
"""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, MetaData, create_engine, event
from sqlalchemy.exc import IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from examples.shop.service import tables

T = TypeVar("T")

# What a database that is away, shutting down or overloaded raises. Other errors of a database are programming errors.
UNAVAILABLE = (OperationalError, InterfaceError, PoolTimeoutError)
# A bulk load holds SQLite's lock for some tenths of a second per batch; a command waits that long several times over.
_BUSY_TIMEOUT_MS = 10_000
_ATTEMPTS = 4
_WRITING = {"shop_writing": True}


class Database:
    """Owns an engine and two thread pools. Build it, `create_tables()`, use it, `close()` it."""

    def __init__(self, url: str) -> None:
        """`url` is an SQLAlchemy one: `sqlite:////data/orders.sqlite` or `postgresql+psycopg://...`."""
        self.engine = open_engine(url)
        writers = 1 if self.engine.dialect.name == "sqlite" else 4
        self._writers = ThreadPoolExecutor(writers, thread_name_prefix="shop-write")
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="shop-read")

    async def create_tables(self, own: MetaData | None = None) -> None:
        """Makes the kit's tables and the context's `own` where they are missing."""
        await asyncio.get_running_loop().run_in_executor(self._writers, create_tables, self.engine, own)

    async def write(self, work: Callable[..., T], *args: Any) -> T:
        """Runs `work(connection, *args)` in one transaction. Raises what `work` raises; nothing is kept then."""
        return await asyncio.get_running_loop().run_in_executor(self._writers, self._transact, work, args)

    async def read(self, work: Callable[..., T], *args: Any) -> T:
        """Runs `work(connection, *args)` on a reader thread; it must not write."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._look, work, args)

    async def close(self) -> None:
        """Waits for the transactions that have started, then closes all connections."""
        await asyncio.to_thread(self._writers.shutdown)
        await asyncio.to_thread(self._readers.shutdown)
        self.engine.dispose()

    def _transact(self, work: Callable[..., T], args: tuple[Any, ...]) -> T:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with writing(self.engine) as connection:
                    return work(connection, *args)
            except (IntegrityError, OperationalError) as error:
                if attempt == _ATTEMPTS or not _lost_a_race(error):
                    raise
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _look(self, work: Callable[..., T], args: tuple[Any, ...]) -> T:
        with self.engine.connect() as connection:
            return work(connection, *args)


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction that may write: committed at the end, rolled back when the block raises."""
    with engine.connect().execution_options(**_WRITING) as connection, connection.begin():
        yield connection


def open_engine(url: str) -> Engine:
    """An engine whose SQLite connections are in WAL mode and begin transactions when SQLAlchemy does."""
    engine = create_engine(url, pool_pre_ping=not url.startswith("sqlite"))
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def create_tables(engine: Engine, own: MetaData | None = None) -> None:
    """Makes the tables that are missing, the kit's and those of `own`."""
    with writing(engine) as connection:
        tables.metadata.create_all(connection)
        if own is not None:
            own.create_all(connection)


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver begins nothing by itself; `_begin_sqlite` does
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    # In WAL mode this survives any crash of the process; only a power cut may undo the last commits.
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("shop_writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _lost_a_race(error: IntegrityError | OperationalError) -> bool:
    """Whether another transaction was first: a unique key (23505) or a deadlock (40P01) that may not come again."""
    if isinstance(error, IntegrityError):
        return True
    return getattr(error.orig, "sqlstate", None) == "40P01"
