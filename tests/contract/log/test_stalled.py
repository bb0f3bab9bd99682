"""A member that was stopped, while its share went to another: it proves nothing when it goes on."""

import asyncio
import signal
import sys

import pytest
from aiokafka import AIOKafkaProducer

from projections.log.port import Partition
from tests.contract.log.conftest import APACHE_KAFKA, SESSION_TIMEOUT_MS, WITHIN_S, KafkaTopics, kafka_log


@pytest.mark.parametrize("broker", ["kafka", APACHE_KAFKA])
async def test_a_member_that_was_stopped_proves_nothing(
    broker: str, request: pytest.FixtureRequest, unique: str
) -> None:
    bootstrap = request.getfixturevalue(broker).bootstrap
    topics = await KafkaTopics(bootstrap, AIOKafkaProducer(bootstrap_servers=bootstrap)).open()
    await topics.create(unique, 2)
    await topics.close()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.contract.log.member", bootstrap, unique, unique),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin
    assert process.stdout
    successor = kafka_log(bootstrap, unique)
    try:
        async with asyncio.timeout(WITHIN_S + SESSION_TIMEOUT_MS / 1000):
            assert await process.stdout.readline() == b"own 0 1\n"
            process.send_signal(signal.SIGSTOP)
            everything = [Partition(unique, 0), Partition(unique, 1)]
            while (await successor.join([unique])).own != everything:
                await successor.fetch(max_records=1, wait_ms=50)
            assert await successor.prove(dict.fromkeys(everything, 5))
            process.stdin.write(b"\n")
            await process.stdin.drain()
            process.send_signal(signal.SIGCONT)
            assert await process.stdout.readline() == b"proven False revoked True\n"
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await successor.close()
