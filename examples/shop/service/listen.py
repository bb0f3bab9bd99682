"""Listens to other services: what they say is kept in this service's database, once and in order.

- Position, what is kept and what follows from it are committed together: a crash repeats nothing and loses nothing.
- Versions say what is news; duplicates, replays and a log that is read again change nothing.
- A record that cannot be read is logged with its coordinates and skipped.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from examples.shop.service import cloudevents, replicas
from examples.shop.service.arrivals import Arrivals
from examples.shop.service.cloudevents import UnreadableError
from examples.shop.service.database import UNAVAILABLE, Database
from examples.shop.service.declare import Context, Heard, Listening
from examples.shop.service.errors import BrokerError
from examples.shop.service.log import Incoming, Place, Source
from examples.shop.service.retry import Backoff
from examples.shop.service.tables import positions

_logger = logging.getLogger(__name__)


class Listener:
    """Reads `source` for one context. `on_commit` is called after it recorded facts of its own."""

    def __init__(
        self,
        context: Context[Any],
        database: Database,
        source: Source,
        arrivals: Arrivals,
        on_commit: Callable[[], None],
        clock: Callable[[], datetime],
    ) -> None:
        self._context = context
        self._database = database
        self._source = source
        self._arrivals = arrivals
        self._on_commit = on_commit
        self._clock = clock

    async def run(self) -> None:
        """Listens until cancelled; only programming errors come out."""
        backoff = Backoff()
        try:
            while True:
                try:
                    await self.open()
                    while True:
                        await self.listen_once()
                        backoff.reset()
                except (BrokerError, *UNAVAILABLE) as error:
                    if not backoff.failing:
                        _logger.warning("%s: listening is interrupted, trying on: %s", self._context.name, error)
                    await self._source.close()
                    await asyncio.sleep(backoff.next_s())
        finally:
            await self._source.close()

    async def open(self) -> None:
        """Starts reading where the last committed batch ended. Raises `BrokerError`."""
        topics = [listening.topic for listening in self._context.listens]
        await self._source.open(topics, await self._database.read(stored_positions))

    async def listen_once(self) -> int:
        """Takes one batch of records, if there is one; returns how many. Raises `BrokerError`."""
        records = await self._source.fetch()
        if records:
            recorded = await self._database.write(take, self._context, records, self._clock())
            self._arrivals.announce()
            if recorded:
                self._on_commit()
        return len(records)


def take(connection: Connection, context: Context[Any], records: Sequence[Incoming], now: datetime) -> bool:
    """Takes a batch in the caller's transaction; True when facts of this service followed from it."""
    recorded = False
    for listening in context.listens:
        heard = [fact for record in records if (fact := _heard(record, listening)) is not None]
        if not heard:
            continue
        news = replicas.remember(connection, listening, heard)
        if news and listening.react is not None:
            recorded |= listening.react(connection, news, now)
    _store_positions(connection, records)
    return recorded


def stored_positions(connection: Connection) -> dict[Place, int]:
    """Where to go on reading."""
    return {(row.topic, row.partition): row.next_offset for row in connection.execute(select(positions))}


def _heard(record: Incoming, listening: Listening[Any]) -> Heard | None:
    if record.topic != listening.topic.name:
        return None
    try:
        return cloudevents.decode(record, listening)
    except UnreadableError as error:
        place = (record.topic, record.partition, record.offset)
        _logger.warning("skipped %s[%s]@%s: %s", *place, error)
        return None


def _store_positions(connection: Connection, records: Sequence[Incoming]) -> None:
    reached = {(record.topic, record.partition): record.offset + 1 for record in records}
    for topic, partition in reached:
        connection.execute(delete(positions).where(positions.c.topic == topic, positions.c.partition == partition))
    rows = [{"topic": topic, "partition": part, "next_offset": offset} for (topic, part), offset in reached.items()]
    connection.execute(insert(positions), rows)
