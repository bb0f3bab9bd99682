"""`python -m projections`, as a supervisor and an operator use it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from gateway.dev.servers import EmbeddedKafka, EmbeddedValkey
from projections.store.redis import RedisStore
from tests.integration.projector.orders import BUCKET, TOPIC, WITHIN_S, publisher, until, until_shown


def environ(kafka: EmbeddedKafka, valkey: EmbeddedValkey, **more: str) -> dict[str, str]:
    return {
        "PATH": os.defpath,
        "HEADRACE_KAFKA_BOOTSTRAP": kafka.bootstrap,
        "HEADRACE_REDIS_URL": valkey.url,
        "HEADRACE_FETCH_MAX_WAIT_MS": "10",
        "HEADRACE_SERVICES": "orders=http://127.0.0.1:1",
        **more,
    }


@asynccontextmanager
async def started(env: Mapping[str, str], *arguments: str, stdin: int = DEVNULL) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "projections", *arguments, env=env, stdin=stdin, stdout=PIPE, stderr=PIPE
    )
    try:
        async with asyncio.timeout(WITHIN_S):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def output(env: Mapping[str, str], *arguments: str) -> tuple[int | None, str, str]:
    async with started(env, *arguments) as process:
        out, err = await process.communicate()
        return process.returncode, out.decode(), err.decode()


async def line(process: Process) -> str:
    assert process.stdout
    return (await process.stdout.readline()).decode().strip()


async def test_a_day_of_an_operator(kafka: EmbeddedKafka, clean_valkey: EmbeddedValkey) -> None:
    env = environ(kafka, clean_valkey, HEADRACE_PROJECTIONS="orders")
    store = RedisStore(clean_valkey.url)
    async with publisher(kafka.bootstrap) as orders, started(env, "run") as process:
        assert await line(process) == "ready orders"
        await orders.placed("o-1")
        await orders.send("o-2", 1, "OrderPlaced", b'{"customerId":7}')
        await orders.placed("o-3")
        await until_shown(store, {"o-1": 1, "o-3": 1})

        async def reported() -> bool:
            [report] = await store.reports([BUCKET])
            return b'"next":3' in report.get(f"{TOPIC}/0", b"")

        await until(reported, "the report")
        _, status, _ = await output(env, "status")
        header, row = status.strip().splitlines()
        assert header.split() == [
            "projection",
            "generation",
            "bucket",
            "partition",
            "position",
            "end",
            "lag",
            "aside",
            "polled",
        ]
        assert row.split()[:8] == ["orders", "1", "0", f"{TOPIC}/0", "3", "3", "0", "1"]
        code, status, _ = await output(env, "status", "--json")
        assert code == 0
        [row_json] = json.loads(status)
        assert (row_json["position"], row_json["end"], row_json["lag"], row_json["setAside"]) == (3, 3, 0, 1)
        code, listing, _ = await output(env, "quarantine", "list")
        assert code == 0
        assert f"{TOPIC}/0/1" in listing
        assert "body" in listing
        assert "o-2" in listing
        _, listing, _ = await output(env, "quarantine", "list", "--json")
        [found] = json.loads(listing)
        assert (found["projection"], found["entry"]["offset"], found["entry"]["cause"]) == ("orders", 1, "body")
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 5.0) == 0
    await store.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_stops_while_it_waits_for_a_store(number: signal.Signals) -> None:
    env = {"HEADRACE_KAFKA_BOOTSTRAP": "127.0.0.1:1", "HEADRACE_REDIS_URL": "redis://127.0.0.1:1"}
    async with started(env, "run") as process:
        assert process.stderr
        assert b"waiting for it" in await process.stderr.readline()
        process.send_signal(number)
        assert await asyncio.wait_for(process.wait(), 5.0) == 0


async def test_stops_when_its_supervisor_is_gone(kafka: EmbeddedKafka, clean_valkey: EmbeddedValkey) -> None:
    env = environ(kafka, clean_valkey, HEADRACE_EXIT_ON_STDIN_EOF="1", HEADRACE_PROJECTIONS="payments,orders")
    async with started(env, "run", stdin=PIPE) as process:
        assert await line(process) == "ready payments, orders"
        assert process.stdin
        process.stdin.close()
        assert await asyncio.wait_for(process.wait(), 5.0) == 0


async def test_wrong_settings_are_all_listed() -> None:
    code, out, err = await output({"HEADRACE_REDIS_URL": "nowhere", "HEADRACE_BUKETS": "1"}, "run")
    assert (code, out) == (2, "")
    assert [text.split()[0] for text in err.splitlines()[1:]] == [
        "HEADRACE_KAFKA_BOOTSTRAP",
        "HEADRACE_REDIS_URL",
        "HEADRACE_BUKETS",
    ]


async def test_an_unknown_projection_is_a_wrong_setting(kafka: EmbeddedKafka, valkey: EmbeddedValkey) -> None:
    code, _, err = await output(environ(kafka, valkey, HEADRACE_PROJECTIONS="orders,ordres"), "run")
    assert code == 2
    assert "there is no projection 'ordres'; there are customers, products, orders" in err


async def test_a_store_that_may_evict_is_refused(kafka: EmbeddedKafka, valkey: EmbeddedValkey) -> None:
    async with Redis.from_url(valkey.url) as admin:
        await admin.config_set("maxmemory-policy", "allkeys-lru")
        try:
            code, _, err = await output(environ(kafka, valkey), "run")
        finally:
            await admin.config_set("maxmemory-policy", "noeviction")
    assert code == 1
    assert "set it to noeviction" in err


async def test_a_question_to_a_store_that_is_away(kafka: EmbeddedKafka, valkey: EmbeddedValkey) -> None:
    env = {**environ(kafka, valkey), "HEADRACE_REDIS_URL": "redis://127.0.0.1:1"}
    for command in (["status"], ["quarantine", "list"]):
        code, out, err = await output(env, *command)
        assert (code, out) == (1, "")
        assert "the store is away" in err
