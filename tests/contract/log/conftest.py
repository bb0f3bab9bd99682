"""The brokers that the contract suite runs on: in memory, and the run's Tansu."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from gateway.dev.servers import EmbeddedKafka
from projections.log.kafka import KafkaLog
from projections.log.memory import MemoryBroker, MemoryLog
from projections.log.port import Log


class MemoryTopics:
    """Topics of a broker in memory."""

    def __init__(self) -> None:
        self.broker = MemoryBroker()

    def log(self) -> Log:
        return MemoryLog(self.broker)

    async def create(self, topic: str, partitions: int) -> None:
        self.broker.create(topic, partitions)

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

    def log(self) -> Log:
        return KafkaLog(self.bootstrap, fetch_max_wait_ms=20)

    async def create(self, topic: str, partitions: int) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        await admin.create_topics([NewTopic(topic, partitions, 1)])
        await admin.close()

    async def append(
        self, topic: str, partition: int, key: bytes | None, value: bytes | None, **headers: bytes
    ) -> None:
        await self.producer.send_and_wait(
            topic, value, key=key, partition=partition, headers=list(headers.items()), timestamp_ms=1
        )


Topics = MemoryTopics | KafkaTopics


@pytest.fixture(params=["memory", "kafka"])
async def topics(request: pytest.FixtureRequest) -> AsyncIterator[Topics]:
    """Where records are written."""
    if request.param == "memory":
        yield MemoryTopics()
        return
    kafka: EmbeddedKafka = request.getfixturevalue("kafka")
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap)
    await producer.start()
    yield KafkaTopics(kafka.bootstrap, producer)
    await producer.stop()


@pytest.fixture
async def open_log(topics: Topics) -> AsyncIterator[Callable[[], Log]]:
    """Makes readers, and closes them."""
    made: list[Log] = []

    def make() -> Log:
        made.append(topics.log())
        return made[-1]

    yield make
    for log in made:
        await log.close()
        await log.close()
