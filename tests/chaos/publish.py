"""Publishes a history to a real broker, and reads back what the broker really holds.

Invariants: every message carries its number in a header, so that the oracle folds the log as it is, copies of unknown outcome
included; messages of one partition are published in their order.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from tests.chaos.history import Message
from tests.chaos.oracle import Logged

NUMBER: Final = "chaos"
_RETRY_S: Final = 0.3
_READ_WITHIN_S: Final = 120.0
_BATCH: Final = 1000


class Publisher:
    """Numbers and publishes messages. `published` are all that were ever given, in order; `ends` are acknowledged."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer
        self.published: list[Message] = []
        self.ends: dict[str, int] = {}

    async def publish(self, messages: Sequence[Message]) -> None:
        """Returns once all are acknowledged; what failed is sent again, which may double it."""
        start = len(self.published)
        self.published.extend(messages)
        for first in range(0, len(messages), _BATCH):
            todo = list(enumerate(messages[first : first + _BATCH], start + first))
            while todo:
                todo = await self._send(todo)
                if todo:
                    await asyncio.sleep(_RETRY_S)

    async def _send(self, todo: list[tuple[int, Message]]) -> list[tuple[int, Message]]:
        sent = []
        for number, message in todo:
            headers = [*message.headers, (NUMBER, str(number).encode())]
            sent.append(
                await self._producer.send(
                    message.topic, message.value, key=message.key, partition=message.partition, headers=headers
                )
            )
        acknowledged = await asyncio.gather(*sent, return_exceptions=True)
        failed = []
        for row, answer in zip(todo, acknowledged, strict=True):
            if isinstance(answer, KafkaError):
                failed.append(row)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                at = f"{answer.topic}/{answer.partition}"
                self.ends[at] = max(self.ends.get(at, 0), answer.offset + 1)
        return failed


@asynccontextmanager
async def publishing(bootstrap: str) -> AsyncIterator[Publisher]:
    """A publisher, connected."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=2, request_timeout_ms=10_000)
    await producer.start()
    try:
        yield Publisher(producer)
    finally:
        await producer.stop()


async def create_topics(bootstrap: str, topics: Sequence[str], partitions: int) -> None:
    """Makes topics that are not there."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, partitions, 1) for topic in topics])
    finally:
        await admin.close()


async def read_back(bootstrap: str, topics: Sequence[str], partitions: int, publisher: Publisher) -> list[Logged]:
    """The log as it is, from its start to what was acknowledged and to its end."""
    parts = [TopicPartition(topic, number) for topic in topics for number in range(partitions)]
    wanted = {at: publisher.ends.get(f"{at.topic}/{at.partition}", 0) for at in parts}
    found: list[Logged] = []
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign(parts)
        reached = dict.fromkeys(parts, 0)
        for at in parts:
            consumer.seek(at, 0)
        async with asyncio.timeout(_READ_WITHIN_S):
            while any(reached[at] < max(wanted[at], consumer.highwater(at) or 0) for at in parts):
                for at, records in (await consumer.getmany(timeout_ms=200, max_records=5000)).items():
                    reached[at] = records[-1].offset + 1
                    for record in records:
                        number = int(dict(record.headers)[NUMBER])
                        found.append(Logged(publisher.published[number], record.offset))
    finally:
        await consumer.stop()
    return found
