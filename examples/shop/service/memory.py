"""The event log in memory: the twin of Kafka for tests, and for whoever wants to see the kit without a broker."""

import asyncio
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence

from examples.shop.service.declare import Topic
from examples.shop.service.errors import BrokerError
from examples.shop.service.log import Incoming, Outgoing, Place, Published

_FETCH_RECORDS = 2_000


class MemoryLog:
    """All topics. `lose_answers` and `away` play the two ways in which a broker fails."""

    def __init__(self, partitions: int = 3) -> None:
        self.partitions = partitions
        self.records: dict[Place, list[Incoming]] = defaultdict(list)
        self.away = False
        self.lose_answers = 0
        self._grown = asyncio.Event()

    def append(self, topic: str, record: Outgoing) -> None:
        """Adds one record to the partition of its key."""
        partition = zlib.crc32(record.key) % self.partitions
        log = self.records[(topic, partition)]
        log.append(Incoming(topic, partition, len(log), record.key, record.value, record.headers))
        self._grown.set()
        self._grown = asyncio.Event()

    def of(self, topic: str) -> list[Incoming]:
        """All records of a topic, partition after partition."""
        return [record for place in sorted(self.records) if place[0] == topic for record in self.records[place]]

    def forget(self) -> None:
        """As a broker that keeps nothing and was started again."""
        self.records.clear()

    async def grown(self, timeout_s: float) -> None:
        """Waits until something is appended, at most that long."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._grown.wait()
        except TimeoutError:
            return

    def check(self) -> None:
        """Raises `BrokerError` while the log is away."""
        if self.away:
            raise BrokerError("the log in memory is away")


class MemoryPublisher:
    """See `log.Publisher`."""

    def __init__(self, log: MemoryLog, topic: Topic) -> None:
        self._log = log
        self._topic = topic

    async def open(self) -> None:
        self._log.check()

    async def publish(self, records: Sequence[Outgoing]) -> Published:
        if self._log.away:
            return Published((), BrokerError("the log in memory is away"))
        for record in records:
            self._log.append(self._topic.name, record)
        if self._log.lose_answers:
            self._log.lose_answers -= 1
            return Published((), BrokerError("the answer was lost"))
        return Published(range(len(records)))

    async def close(self) -> None:
        """There is nothing to let go of."""


class MemorySource:
    """See `log.Source`."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self._next: dict[Place, int] = {}

    async def open(self, topics: Sequence[Topic], positions: Mapping[Place, int]) -> None:
        self._log.check()
        places = [(topic.name, partition) for topic in topics for partition in range(self._log.partitions)]
        self._next = {place: positions.get(place, 0) for place in places}

    async def fetch(self) -> Sequence[Incoming]:
        found = self._take()
        if not found:
            await self._log.grown(0.1)
            found = self._take()
        return found

    async def close(self) -> None:
        self._next = {}

    def _take(self) -> list[Incoming]:
        found: list[Incoming] = []
        for place in self._next:
            log = self._log.records[place]
            if self._next[place] > len(log):
                self._next[place] = 0
            part = log[self._next[place] : self._next[place] + _FETCH_RECORDS]
            self._next[place] += len(part)
            found.extend(part)
        return found
