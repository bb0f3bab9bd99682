"""A broker that is away: told within a bound, and found again by the next calls."""

import asyncio
import os
import signal
import time
from collections.abc import Callable

import pytest
from aiokafka import AIOKafkaProducer

from gateway.dev.servers import EmbeddedKafka
from projections.errors import LogUnavailableError
from projections.log.kafka import KafkaLog
from projections.log.memory import MemoryBroker, MemoryLog
from projections.log.port import Partition
from tests.contract.log.conftest import KafkaTopics

WITHIN_S = 10.0


async def until_unavailable(log: KafkaLog) -> None:
    async def fetch_for_ever() -> None:
        while True:
            await log.fetch(max_records=10, wait_ms=100)

    async with asyncio.timeout(WITHIN_S):
        with pytest.raises(LogUnavailableError):
            await fetch_for_ever()


async def append(bootstrap: str, topic: str, *values: bytes) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()
    topics = KafkaTopics(bootstrap, producer)
    await topics.create(topic, 1)
    for value in values:
        await topics.append(topic, 0, b"k", value)
    await producer.stop()


async def values_from(log: KafkaLog, topic: str, offset: int, count: int) -> list[bytes | None]:
    await log.assign({Partition(topic, 0): offset})
    found: list[bytes | None] = []
    async with asyncio.timeout(WITHIN_S):
        while len(found) < count:
            found += [record.value for record in await log.fetch(max_records=10, wait_ms=100)]
    return found


async def test_a_broker_that_is_not_there_yet(start_kafka: Callable[[], EmbeddedKafka]) -> None:
    server = start_kafka()
    server.kill()
    log = KafkaLog(server.bootstrap)
    started_s = time.monotonic()
    with pytest.raises(LogUnavailableError, match=server.bootstrap):
        await log.partitions(["orders"])
    with pytest.raises(LogUnavailableError):
        await log.assign({Partition("orders", 0): 0})
    assert time.monotonic() - started_s < 2.0
    server.start()
    await append(server.bootstrap, "orders", b"1")
    assert await log.partitions(["orders"]) == [Partition("orders", 0)]
    assert await values_from(log, "orders", 0, 1) == [b"1"]
    await log.close()


async def test_a_broker_that_was_killed_comes_back_empty(start_kafka: Callable[[], EmbeddedKafka]) -> None:
    server = start_kafka()
    await append(server.bootstrap, "orders", b"1", b"2", b"3")
    log = KafkaLog(server.bootstrap, silence_s=0.5)
    assert await log.partitions(["orders"]) == [Partition("orders", 0)]
    assert await values_from(log, "orders", 0, 3) == [b"1", b"2", b"3"]
    server.kill()
    await until_unavailable(log)
    with pytest.raises(LogUnavailableError):
        await log.partitions(["orders"])
    server.start()
    await append(server.bootstrap, "orders", b"4")
    assert await log.partitions(["orders"]) == [Partition("orders", 0)]
    assert await values_from(log, "orders", 3, 1) == [b"4"]
    await log.close()


async def test_a_broker_that_hangs_is_told_too(start_kafka: Callable[[], EmbeddedKafka]) -> None:
    server = start_kafka()
    await append(server.bootstrap, "orders", b"1")
    log = KafkaLog(server.bootstrap, silence_s=0.5)
    assert await values_from(log, "orders", 0, 1) == [b"1"]
    assert server.pid
    os.kill(server.pid, signal.SIGSTOP)
    try:
        await until_unavailable(log)
    finally:
        os.kill(server.pid, signal.SIGCONT)
    await append(server.bootstrap, "orders", b"2")
    assert await values_from(log, "orders", 1, 1) == [b"2"]
    await log.close()


async def test_a_quiet_broker_is_not_away(start_kafka: Callable[[], EmbeddedKafka]) -> None:
    server = start_kafka()
    await append(server.bootstrap, "orders", b"1")
    log = KafkaLog(server.bootstrap, silence_s=0.4, fetch_max_wait_ms=50)
    assert await values_from(log, "orders", 0, 1) == [b"1"]
    for _ in range(10):
        assert await log.fetch(max_records=10, wait_ms=100) == []
    await log.close()


async def test_memory_that_is_switched_off_is_told_and_comes_back() -> None:
    broker = MemoryBroker()
    broker.append("orders", key=b"k", value=b"1")
    log = MemoryLog(broker)
    await log.assign({Partition("orders", 0): 1})
    waiting = asyncio.ensure_future(log.fetch(max_records=10, wait_ms=60_000))
    await asyncio.sleep(0)
    broker.available = False
    with pytest.raises(LogUnavailableError):
        await waiting
    for call in (log.partitions(["orders"]), log.assign({}), log.fetch(max_records=1, wait_ms=1)):
        with pytest.raises(LogUnavailableError):
            await call
    broker.available = True
    broker.append("orders", key=b"k", value=b"2")
    assert [record.value for record in await log.fetch(max_records=10, wait_ms=1_000)] == [b"2"]


async def test_a_log_that_lost_its_start_goes_on_from_where_it_begins() -> None:
    broker = MemoryBroker()
    for n in range(10):
        broker.append("orders", key=b"k", value=b"%d" % n)
    broker.drop_before(Partition("orders", 0), 6)
    log = MemoryLog(broker)
    await log.assign({Partition("orders", 0): 2})
    assert [record.offset for record in await log.fetch(max_records=10, wait_ms=1_000)] == [6, 7, 8, 9]
