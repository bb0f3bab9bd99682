"""The brokers that the contract suite runs on: in memory, the run's Tansu, and Apache Kafka where it is asked for."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic

from projections.log.kafka import KafkaLog
from projections.log.memory import MemoryBroker, MemoryLog
from projections.log.port import Assignment, Log, Partition
from projections.record import Record

WITHIN_S = 20.0
SESSION_TIMEOUT_MS = 1_200
"""Tansu holds every join back for half of it."""
GIVE_UP_WITHIN_S = 1.0


class MemoryTopics:
    """Topics of a broker in memory."""

    def __init__(self) -> None:
        self.broker = MemoryBroker(give_up_within_s=GIVE_UP_WITHIN_S)

    def log(self, group: str) -> Log:
        return MemoryLog(self.broker, group)

    async def create(self, topic: str, partitions: int) -> None:
        self.broker.create(topic, partitions)

    async def grow(self, topic: str, partitions: int) -> None:
        self.broker.create(topic, partitions)

    async def delete(self, topic: str) -> None:
        self.broker.delete(topic)

    async def names(self) -> set[str]:
        return {at.topic for at in self.broker.partitions()}

    async def append(
        self, topic: str, partition: int, key: bytes | None, value: bytes | None, **headers: bytes
    ) -> None:
        self.broker.append(
            topic, partition=partition, key=key, value=value, headers=tuple(headers.items()), timestamp_ms=1
        )


@dataclass
class KafkaTopics:
    """Topics of a real broker."""

    bootstrap: str
    producer: AIOKafkaProducer
    admin: AIOKafkaAdminClient = field(init=False)

    async def open(self) -> "KafkaTopics":
        self.admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await self.producer.start()
        await self.admin.start()
        return self

    async def close(self) -> None:
        await self.producer.stop()
        await self.admin.close()

    def log(self, group: str) -> Log:
        return kafka_log(self.bootstrap, group)

    async def create(self, topic: str, partitions: int, **config: str) -> None:
        await self.admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=config)])

    async def grow(self, topic: str, partitions: int) -> None:
        await self.admin.create_partitions({topic: NewPartitions(partitions)})

    async def delete(self, topic: str) -> None:
        await self.admin.delete_topics([topic])

    async def names(self) -> set[str]:
        return set(await self.admin.list_topics())

    async def append(
        self, topic: str, partition: int, key: bytes | None, value: bytes | None, **headers: bytes
    ) -> None:
        await self.producer.send_and_wait(
            topic, value, key=key, partition=partition, headers=list(headers.items()), timestamp_ms=1
        )


Topics = MemoryTopics | KafkaTopics
OpenLog = Callable[..., Log]


def kafka_log(bootstrap: str, group: str | None = None, **more: Any) -> KafkaLog:
    """A member with the short times of this suite, by default of a group of its own."""
    times = {"session_timeout_ms": SESSION_TIMEOUT_MS, "give_up_within_s": GIVE_UP_WITHIN_S, "fetch_max_wait_ms": 20}
    return KafkaLog(bootstrap, group=group or uuid.uuid4().hex, **{**times, **more})


APACHE_KAFKA = pytest.param("apache_kafka", marks=pytest.mark.apache_kafka)


@pytest.fixture(params=["memory", "kafka", APACHE_KAFKA])
async def topics(request: pytest.FixtureRequest) -> AsyncIterator[Topics]:
    """Where records are written."""
    if request.param == "memory":
        yield MemoryTopics()
        return
    bootstrap = request.getfixturevalue(request.param).bootstrap
    made = await KafkaTopics(bootstrap, AIOKafkaProducer(bootstrap_servers=bootstrap)).open()
    yield made
    await made.close()


@pytest.fixture
async def open_log(topics: Topics) -> AsyncIterator[OpenLog]:
    """Makes members, of a group of their own unless it is named, and closes them."""
    made: list[Log] = []

    def make(group: str | None = None) -> Log:
        made.append(topics.log(group or uuid.uuid4().hex))
        return made[-1]

    yield make
    for log in made:
        await log.close()
        await log.close()


async def started(log: Log, positions: Mapping[Partition, int], topics: Sequence[str] = ()) -> Assignment:
    """Joins and reads from there: the topics of the positions, unless they are named."""
    share = await log.join(topics or sorted({at.topic for at in positions}))
    await log.start(positions)
    return share


async def fetched(log: Log, count: int, max_records: int = 500) -> list[Record]:
    """The next `count` records, or a failure."""
    found: list[Record] = []
    async with asyncio.timeout(WITHIN_S):
        while len(found) < count:
            batch = await log.fetch(max_records=max_records, wait_ms=200)
            assert len(batch) <= max_records
            found += batch
            if not batch and log.is_revoked:
                await asyncio.sleep(0.02)
    return found


async def until_revoked(log: Log, within_s: float = WITHIN_S) -> list[Record]:
    """Reads until the share is taken away: what was read meanwhile."""
    found: list[Record] = []
    async with asyncio.timeout(within_s):
        while not log.is_revoked:
            found += await log.fetch(max_records=500, wait_ms=100)
    return found


async def until_true(condition: Callable[[], Awaitable[bool]]) -> None:
    """Asks a broker until it says so."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.02)


async def settled(logs: Sequence[Log], topics: Sequence[str]) -> list[Assignment]:
    """The shares of all members, once every one has proven its own and none is asked for it any more."""
    shares: list[Assignment | None] = [None] * len(logs)
    done = asyncio.Event()

    async def hold(place: int, log: Log) -> None:
        while not done.is_set():
            shares[place] = None
            share = await log.join(topics)
            if await log.prove(dict.fromkeys(share.own, 0)):
                shares[place] = share
            while not (log.is_revoked or done.is_set()):
                if None not in shares and not any(other.is_revoked for other in logs):
                    done.set()
                await log.fetch(max_records=1, wait_ms=20)

    async with asyncio.timeout(WITHIN_S), asyncio.TaskGroup() as group:
        for place, log in enumerate(logs):
            group.create_task(hold(place, log))
    return [share for share in shares if share is not None]
