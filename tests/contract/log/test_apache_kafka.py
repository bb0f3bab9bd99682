"""What only Apache Kafka shows: compaction, retention, a topic that outgrew its namesake, a broker that comes back as it was."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import RecordsToDelete

from projections.errors import LogUnavailableError
from projections.log.port import Log, Partition
from projections.record import Record
from tests.contract.log.conftest import (
    WITHIN_S,
    KafkaTopics,
    OpenLog,
    fetched,
    kafka_log,
    started,
    until_revoked,
    until_true,
)
from tools.apache_kafka import ApacheKafka

pytestmark = pytest.mark.apache_kafka


@pytest.fixture
async def topics(apache_kafka: ApacheKafka) -> AsyncIterator[KafkaTopics]:
    """Topics of the run's Apache Kafka."""
    bootstrap = apache_kafka.bootstrap
    made = await KafkaTopics(bootstrap, AIOKafkaProducer(bootstrap_servers=bootstrap)).open()
    yield made
    await made.close()


async def whole(log: Log, at: Partition) -> list[Record]:
    """Everything from the start of a partition of the share to its last record, which is there."""
    await log.start({at: 0})
    found: list[Record] = []
    async with asyncio.timeout(WITHIN_S):
        while not found or found[-1].offset < log.ends()[at] - 1:
            found += await log.fetch(max_records=500, wait_ms=100)
    return found


async def test_a_state_topic_that_was_compacted_first(topics: KafkaTopics, open_log: OpenLog, unique: str) -> None:
    config = {"cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.01"}
    await topics.create(unique, 1, **config)
    at, log = Partition(unique, 0), open_log()
    write = topics.producer.send_and_wait  # with the time of now: segments end by the time of their records
    for n in range(40):
        await write(unique, b"%d" % n, key=b"k%d" % (n % 4))
    await log.join([unique])
    records: list[Record] = []

    async def is_compacted() -> bool:
        nonlocal records
        await asyncio.sleep(0.3)  # the newest segment is never compacted: a record after its time ends it
        await write(unique, b"", key=b"roll")
        records = await whole(log, at)
        return len([record for record in records if record.key != b"roll"]) == 4

    await until_true(is_compacted)
    offsets = [record.offset for record in records]
    assert offsets == sorted(set(offsets))
    assert offsets[0] == 36
    assert {record.key: record.value for record in records if record.key != b"roll"} == {
        b"k%d" % n: b"%d" % (36 + n) for n in range(4)
    }


async def test_a_position_that_retention_has_passed(topics: KafkaTopics, open_log: OpenLog, unique: str) -> None:
    await topics.create(unique, 1)
    for n in range(10):
        await topics.append(unique, 0, b"k", b"%d" % n)
    log = open_log()
    await started(log, {Partition(unique, 0): 2})
    assert [record.offset for record in await fetched(log, 8)] == list(range(2, 10))
    await topics.admin.delete_records({TopicPartition(unique, 0): RecordsToDelete(before_offset=6)})
    await log.start({Partition(unique, 0): 2})
    assert [record.offset for record in await fetched(log, 4)] == [6, 7, 8, 9]
    assert log.ends() == {Partition(unique, 0): 10}


async def test_a_topic_made_anew_that_has_outgrown_the_position(
    topics: KafkaTopics, open_log: OpenLog, unique: str
) -> None:
    """Its offsets fit, and only its identity tells that they are of other records."""
    at = Partition(unique, 0)
    await topics.create(unique, 1)
    for n in range(3):
        await topics.append(unique, 0, b"k", b"old %d" % n)
    log = open_log()
    await started(log, {at: 0})
    assert len(await fetched(log, 3)) == 3
    before = await log.identities([at])
    await topics.delete(unique)
    await topics.create(unique, 1)
    for n in range(9):
        await topics.append(unique, 0, b"k", b"new %d" % n)
    await until_revoked(log)
    while not (await log.join([unique])).own:
        await until_revoked(log)
    assert await log.identities([at]) != before
    await log.start({at: 0})
    assert [record.value for record in await fetched(log, 9)] == [b"new %d" % n for n in range(9)]


async def test_a_broker_that_was_killed_comes_back_with_its_data(
    start_apache_kafka: Callable[[], ApacheKafka], unique: str
) -> None:
    """The group is there still, and the position goes on; nothing is read twice."""
    server = start_apache_kafka()
    topics = await KafkaTopics(server.bootstrap, AIOKafkaProducer(bootstrap_servers=server.bootstrap)).open()
    await topics.create(unique, 1)
    await topics.append(unique, 0, b"k", b"0")
    await topics.close()
    at, log = Partition(unique, 0), kafka_log(server.bootstrap, silence_s=0.5)
    try:
        await started(log, {at: 0})
        assert [record.offset for record in await fetched(log, 1)] == [0]
        before = await log.identities([at])
        assert await log.prove({at: 1})
        server.kill()
        with pytest.raises(LogUnavailableError):
            await fetched(log, 1)
        server.start()
        topics = await KafkaTopics(server.bootstrap, AIOKafkaProducer(bootstrap_servers=server.bootstrap)).open()
        await topics.append(unique, 0, b"k", b"1")
        await topics.close()
        [record] = await read_from(log, at, 1)
        assert (record.offset, record.value) == (1, b"1")
        assert await log.identities([at]) == before
        assert await log.prove({at: 2})
    finally:
        await log.close()


async def read_from(log: Log, at: Partition, offset: int) -> list[Record]:
    """The first records from there, however often the share is taken away or the broker fails."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            try:
                if log.is_revoked:
                    await started(log, {at: offset})
                found = await log.fetch(max_records=10, wait_ms=100)
            except LogUnavailableError:
                await asyncio.sleep(0.1)
            else:
                if found:
                    return found


async def until_reached(log: Log, at: Partition, offset: int) -> list[Record]:
    """What is read on the way to an offset that is also the end."""
    found: list[Record] = []
    async with asyncio.timeout(WITHIN_S):
        while (log.reached().get(at), log.ends().get(at)) != (offset, offset):
            found += await log.fetch(max_records=10, wait_ms=50)
    return found


async def test_marks_of_transactions_and_what_was_called_off_are_passed_over(
    topics: KafkaTopics, open_log: OpenLog, unique: str
) -> None:
    await topics.create(unique, 1)
    at, log = Partition(unique, 0), open_log()
    await started(log, {at: 0})
    async with AIOKafkaProducer(bootstrap_servers=topics.bootstrap, transactional_id=unique) as producer:
        async with producer.transaction():
            for n in range(3):
                await producer.send(unique, b"%d" % n)
        assert [record.offset for record in await until_reached(log, at, 4)] == [0, 1, 2]
        await producer.begin_transaction()
        await producer.send_and_wait(unique, b"no")
        assert await until_reached(log, at, 4) == []
        await producer.abort_transaction()
        assert await until_reached(log, at, 6) == []


async def test_a_partition_of_which_nothing_is_left(topics: KafkaTopics, open_log: OpenLog, unique: str) -> None:
    await topics.create(unique, 1)
    for n in range(3):
        await topics.append(unique, 0, b"k", b"%d" % n)
    await topics.admin.delete_records({TopicPartition(unique, 0): RecordsToDelete(before_offset=3)})
    log = open_log()
    await started(log, {Partition(unique, 0): 0})
    assert await until_reached(log, Partition(unique, 0), 3) == []
