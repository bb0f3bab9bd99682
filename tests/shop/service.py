"""A service of the shop under test: its app, its database, and commands in one line."""

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from sqlalchemy import select

from examples.shop.service import outbox
from examples.shop.service.app import Service, build_app
from examples.shop.service.arrivals import Arrivals
from examples.shop.service.database import Database
from examples.shop.service.declare import Context, Event, Topic
from examples.shop.service.listen import Listener, take
from examples.shop.service.log import Incoming
from examples.shop.service.memory import MemoryLog, MemoryPublisher, MemorySource
from examples.shop.service.outbox import OutboxRow
from examples.shop.service.relay import Relay
from examples.shop.service.tables import replicas

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@dataclass
class Clock:
    """A time that only passes when told to."""

    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now

    def advance(self, by: timedelta) -> None:
        self.now += by


@dataclass
class ServiceUnderTest:
    """One service without a server: commands go through its ASGI app."""

    context: Context[Any]
    database: Database
    client: httpx.AsyncClient
    clock: Clock
    arrivals: Arrivals
    commits: list[None] = field(default_factory=list)

    async def post(
        self, path: str, body: Any = None, *, key: str | None = None, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """Sends a command under a fresh idempotency key, or under `key`."""
        sent = {"Idempotency-Key": key or uuid.uuid4().hex, **(headers or {})}
        return await self.client.post(path, json={} if body is None else body, headers=sent)

    async def made(self, path: str, body: Any) -> str:
        """The id of what a command made."""
        response = await self.post(path, body)
        assert response.status_code == 201, response.text
        key: str = response.json()["id"]
        return key

    async def outbox(self) -> list[OutboxRow]:
        """All facts that are not yet published."""
        return await self.database.read(outbox.pending, 100_000)

    async def hear(self, *records: Incoming) -> bool:
        """Takes records of other services, as its listener would."""
        recorded = await self.database.write(take, self.context, records, self.clock())
        self.arrivals.announce()
        return recorded

    async def kept(self) -> dict[str, tuple[int, bytes | None]]:
        """What is kept of other services' aggregates: id -> (version, what)."""
        rows = await self.database.read(lambda connection: connection.execute(select(replicas)).all())
        return {row.id: (row.version, row.kept) for row in rows}

    @asynccontextmanager
    async def relay(self, log: MemoryLog) -> AsyncIterator[Relay]:
        """A relay to a log in memory, at rest."""
        relay = Relay(self.database, MemoryPublisher(log, self.context.topic), f"/shop/{self.context.name}")
        try:
            yield relay
        finally:
            await relay.close()

    def listener(self, log: MemoryLog) -> Listener:
        """A listener to a log in memory."""
        return Listener(
            self.context, self.database, MemorySource(log), self.arrivals, lambda: self.commits.append(None), self.clock
        )


@asynccontextmanager
async def under_test(context: Context[Any], url: str, patience_ms: int = 0) -> AsyncIterator[ServiceUnderTest]:
    """The service on a database of its own."""
    database = Database(url)
    try:
        await database.create_tables(context.tables)
        clock, arrivals, commits = Clock(), Arrivals(), list[None]()
        app = build_app(Service(context, database, lambda: commits.append(None), arrivals, clock, patience_ms))
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
            yield ServiceUnderTest(context, database, client, clock, arrivals, commits)
    finally:
        await database.close()


@dataclass
class Elsewhere:
    """An aggregate of another service, whose facts a test tells."""

    topic: Topic
    key: str
    version: int = 0
    offset: int = 0

    def tells(self, kind: str, data: str | None, *, version: int | None = None, epoch: int = 0) -> Incoming:
        """The record of its next fact (or of `version`); `kind` is the end of the type."""
        self.version = version or self.version + 1
        headers: list[tuple[str, bytes]] = [
            ("ce_specversion", b"1.0"),
            ("ce_type", f"{self.topic.name}.{kind}".encode()),
            ("ce_subject", f"{self.topic.aggregate}/{self.key}".encode()),
            ("ce_aggregateversion", str(self.version).encode()),
        ]
        if epoch:
            headers.append(("ce_aggregateepoch", str(epoch).encode()))
        value = None if data is None else data.encode()
        self.offset += 1
        return Incoming(self.topic.name, 0, self.offset, self.key.encode(), value, headers)


def only(events: Sequence[Event]) -> Any:
    """The one fact of a decision, of whichever type."""
    (event,) = events
    return event
