"""The log in memory, for tests: a broker that is written to, and readers of it with the semantics of the port.

Invariants: while the broker is not `available` every call of its readers raises LogUnavailableError.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence

from projections.errors import LogUnavailableError
from projections.log.port import Partition
from projections.record import Record


class MemoryBroker:
    """Topics in memory. Partitions come into being when they are first written to, or with `create`."""

    def __init__(self) -> None:
        self._records: defaultdict[Partition, list[Record]] = defaultdict(list)
        self._starts: dict[Partition, int] = {}
        self._available = True
        self._readers: set[asyncio.Event] = set()

    @property
    def available(self) -> bool:
        """Whether the broker answers."""
        return self._available

    @available.setter
    def available(self, value: bool) -> None:
        self._available = value
        self._wake()

    def create(self, topic: str, partitions: int = 1) -> None:
        """Makes a topic. Idempotent."""
        for number in range(partitions):
            self._records[Partition(topic, number)] += ()

    def delete(self, topic: str) -> None:
        """Forgets a topic, and its offsets."""
        for at in [at for at in self._records if at.topic == topic]:
            del self._records[at]
            self._starts.pop(at, None)

    def append(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes | None]] = (),
        partition: int = 0,
        timestamp_ms: int = 0,
        fault: str | None = None,
    ) -> Record:
        """Writes a record, and wakes readers."""
        log = self._records[Partition(topic, partition)]
        record = Record(
            topic, partition, self.end(Partition(topic, partition)), key, value, tuple(headers), timestamp_ms, fault
        )
        log.append(record)
        self._wake()
        return record

    def drop_before(self, partition: Partition, offset: int) -> None:
        """Forgets the records before an offset, as retention does."""
        self._records[partition] = [record for record in self._records[partition] if record.offset >= offset]
        self._starts[partition] = offset

    def partitions(self) -> list[Partition]:
        """All that exist."""
        return sorted(self._records)

    def end(self, partition: Partition) -> int:
        """The offset that the next record will have."""
        log = self._records[partition]
        return log[-1].offset + 1 if log else self._starts.get(partition, 0)

    def since(self, partition: Partition, offset: int, limit: int) -> list[Record]:
        """At most `limit` records from an offset on; from the start, when the offset is outside the log."""
        start = self._starts.get(partition, 0)
        if not start <= offset <= self.end(partition):
            offset = start
        return self._records[partition][offset - start : offset - start + limit]

    def reader(self, event: asyncio.Event) -> None:
        """Sets this event at every change from now on."""
        self._readers.add(event)

    def _wake(self) -> None:
        for event in self._readers:
            event.set()


class MemoryLog:
    """Implements `Log` over a `MemoryBroker`."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker
        self._next: dict[Partition, int] = {}
        self._ends: dict[Partition, int] = {}
        self._changed = asyncio.Event()
        self._closed = False
        broker.reader(self._changed)

    async def partitions(self, topics: Sequence[str]) -> list[Partition]:
        self._answer()
        return [at for at in self._broker.partitions() if at.topic in topics]

    async def assign(self, positions: Mapping[Partition, int]) -> None:
        self._answer()
        self._next = dict(positions)
        self._ends = {}

    async def fetch(self, *, max_records: int, wait_ms: int) -> list[Record]:
        found = self._take(max_records)
        if found or self._closed:
            return found
        try:
            async with asyncio.timeout(wait_ms / 1000):
                while not found and not self._closed:
                    await self._changed.wait()
                    found = self._take(max_records)
        except TimeoutError:
            return []
        return found

    async def seek(self, partition: Partition, offset: int) -> None:
        self._next[partition] = offset

    def ends(self) -> Mapping[Partition, int]:
        return dict(self._ends)

    async def close(self) -> None:
        self._closed = True
        self._changed.set()

    def _take(self, limit: int) -> list[Record]:
        self._changed.clear()
        self._answer()
        found: list[Record] = []
        for at, offset in self._next.items():
            records = self._broker.since(at, offset, limit - len(found))
            found += records
            self._ends[at] = self._broker.end(at)
            if records:
                self._next[at] = records[-1].offset + 1
        return found

    def _answer(self) -> None:
        if not self._broker.available:
            raise LogUnavailableError("the broker in memory is switched off")
