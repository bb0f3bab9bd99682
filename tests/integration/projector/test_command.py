"""`python -m projections`, as a supervisor and an operator use it."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from gateway.dev.servers import EmbeddedKafka, EmbeddedValkey
from projections.lag import read_report
from projections.log.port import Partition
from projections.quarantine import set_aside, waiting
from projections.record import Poison, Record
from projections.store.change import BucketChange, Change
from projections.store.document import PARKED, Document
from projections.store.redis import RedisStore
from tests.integration.projector.orders import (
    BUCKET,
    LINE,
    TIME,
    TOPIC,
    WITHIN_S,
    publisher,
    until,
    until_shown,
)


def placed_record(id: str, *, offset: int) -> Record:
    """A good record as a log gives it."""
    data = {"customerId": "c-1", "placedAt": TIME, "total": "21.00", "lines": [LINE]}
    headers = {
        "ce_type": "shop.orders.OrderPlaced",
        "ce_subject": f"order/{id}",
        "ce_aggregateversion": "1",
        "ce_time": TIME,
    }
    pairs = tuple((name, value.encode()) for name, value in headers.items())
    return Record(TOPIC, 0, offset, id.encode(), json.dumps(data).encode(), pairs, 1_000)


def environ(kafka: EmbeddedKafka, valkey: EmbeddedValkey, **more: str) -> dict[str, str]:
    return {
        "PATH": os.defpath,
        "HEADRACE_KAFKA_BOOTSTRAP": kafka.bootstrap,
        "HEADRACE_REDIS_URL": valkey.url,
        "HEADRACE_FETCH_MAX_WAIT_MS": "10",
        "HEADRACE_SESSION_TIMEOUT_MS": "1000",
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


@pytest.fixture
async def store(clean_valkey: EmbeddedValkey) -> AsyncIterator[RedisStore]:
    found = RedisStore(clean_valkey.url)
    yield found
    await found.close()


async def status_of(env: Mapping[str, str], partition: str) -> dict[str, object]:
    """The row of a partition; empty before it is there."""
    code, out, _ = await output(env, "status", "--json")
    assert code == 0
    return next((row for row in json.loads(out) if row["partition"] == partition), {})


async def test_a_day_of_an_operator(
    start_kafka: Callable[[], EmbeddedKafka], clean_valkey: EmbeddedValkey, store: RedisStore
) -> None:
    """A poison order parks, everything else goes on; it is looked at, tried again and given up while the worker runs."""
    kafka = start_kafka()
    env = environ(kafka, clean_valkey, HEADRACE_PROJECTIONS="orders")
    async with publisher(kafka.bootstrap) as orders, started(env, "run") as process:
        assert await line(process) == "ready orders"
        await orders.placed("o-1")
        await orders.send("o-2", 1, "OrderPlaced", b'{"customerId":7}')
        await orders.confirmed("o-2")
        await orders.placed("o-3")
        await until_shown(store, {"o-1": 1, "o-3": 1})

        async def reported() -> bool:
            [report] = await store.reports([BUCKET])
            lag = read_report(report).get(Partition(TOPIC, 0))
            return lag is not None and (lag.next, lag.end, lag.state) == (4, 4, "running")

        await until(reported, "the report")
        row = await status_of(env, f"{TOPIC}/0")
        assert (row["position"], row["lag"], row["parked"], row["setAside"], row["built"]) == (4, 0, 1, 2, True)
        assert row["owner"]
        code, table, _ = await output(env, "status")
        assert code == 0
        assert table.splitlines()[1].split()[:3] == ["orders", f"{TOPIC}/0", "0"]
        code, listing, _ = await output(env, "quarantine", "list")
        assert code == 0
        assert all(text in listing for text in ("o-2", "body"))
        _, shown, _ = await output(env, "quarantine", "show", "orders", "o-2")
        assert [found["version"] for found in json.loads(shown)["records"]] == [1, 2]
        assert json.loads(shown)["records"][0]["value"] == {"text": '{"customerId":7}'}
        code, _, err = await output(env, "quarantine", "retry", "orders", "o-2")
        assert (code, "version 1 cannot be used (body" in err) == (3, True)
        code, gone, err = await output(env, "quarantine", "drop", "orders", "o-2")  # a `--yes` that was forgotten
        assert (code, gone, "--yes" in err) == (2, "", True)
        code, gone, err = await output(env, "quarantine", "drop", "orders", "o-2", "--yes")
        assert code == 0
        assert json.loads(gone)["records"][0]["value"] == {"text": '{"customerId":7}'}
        assert "now at version 2, not parked any more" in err
        await orders.placed("o-2", version=3)
        await until_shown(store, {"o-2": 3})
        _, listing, _ = await output(env, "quarantine", "list")
        assert listing == "nothing is set aside\n"
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 5.0) == 0


async def test_a_gap_that_is_filled_late_drains_by_itself(
    start_kafka: Callable[[], EmbeddedKafka], clean_valkey: EmbeddedValkey, store: RedisStore
) -> None:
    kafka = start_kafka()
    env = environ(kafka, clean_valkey, HEADRACE_PROJECTIONS="orders")
    async with publisher(kafka.bootstrap) as orders, started(env, "run") as process:
        assert await line(process) == "ready orders"
        await orders.placed("o-7")
        await orders.send("o-7", 4, "SomethingElse", b"{}")
        await orders.send("o-7", 3, "SomethingElse", b"{}")

        async def parked() -> bool:
            [queue] = await store.queued(BUCKET, ["o-7"])
            return len(queue) == 2

        await until(parked, "the aggregate to be parked")
        _, listing, _ = await output(env, "quarantine", "list", "--projection", "orders", "--json")
        [found] = json.loads(listing)["parked"]
        assert (found["id"], found["depth"], found["missingFrom"], found["missingTo"]) == ("o-7", 2, 2, 2)
        await orders.confirmed("o-7")
        await until_shown(store, {"o-7": 4})
        [document] = await store.documents(BUCKET, ["o-7"])
        assert document is not None
        assert (document.flags, b"CONFIRMED" in (document.view or b"")) == (0, True)
        _, listing, _ = await output(env, "quarantine", "list")
        assert listing == "nothing is set aside\n"


async def test_what_older_code_set_aside_is_taken(
    kafka: EmbeddedKafka, clean_valkey: EmbeddedValkey, store: RedisStore
) -> None:
    """As after a mended deploy: one record waits behind its aggregate, another is loose, both are good by now."""
    env = environ(kafka, clean_valkey, HEADRACE_PROJECTIONS="orders")
    await store.check()
    first = placed_record("o-8", offset=0)
    second = placed_record("o-9", offset=1)
    kept = waiting(Poison("evolve", "a defect", first, "o-8", 0, 1, 0), 1_000)
    change = Change("o-8", None, Document(0, 0, 0, None, PARKED), [kept])
    aside = [set_aside(Poison("headers", "a defect", second), 1_000)]
    await store.apply(BucketChange(BUCKET, changes=[change], set_aside=aside))
    code, _, err = await output(env, "quarantine", "retry", "orders", "--all")
    assert (code, sorted(err.splitlines())) == (
        0,
        ["o-8: 1 record taken, now at version 1, not parked any more", f"{TOPIC}/0/1: taken"],
    )
    await until_shown(store, {"o-8": 1, "o-9": 1})


async def test_a_terminal_shows_a_table_that_lives(kafka: EmbeddedKafka, clean_valkey: EmbeddedValkey) -> None:
    ours, theirs = pty.openpty()
    env = environ(kafka, clean_valkey)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "projections", "status", env=env, stdin=theirs, stdout=theirs, stderr=DEVNULL
    )
    os.close(theirs)
    shown = b""
    try:
        async with asyncio.timeout(WITHIN_S):
            while shown.count(b"\x1b[H") < 2:
                shown += await asyncio.to_thread(os.read, ours, 4096)
            process.send_signal(signal.SIGINT)
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(ours)
    assert b"never ran" in shown
    assert b"orders" in shown


async def test_names_that_lead_nowhere(kafka: EmbeddedKafka, clean_valkey: EmbeddedValkey) -> None:
    env = environ(kafka, clean_valkey)
    code, out, err = await output(env, "quarantine", "show", "order", "o-1")
    assert (code, out) == (2, "")
    assert "there is no projection or timeline 'order'; there are customers" in err
    code, out, err = await output(env, "quarantine", "drop", "orders", "o-1")
    assert (code, out, err) == (2, "", "orders has nothing set aside for 'o-1'; nothing is\n")


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
        "HEADRACE_REDIS_URL",
        "HEADRACE_KAFKA_BOOTSTRAP",
        "HEADRACE_BUKETS",
    ]


async def test_what_asks_the_store_alone_needs_to_know_of_no_broker(clean_valkey: EmbeddedValkey) -> None:
    env = {"HEADRACE_REDIS_URL": clean_valkey.url, "HEADRACE_PROJECTIONS": "orders", "HEADRACE_GROUP": "another"}
    code, out, err = await output(env, "status")
    assert (code, err) == (0, "")
    assert "never ran" in out
    assert await output(env, "quarantine", "list") == (0, "nothing is set aside\n", "")
    code, out, err = await output({**env, "HEADRACE_GRUOP": "1", "HEADRACE_REDIS_URL": ""}, "quarantine", "list")
    assert (code, out) == (2, "")
    assert [text.split()[0] for text in err.splitlines()[1:]] == ["HEADRACE_REDIS_URL", "HEADRACE_GRUOP"]


async def test_a_standard_input_that_was_closed(clean_valkey: EmbeddedValkey) -> None:
    command = f"exec {sys.executable} -m projections quarantine list <&-"
    env = {"HEADRACE_REDIS_URL": clean_valkey.url}
    process = await asyncio.create_subprocess_shell(command, env=env, stdout=PIPE, stderr=PIPE)
    out, err = await process.communicate()
    assert (process.returncode, out, err) == (0, b"nothing is set aside\n", b"")


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
