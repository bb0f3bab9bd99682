"""A topic that is filled quickly: batches are built here and sent as they are, a few microseconds a record.

Invariants: all records of a key are in one partition, in the order in which they were given; what was packed is sent once, in the
order in which it was packed, so that the place of every record is known before it is sent.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from benchmarks.workload import Entry

PARTITIONS: Final = 4
BATCH_BYTES: Final = 64_000
"""About a hundred records: what a relay that publishes in bulk sends."""
AT_ONCE: Final = 20_000
"""Records that `fill` holds encoded: some 14 MB."""
_START_WITHIN_S: Final = 20.0
_FILL_WITHIN_S: Final = 120.0


@dataclass(frozen=True)
class Packed:
    """Records that are encoded already: batches by partition, and the keys of each partition in the order of its offsets."""

    batches: Sequence[tuple[int, Any]]
    keys: Sequence[Sequence[bytes]]

    @property
    def count(self) -> int:
        """How many records."""
        return sum(map(len, self.keys))


class Filler:
    """Made by `filler`."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer
        self._ends: dict[str, list[int]] = {}

    def ends(self, topic: str) -> list[int]:
        """How many records each partition was given by this filler."""
        return list(self._ends.get(topic, [0] * PARTITIONS))

    def pack(self, entries: Iterable[Entry], partition: int | None = None) -> Packed:
        """Encodes the records, in batches of at most BATCH_BYTES; all into one partition when it is given."""
        batches: list[tuple[int, Any]] = []
        keys: list[list[bytes]] = [[] for _ in range(PARTITIONS)]
        open_batches = [self._producer.create_batch() for _ in range(PARTITIONS)]
        now_ms = time.time_ns() // 1_000_000
        for entry in entries:
            number = zlib.crc32(entry.key) % PARTITIONS if partition is None else partition
            record = {"timestamp": now_ms, "key": entry.key, "value": entry.value, "headers": entry.headers}
            if open_batches[number].append(**record) is None:
                batches.append((number, open_batches[number]))
                open_batches[number] = self._producer.create_batch()
                open_batches[number].append(**record)
            keys[number].append(entry.key)
        batches += [(number, batch) for number, batch in enumerate(open_batches) if batch.record_count()]
        return Packed(batches, keys)

    async def send(self, topic: str, packed: Packed) -> list[asyncio.Future[Any]]:
        """Hands the batches over to be sent, each once the one before it is on its way; what the broker will say of each.

        Raises KafkaError.
        """
        ends = self._ends.setdefault(topic, [0] * PARTITIONS)
        for number, keys in enumerate(packed.keys):
            ends[number] += len(keys)
        return [await self._producer.send_batch(batch, topic, partition=number) for number, batch in packed.batches]

    async def fill(self, topic: str, entries: Iterable[Entry]) -> int:
        """Appends the records and waits until the broker has all of them; how many. Raises KafkaError, TimeoutError."""
        left, count = iter(entries), 0
        async with asyncio.timeout(_FILL_WITHIN_S):
            while (packed := self.pack(islice(left, AT_ONCE))).count:
                for acknowledged in await self.send(topic, packed):
                    await acknowledged
                count += packed.count
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
