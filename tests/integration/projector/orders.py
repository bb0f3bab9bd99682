"""A publisher of orders on a real broker, and what the read model should show of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from projections.errors import StoreUnavailableError
from projections.store.keys import Bucket
from projections.store.redis import RedisStore

WITHIN_S = 25.0
TOPIC = "shop.orders"
BUCKET = Bucket("orders", 1, 0)
TIME = "2024-05-01T12:00:00Z"
LINE = {"number": 1, "productId": "p-1", "quantity": "2", "amount": "20.00", "discount": "0.00", "tax": "0.05"}


class Publisher:
    """Writes facts about orders."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer

    async def placed(self, id: str, *, version: int = 1, customer: str = "c-1") -> None:
        data = {"customerId": customer, "placedAt": TIME, "total": "21.00", "lines": [LINE]}
        await self.send(id, version, "OrderPlaced", json.dumps(data).encode())

    async def confirmed(self, id: str, *, version: int = 2) -> None:
        await self.send(id, version, "OrderConfirmed", json.dumps({"customerId": "c-1", "confirmedAt": TIME}).encode())

    async def send(self, id: str, version: int, kind: str, value: bytes) -> None:
        headers = [
            ("ce_type", f"shop.orders.{kind}".encode()),
            ("ce_subject", f"order/{id}".encode()),
            ("ce_aggregateversion", str(version).encode()),
            ("ce_time", TIME.encode()),
        ]
        await self._producer.send_and_wait(TOPIC, value, key=id.encode(), headers=headers)


@asynccontextmanager
async def publisher(bootstrap: str) -> AsyncIterator[Publisher]:
    """A publisher to a topic of one partition, made when it is not there."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(TOPIC, 1, 1)])
    await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()
    try:
        yield Publisher(producer)
    finally:
        await producer.stop()


async def until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """Asks again and again until the condition holds; an answer that is away counts as no."""
    pause = asyncio.Event()
    try:
        async with asyncio.timeout(WITHIN_S):
            while True:
                try:
                    if await condition():
                        return
                except StoreUnavailableError:
                    pass
                try:
                    await asyncio.wait_for(pause.wait(), 0.02)
                except TimeoutError:
                    continue
    except TimeoutError:
        pytest.fail(f"{what} did not come about within {WITHIN_S:g} s")


async def until_shown(store: RedisStore, versions: dict[str, int]) -> None:
    """Waits until these orders are stored at these versions."""

    async def shown() -> bool:
        documents = await store.documents(BUCKET, list(versions))
        return [document and document.version for document in documents] == list(versions.values())

    await until(shown, f"{versions}")
