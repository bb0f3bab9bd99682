"""Produce -> consume on a broker: what a record takes from `send` to the hands of a consumer with nothing in between.

Invariants: one producer and one consumer through aiokafka, both warm; partitions assigned by hand, as many of them as the topic
that is compared has, read with the same patience: it is the way of the product's own records, without the product.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

RECORD_BYTES: Final = 400
ARRIVES_WITHIN_S: Final = 10.0
_START_WITHIN_S: Final = 20.0


class Yardstick:
    """Made by `yardstick`. `pass_one` may run several times side by side."""

    def __init__(self, producer: Any, topic: str) -> None:
        self._producer = producer
        self._topic = topic
        self._underway: dict[bytes, asyncio.Future[float]] = {}

    async def pass_one(self) -> float:
        """Sends a record of its own key; milliseconds until the consumer had it. Raises TimeoutError, KafkaError."""
        key = uuid.uuid4().hex.encode()
        arrival: asyncio.Future[float]
        arrival = self._underway[key] = asyncio.get_running_loop().create_future()
        try:
            began_s = time.perf_counter()
            acknowledged = await self._producer.send(self._topic, b"x" * RECORD_BYTES, key=key)
            async with asyncio.timeout(ARRIVES_WITHIN_S):
                arrived_s = await arrival
                await acknowledged
        finally:
            del self._underway[key]
        return (arrived_s - began_s) * 1000

    async def consume(self, consumer: Any) -> None:
        """Notes arrivals until cancelled."""
        while True:
            batches = await consumer.getmany(timeout_ms=1000)
            now_s = time.perf_counter()
            for records in batches.values():
                for record in records:
                    arrival = self._underway.get(record.key)
                    if arrival is not None and not arrival.done():
                        arrival.set_result(now_s)


@asynccontextmanager
async def yardstick(bootstrap: str, *, like_topic: str, fetch_max_wait_ms: int) -> AsyncGenerator[Yardstick]:
    """A topic of its own with as many partitions as `like_topic` has, its producer and its consumer.

    Raises KafkaError, TimeoutError.
    """
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all")
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=fetch_max_wait_ms,
    )
    try:
        async with asyncio.timeout(_START_WITHIN_S):
            await producer.start()
            topic = await _new_topic(bootstrap, len(await producer.partitions_for(like_topic)))
            await consumer.start()
            partitions = sorted(await producer.partitions_for(topic))
        consumer.assign([TopicPartition(topic, number) for number in partitions])
        ours = Yardstick(producer, topic)
        async with asyncio.TaskGroup() as group:
            consuming = group.create_task(ours.consume(consumer))
            yield ours
            consuming.cancel()
    finally:
        await consumer.stop()
        await producer.stop()


async def _new_topic(bootstrap: str, partitions: int) -> str:
    name = f"benchmark.{uuid.uuid4().hex[:12]}"
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, partitions, 1)])
    finally:
        await admin.close()
    return name
