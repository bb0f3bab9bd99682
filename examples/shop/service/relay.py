"""Publishes the outbox of one database, in order, for as long as the service runs.

- Facts leave the outbox only after the log has them: a crash or a lost answer publishes them again, in order.
- One relay per database publishes: under PostgreSQL the holder of an advisory lock, under SQLite the process that has
  the file. (A second one could put an older state of a key behind a newer one, and compaction would keep that.)
- A commit in this process wakes it at once; a look every 100 ms finds what another process (a bulk loader) wrote.
- The broker may be away at any time: the relay waits, connects again, and goes on.
"""

import asyncio
import logging

from sqlalchemy import Connection, func, select

from examples.shop.service import cloudevents, outbox
from examples.shop.service.database import UNAVAILABLE, Database
from examples.shop.service.errors import BrokerError
from examples.shop.service.log import Publisher
from examples.shop.service.retry import Backoff

# About 1.4 MB of orders: one batch per partition stays below Kafka's default limit of 1 MB.
_ROWS_AT_ONCE = 2_000
_LOOK_EVERY_S = 0.1
# Any number that nothing else in the database uses as an advisory lock; "relay" in ASCII.
_LOCK = 0x72_65_6C_61_79

_logger = logging.getLogger(__name__)


class Relay:
    """Reads the outbox through `database` and writes to `publisher`; `source` is the service's URI in the events."""

    def __init__(self, database: Database, publisher: Publisher, source: str) -> None:
        self._database = database
        self._publisher = publisher
        self._source = source
        self._committed = asyncio.Event()
        self._stopping = False
        self._lock: Connection | None = None
        self._backoff = Backoff()

    def wake(self) -> None:
        """Something was committed. Call from the event loop."""
        self._committed.set()

    def stop(self) -> None:
        """Lets `run` return when the outbox is empty, or when it fails the next time."""
        self._stopping = True
        self._committed.set()

    async def run(self) -> None:
        """Publishes until stopped or cancelled; only programming errors come out."""
        try:
            while not self._stopping:
                try:
                    await self._publish_all()
                except (BrokerError, *UNAVAILABLE) as error:
                    if not self._backoff.failing:
                        _logger.warning("%s: publishing is interrupted, trying on: %s", self._source, error)
                    await self._pause()
        finally:
            await self.close()

    async def close(self) -> None:
        """Lets go of the broker and of the right to publish. `run` does it by itself."""
        await self._publisher.close()
        self._unlock()

    async def publish_once(self) -> bool:
        """Publishes the oldest facts; False when there were none, or another process publishes.

        Raises `BrokerError` after what was acknowledged has left the outbox.
        """
        if not await self._database.read(self._has_lock):
            return False
        rows = await self._database.read(outbox.pending, _ROWS_AT_ONCE)
        if not rows:
            return False
        result = await self._publisher.publish([cloudevents.encode(row, self._source) for row in rows])
        if result.acknowledged:
            await self._database.write(outbox.published, [rows[index].seq for index in result.acknowledged])
        if result.trouble is not None:
            raise result.trouble
        return True

    async def _publish_all(self) -> None:
        await self._publisher.open()
        while True:
            # Cleared before the look: what is committed after the look sets it again.
            self._committed.clear()
            published = await self.publish_once()
            self._went_well()
            if not published:
                if self._stopping:
                    return
                await self._wait_for_commit(_LOOK_EVERY_S)

    def _went_well(self) -> None:
        if self._backoff.failing:
            _logger.warning("%s: publishing goes on", self._source)
        self._backoff.reset()

    async def _pause(self) -> None:
        await self.close()
        if not self._stopping:
            await asyncio.sleep(self._backoff.next_s())

    async def _wait_for_commit(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._committed.wait()
        except TimeoutError:
            return

    def _has_lock(self, connection: Connection) -> bool:
        """Asked before each round: it takes the lock, or proves that the session that holds it is alive."""
        if connection.dialect.name == "sqlite":
            return True
        if self._lock is None:
            self._lock = connection.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        return bool(self._lock.scalar(select(func.pg_try_advisory_lock(_LOCK))))

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.invalidate()  # ends the session, and with it the lock
            self._lock.close()
            self._lock = None
