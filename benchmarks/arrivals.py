"""When records could be had, and documents were visible: a consumer that asks the broker as the product does, and a listener.

Invariants: neither looks into what it gets before it is asked, so that it is never what others wait for; times are of
`time.perf_counter`, which processes of one machine share.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import for_code
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.memory_records import MemoryRecords

from projections.store.keys import Bucket
from projections.store.port import Notice
from projections.store.redis import RedisStore

READ_COMMITTED: Final = 1
_BYTES: Final = 1 << 20
"""Of a partition in one answer, as aiokafka asks for by itself."""


class Arrivals:
    """Made by `arrivals`."""

    def __init__(self, client: Any, topic: str, starts: Sequence[int], fetch_max_wait_ms: int) -> None:
        self.at_s: list[list[float]] = [[] for _ in starts]
        """By partition, when each record behind its start was there."""
        self._client = client
        self._topic = topic
        self._next = list(starts)
        self._fetch_max_wait_ms = fetch_max_wait_ms

    @property
    def count(self) -> int:
        """How many records have been there."""
        return sum(map(len, self.at_s))

    async def watch(self) -> None:
        """Notes arrivals until cancelled. Raises KafkaError."""
        await self._client._wait_on_metadata(self._topic)
        while True:
            response = await self._client.send(self._client.get_random_node(), self._request())
            now_s = time.perf_counter()
            for _, partitions in response.topics:
                for number, code, _, *rest in partitions:
                    if code:
                        raise for_code(code)(self._topic)
                    self._take(number, rest[-1], now_s)

    def _request(self) -> Any:
        places = [(number, offset, _BYTES) for number, offset in enumerate(self._next)]
        return FetchRequest(self._fetch_max_wait_ms, 1, _BYTES * len(places), READ_COMMITTED, [(self._topic, places)])

    def _take(self, number: int, data: bytes, now_s: float) -> None:
        records = MemoryRecords(data)
        end = self._next[number]
        while records.has_next():
            end = records.next_batch().next_offset
        self.at_s[number] += [now_s] * (end - self._next[number])
        self._next[number] = end


@asynccontextmanager
async def arrivals(
    bootstrap: str, topic: str, starts: Sequence[int], fetch_max_wait_ms: int
) -> AsyncGenerator[Arrivals]:
    """Watches all partitions of a topic, `starts` of them, while it is entered. Raises KafkaError."""
    client = AIOKafkaClient(bootstrap_servers=bootstrap)
    await client.bootstrap()
    try:
        found = Arrivals(client, topic, starts, fetch_max_wait_ms)
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(found.watch())
            yield found
            watching.cancel()
    finally:
        await client.close()


class Visible:
    """When the notices of documents came, each document once; made by `visible_in`."""

    def __init__(self) -> None:
        self.count = 0
        self._batches: list[tuple[float, Sequence[Notice]]] = []

    async def watch(self, notices: AsyncIterator[Sequence[Notice]]) -> None:
        """Until cancelled, or until the store goes. Looks at none of them: it has its core with those who are waited for."""
        async for batch in notices:
            self._batches.append((time.perf_counter(), batch))
            self.count += len(batch)

    def taken(self) -> dict[str, float]:
        """What has come since the last time, by id."""
        batches, self._batches = self._batches, []
        return {notice.id: at_s for at_s, batch in batches for notice in batch}


@asynccontextmanager
async def visible_in(redis: str, bucket: Bucket) -> AsyncGenerator[Visible]:
    """Watches a bucket's changes while it is entered. Raises StoreError."""
    store = RedisStore(redis)
    visible = Visible()
    try:
        async with (
            store.changes(bucket) as notices,
            asyncio.TaskGroup() as group,
        ):
            watching = group.create_task(visible.watch(notices))
            yield visible
            watching.cancel()
    finally:
        await store.close()
