"""Runs one service: its database, its HTTP server, its relay and its listener, until it is told to stop.

- It is ready when it accepts requests; the broker may come later, the database has to be there.
- It stops in the order in which work flows: no new requests, the running ones to their end, then the listener, then
  the outbox as far as the broker takes it. What is left in the outbox is published after the next start.
- A part that ends by a programming error ends the service: it is better seen than half alive.
"""

import asyncio
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from sqlalchemy.exc import OperationalError

from examples.shop.service import answers
from examples.shop.service.app import Service, build_app, utc_now
from examples.shop.service.arrivals import Arrivals
from examples.shop.service.database import Database
from examples.shop.service.declare import Context
from examples.shop.service.listen import Listener
from examples.shop.service.log import Publisher, Source
from examples.shop.service.relay import Relay
from examples.shop.service.retry import Backoff

# Together below the 5 s in which a service has to be gone after a signal.
_REQUESTS_DRAIN_WITHIN_S = 2
_OUTBOX_DRAINS_WITHIN_S = 1.0
# Longer than clients keep idle connections, so that it is never the server that closes one that is being used again.
_KEEP_ALIVE_S = 75
_FORGET_EVERY_S = 3_600

_logger = logging.getLogger(__name__)


class ServiceProcess:
    """One service on a socket that is bound already. `ready` is set when it accepts requests."""

    def __init__(
        self,
        context: Context[Any],
        database_url: str,
        bound: socket.socket,
        publisher: Publisher,
        source: Source,
    ) -> None:
        self.context = context
        self.ready = asyncio.Event()
        self._database_url = database_url
        self._socket = bound
        self._publisher = publisher
        self._source = source

    @property
    def url(self) -> str:
        """The service's base URL."""
        host, port = self._socket.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def run(self, stop: asyncio.Event) -> None:
        """Serves until `stop` is set."""
        database = Database(self._database_url)
        try:
            if await self._made_tables(database, stop):
                await self._serve(database, stop)
        finally:
            await database.close()
            self._socket.close()

    async def _serve(self, database: Database, stop: asyncio.Event) -> None:
        relay = Relay(database, self._publisher, source=f"/shop/{self.context.name}")
        arrivals = Arrivals()
        listener = Listener(self.context, database, self._source, arrivals, relay.wake, utc_now)
        server = _server(Service(self.context, database, relay.wake, arrivals), self.ready)
        async with asyncio.TaskGroup() as group:
            publishing = group.create_task(relay.run())
            beside = [group.create_task(_forget_answers(database))]
            if self.context.listens:
                beside.append(group.create_task(listener.run()))
            serving = group.create_task(server.serve(sockets=[self._socket]))
            await stop.wait()
            server.should_exit = True
            await serving
            for task in beside:
                task.cancel()
            relay.stop()
            await asyncio.wait([publishing], timeout=_OUTBOX_DRAINS_WITHIN_S)
            publishing.cancel()

    async def _made_tables(self, database: Database, stop: asyncio.Event) -> bool:
        """Makes the tables as soon as the database is there; False when it is time to stop before that."""
        backoff = Backoff()
        while not stop.is_set():
            try:
                await database.create_tables(self.context.tables)
            except OperationalError as error:
                if not backoff.failing:
                    _logger.warning("%s: the database is not there yet: %s", self.context.name, error.orig)
                await asyncio.sleep(backoff.next_s())
            else:
                return True
        return False


class _Server(uvicorn.Server):
    """uvicorn that tells when it accepts requests and leaves the signals to whoever runs several of them."""

    accepting: asyncio.Event

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.accepting.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _server(service: Service, accepting: asyncio.Event) -> _Server:
    config = uvicorn.Config(
        build_app(service),
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_REQUESTS_DRAIN_WITHIN_S,
    )
    server = _Server(config)
    server.accepting = accepting
    return server


async def _forget_answers(database: Database) -> None:
    while True:
        try:
            await database.write(answers.forget, utc_now())
        except OperationalError as error:
            _logger.warning("old answers are still kept: %s", error.orig)
        await asyncio.sleep(_FORGET_EVERY_S)
