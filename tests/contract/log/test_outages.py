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
from projections.log import kafka
from projections.log.kafka import KafkaLog
from projections.log.memory import MemoryBroker, MemoryLog
from projections.log.port import Partition
from tests.contract.log.conftest import KafkaTopics, kafka_log, started

WITHIN_S = 10.0


async def until_unavailable(log: KafkaLog) -> None:
    """Reads until it is told, and takes its share again when the group shares out anew."""

    async def fetch_for_ever() -> None:
        while True:
            await log.fetch(max_records=10, wait_ms=100)
            if log.is_revoked:
                await started(log, {Partition("orders", 0): 0})

    async with asyncio.timeout(WITHIN_S):
        with pytest.raises(LogUnavailableError):
            await fetch_for_ever()


async def append(bootstrap: str, *values: bytes) -> None:
    topics = await KafkaTopics(bootstrap, AIOKafkaProducer(bootstrap_servers=bootstrap)).open()
    await topics.create("orders", 1)
    for value in values:
        await topics.append("orders", 0, b"k", value)
    await topics.close()


async def values_from(log: KafkaLog, offset: int, count: int) -> list[bytes | None]:
    """What comes after an offset, however often the share is taken away or the broker fails."""
    found: list[bytes | None] = []
    async with asyncio.timeout(WITHIN_S):
        while len(found) < count:
            try:
                if log.is_revoked:
                    await started(log, {Partition("orders", 0): offset + len(found)})
                found += [record.value for record in await log.fetch(max_records=10, wait_ms=100)]
            except LogUnavailableError:
                await asyncio.sleep(0.1)
    return found


async def test_a_broker_that_is_not_there_yet(start_kafka: Callable[[], EmbeddedKafka]) -> None:
    server = start_kafka()
    server.kill()
    log = kafka_log(server.bootstrap)
    started_s = time.monotonic()
    with pytest.raises(LogUnavailableError, match=server.bootstrap):
        await log.join(["orders"])
    with pytest.raises(LogUnavailableError):
        await log.identities([Partition("orders", 0)])
    assert log.is_revoked
    assert not await log.prove({Partition("orders", 0): 0})
    assert time.monotonic() - started_s < 2.0
    server.start()
    await append(server.bootstrap, b"1")
    assert await values_from(log, 0, 1) == [b"1"]
    await log.close()


async def test_a_broker_that_was_killed_comes_back_empty(start_kafka: Callable[[], EmbeddedKafka]) -> None:
    """And has forgotten the group: the member joins it anew."""
    server = start_kafka()
    await append(server.bootstrap, b"1", b"2", b"3")
    log = kafka_log(server.bootstrap, silence_s=0.5)
    assert await values_from(log, 0, 3) == [b"1", b"2", b"3"]
    before = await log.identities([Partition("orders", 0)])
    server.kill()
    await until_unavailable(log)
    with pytest.raises(LogUnavailableError):
        await log.join(["orders"])
    server.start()
    await append(server.bootstrap, b"4")
    assert await values_from(log, 3, 1) == [b"4"]
    assert await log.prove({Partition("orders", 0): 1})
    assert await log.identities([Partition("orders", 0)]) != before
    await log.close()


async def test_a_broker_that_hangs_is_told_too(
    start_kafka: Callable[[], EmbeddedKafka], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka, "CALL_TIMEOUT_S", 1.0)
    server = start_kafka()
    await append(server.bootstrap, b"1")
    log = kafka_log(server.bootstrap, silence_s=0.5)
    assert await values_from(log, 0, 1) == [b"1"]
    assert server.pid
    os.kill(server.pid, signal.SIGSTOP)
    try:
        await until_unavailable(log)
        begun_s = time.monotonic()
        with pytest.raises(LogUnavailableError):
            await log.join(["orders"])
        assert time.monotonic() - begun_s < 3.0
    finally:
        os.kill(server.pid, signal.SIGCONT)
    await append(server.bootstrap, b"2")
    assert await values_from(log, 1, 1) == [b"2"]
    await log.close()


async def test_a_quiet_broker_is_not_away(start_kafka: Callable[[], EmbeddedKafka]) -> None:
    server = start_kafka()
    await append(server.bootstrap, b"1")
    log = kafka_log(server.bootstrap, silence_s=0.4, fetch_max_wait_ms=50)
    assert await values_from(log, 0, 1) == [b"1"]
    for _ in range(10):
        assert await log.fetch(max_records=10, wait_ms=100) == []
    assert not log.is_revoked
    await log.close()


async def test_memory_that_is_switched_off_is_told_and_comes_back() -> None:
    broker = MemoryBroker()
    broker.append("orders", key=b"k", value=b"1")
    log = MemoryLog(broker)
    await started(log, {Partition("orders", 0): 1})
    waiting = asyncio.ensure_future(log.fetch(max_records=10, wait_ms=60_000))
    await asyncio.sleep(0)
    broker.available = False
    with pytest.raises(LogUnavailableError):
        await waiting
    for call in (
        log.join(["orders"]),
        log.start({}),
        log.prove({}),
        log.identities([]),
        log.fetch(max_records=1, wait_ms=1),
    ):
        with pytest.raises(LogUnavailableError):
            await call
    broker.available = True
    broker.append("orders", key=b"k", value=b"2")
    assert [record.value for record in await log.fetch(max_records=10, wait_ms=1_000)] == [b"2"]


async def test_a_member_in_memory_that_was_silent_for_too_long_does_not_know_until_it_asks() -> None:
    broker = MemoryBroker()
    for n in range(2):
        broker.append("orders", key=b"k", value=b"%d" % n)
    stopped, other = MemoryLog(broker, "readers"), MemoryLog(broker, "readers")
    await started(stopped, {Partition("orders", 0): 0})
    broker.expire(stopped)
    assert (await other.join(["orders"])).own == [Partition("orders", 0)]
    assert len(await stopped.fetch(max_records=1, wait_ms=10)) == 1
    assert not await stopped.prove({Partition("orders", 0): 1})
    assert await stopped.fetch(max_records=1, wait_ms=10) == []
    assert not broker.committed("readers")
    assert await other.prove({Partition("orders", 0): 2})
    assert broker.committed("readers") == {Partition("orders", 0): 2}


async def test_a_log_that_lost_its_start_goes_on_from_where_it_begins() -> None:
    broker = MemoryBroker()
    for n in range(10):
        broker.append("orders", key=b"k", value=b"%d" % n)
    broker.drop_before(Partition("orders", 0), 6)
    log = MemoryLog(broker)
    await started(log, {Partition("orders", 0): 2})
    assert [record.offset for record in await log.fetch(max_records=10, wait_ms=1_000)] == [6, 7, 8, 9]
