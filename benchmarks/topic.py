"""A topic that is filled quickly: batches are built here and sent as they are, a few microseconds a record.

Invariants: all records of a key are in one partition, in the order in which they were given; `fill` returns once the broker has
acknowledged all of them.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from benchmarks.workload import Entry

PARTITIONS: Final = 4
BATCH_BYTES: Final = 64_000
"""About a hundred records: what a relay that publishes in bulk sends."""
_START_WITHIN_S: Final = 20.0
_FILL_WITHIN_S: Final = 120.0


class Filler:
    """Made by `filler`."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer
        self._ends: dict[str, list[int]] = {}

    def ends(self, topic: str) -> list[int]:
        """How many records each partition was given by this filler."""
        return list(self._ends.get(topic, [0] * PARTITIONS))

    async def fill(self, topic: str, entries: Iterable[Entry]) -> int:
        """Appends the records; returns how many. Raises KafkaError, TimeoutError."""
        ends = self._ends.setdefault(topic, [0] * PARTITIONS)
        sent: list[asyncio.Future[Any]] = []
        async with asyncio.timeout(_FILL_WITHIN_S):
            open_batches = [self._producer.create_batch() for _ in range(PARTITIONS)]
            count = 0
            now_ms = time.time_ns() // 1_000_000
            for entry in entries:
                number = zlib.crc32(entry.key) % PARTITIONS
                record = {"timestamp": now_ms, "key": entry.key, "value": entry.value, "headers": entry.headers}
                if open_batches[number].append(**record) is None:
                    sent.append(await self._producer.send_batch(open_batches[number], topic, partition=number))
                    open_batches[number] = self._producer.create_batch()
                    open_batches[number].append(**record)
                ends[number] += 1
                count += 1
            for number, batch in enumerate(open_batches):
                if batch.record_count():
                    sent.append(await self._producer.send_batch(batch, topic, partition=number))
            for future in sent:
                await future
        return count


@asynccontextmanager
async def filler(bootstrap: str, topics: Sequence[str]) -> AsyncGenerator[Filler]:
    """Makes these topics, PARTITIONS each. Raises KafkaError, TimeoutError."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", max_batch_size=BATCH_BYTES)
    try:
        async with asyncio.timeout(_START_WITHIN_S):
            await _create(bootstrap, topics)
            await producer.start()
        yield Filler(producer)
    finally:
        await producer.stop()


async def _create(bootstrap: str, topics: Sequence[str]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, PARTITIONS, 1) for topic in topics])
    finally:
        await admin.close()
