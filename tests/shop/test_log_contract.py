"""The contract of the ports to the log, on the twin in memory and on a real broker."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest

from examples.shop.service.declare import Topic
from examples.shop.service.errors import BrokerError
from examples.shop.service.kafka import KafkaPublisher, KafkaSource
from examples.shop.service.log import Incoming, Outgoing, Place, Publisher, Source
from examples.shop.service.memory import MemoryLog, MemoryPublisher, MemorySource
from gateway.dev.ports import free_port
from gateway.dev.servers import EmbeddedKafka

PARTITIONS = 3


@dataclass
class Log:
    """A topic of the test's own, and a publisher to it and a source of it."""

    topic: Topic
    publisher: Publisher
    source: Source

    async def publish(self, *records: Outgoing) -> None:
        """All of them, as often as it takes."""
        left = list(records)
        while left:
            result = await self.publisher.publish(left)
            assert result.trouble is None
            done = set(result.acknowledged)
            assert done
            left = [record for index, record in enumerate(left) if index not in done]

    async def read(self, count: int) -> list[Incoming]:
        """At least this many records."""
        found: list[Incoming] = []
        async with asyncio.timeout(10):
            while len(found) < count:
                found.extend(await self.source.fetch())
        return found


@pytest.fixture(params=["memory", "kafka"])
async def log(request: pytest.FixtureRequest, unique: str) -> AsyncIterator[Log]:
    topic = Topic(f"{unique}.things", "thing")
    if request.param == "memory":
        memory = MemoryLog(PARTITIONS)
        opened = Log(topic, MemoryPublisher(memory, topic), MemorySource(memory))
    else:
        bootstrap = request.getfixturevalue("kafka").bootstrap
        opened = Log(topic, KafkaPublisher(bootstrap, topic, PARTITIONS), KafkaSource(bootstrap, PARTITIONS))
    await opened.publisher.open()
    try:
        yield opened
    finally:
        await opened.publisher.close()
        await opened.source.close()


def record(key: str, value: str | None, *headers: tuple[str, bytes]) -> Outgoing:
    return Outgoing(key.encode(), None if value is None else value.encode(), headers)


async def test_records_come_as_they_went(log: Log) -> None:
    await log.publish(record("a", "1", ("ce_id", b"x"), ("ce_time", b"y")), record("a", None, ("ce_id", b"z")))
    await log.source.open([log.topic], {})
    first, second = await log.read(2)
    assert (first.topic, first.key, first.value, list(first.headers)) == (
        log.topic.name,
        b"a",
        b"1",
        [("ce_id", b"x"), ("ce_time", b"y")],
    )
    assert (second.value, second.offset, second.partition) == (None, first.offset + 1, first.partition)


async def test_a_key_keeps_its_partition_and_its_order(log: Log) -> None:
    await log.source.open([log.topic], {})
    sent = [record(f"k{number % 50}", str(number)) for number in range(1_000)]
    await log.publish(*sent)
    found = await log.read(1_000)
    assert len(found) == 1_000
    assert len({(one.key, one.partition) for one in found}) == 50
    assert len({one.partition for one in found}) == PARTITIONS
    for key in {one.key for one in found}:
        assert [one.value for one in found if one.key == key] == [one.value for one in sent if one.key == key]


async def test_reading_goes_on_at_a_position(log: Log) -> None:
    await log.publish(*(record(f"k{number}", "old") for number in range(30)))
    await log.source.open([log.topic], {})
    positions: dict[Place, int] = {}
    for one in await log.read(30):
        positions[(one.topic, one.partition)] = one.offset + 1
    await log.publish(record("k1", "new"))
    await log.source.open([log.topic], positions)
    assert [(one.key, one.value) for one in await log.read(1)] == [(b"k1", b"new")]


async def test_a_position_behind_the_end_is_of_another_log(log: Log) -> None:
    await log.publish(record("a", "1"), record("a", "2"))
    places = {(log.topic.name, partition): 1_000 for partition in range(PARTITIONS)}
    await log.source.open([log.topic], places)
    assert [one.value for one in await log.read(2)] == [b"1", b"2"]


async def test_nothing_new_is_soon_told(log: Log) -> None:
    await log.source.open([log.topic], {})
    async with asyncio.timeout(5):
        assert not await log.source.fetch()


async def test_two_sources_read_all(log: Log) -> None:
    other = Topic(f"{log.topic.name}.other", "other")
    await log.publish(record("a", "1"))
    await log.source.open([log.topic, other], {})
    assert [one.value for one in await log.read(1)] == [b"1"]


async def test_closing_twice_is_closing(log: Log) -> None:
    await log.source.open([log.topic], {})
    for _ in range(2):
        await log.publisher.close()
        await log.source.close()


async def test_what_is_too_much_for_one_batch_waits(kafka: EmbeddedKafka, unique: str) -> None:
    topic = Topic(f"{unique}.large", "thing")
    publisher, source = KafkaPublisher(kafka.bootstrap, topic, 1), KafkaSource(kafka.bootstrap, 1)
    await publisher.open()
    try:
        large = Log(topic, publisher, source)
        sent = [record("a", str(number) * 30_000) for number in range(100)]
        first = await publisher.publish(sent)
        assert first.trouble is None
        assert list(first.acknowledged) == list(range(len(first.acknowledged)))
        assert 0 < len(first.acknowledged) < 100
        await large.publish(*sent[len(first.acknowledged) :])
        await source.open([topic], {})
        assert [one.value for one in await large.read(100)] == [one.value for one in sent]
    finally:
        await publisher.close()
        await source.close()


async def test_a_topic_is_made_with_its_partitions_and_taken_as_it_is(kafka: EmbeddedKafka, unique: str) -> None:
    topic = Topic(f"{unique}.made", "thing", compacted=True)
    for wanted in (2, 5):
        publisher = KafkaPublisher(kafka.bootstrap, topic, wanted)
        await publisher.open()
        assert (await publisher.publish([record(f"k{number}", "1") for number in range(100)])).trouble is None
        await publisher.close()
    source = KafkaSource(kafka.bootstrap, 9)
    await source.open([topic], {})
    try:
        found = await Log(topic, publisher, source).read(200)
        assert {one.partition for one in found} == {0, 1}
    finally:
        await source.close()


async def test_a_broker_that_is_away_is_an_error_of_its_own() -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    topic = Topic("things", "thing")
    publisher, source = KafkaPublisher(nowhere, topic, 1), KafkaSource(nowhere, 1)
    with pytest.raises(BrokerError, match=nowhere):
        await publisher.open()
    with pytest.raises(BrokerError, match=nowhere):
        await source.open([topic], {})
    await publisher.close()
    await source.close()


@pytest.mark.parametrize("wait_s", [0.01, 0.15])
async def test_a_broker_that_goes_leaves_nothing_hanging(
    start_kafka: Callable[[], EmbeddedKafka], wait_s: float
) -> None:
    """Giving up takes a moment, not a time-out, and opening again is all that it takes to go on."""
    broker = await asyncio.to_thread(start_kafka)
    topic = Topic("things", "thing")
    publisher, source = KafkaPublisher(broker.bootstrap, topic, 1), KafkaSource(broker.bootstrap, 1)
    log = Log(topic, publisher, source)
    try:
        await publisher.open()
        await log.publish(*(record("a", "1") for _ in range(5)))
        await source.open([topic], {})
        assert len(await log.read(5)) == 5
        await asyncio.to_thread(broker.kill)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(wait_s):
                await publisher.publish([record("a", "2")])
        async with asyncio.timeout(3):
            await publisher.close()
            assert not await source.fetch()
        await asyncio.to_thread(broker.start)
        await publisher.open()
        await log.publish(record("a", "2"))
        assert [one.value for one in await log.read(1)] == [b"2"]
    finally:
        await publisher.close()
        await source.close()


async def test_what_a_broker_takes_for_a_topic_that_it_forgot_is_not_acknowledged(
    start_kafka: Callable[[], EmbeddedKafka],
) -> None:
    broker = await asyncio.to_thread(start_kafka)
    topic = Topic("things", "thing")
    publisher, source = KafkaPublisher(broker.bootstrap, topic, 3), KafkaSource(broker.bootstrap, 3)
    log = Log(topic, publisher, source)
    try:
        await publisher.open()
        await log.publish(*(record(f"k{number}", "old") for number in range(30)))
        await asyncio.to_thread(broker.kill)
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            publishing = group.create_task(publisher.publish([record(f"k{number}", "new") for number in range(30)]))
            await asyncio.sleep(0.3)
            await asyncio.to_thread(broker.start)
        result = publishing.result()
        for _ in range(5):
            if result.trouble is not None:
                assert not result.acknowledged
                await publisher.open()
                result = await publisher.publish([record(f"k{number}", "new") for number in range(30)])
        assert result.trouble is None
        await source.open([topic], {})
        assert {one.value for one in await log.read(30)} == {b"new"}
    finally:
        await publisher.close()
        await source.close()


async def test_a_broker_that_says_nothing_leaves_nothing_hanging(start_kafka: Callable[[], EmbeddedKafka]) -> None:
    broker = await asyncio.to_thread(start_kafka)
    topic = Topic("things", "thing")
    publisher = KafkaPublisher(broker.bootstrap, topic, 1)
    await publisher.open()
    assert broker.pid
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await publisher.publish([record("a", "1")])
        async with asyncio.timeout(3):
            await publisher.close()
    finally:
        os.kill(broker.pid, signal.SIGCONT)
