"""The projector on real servers that go away and come back: nothing lost, nothing applied twice, no restart needed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from gateway.dev.servers import EmbeddedKafka, EmbeddedValkey
from projections import worker
from projections.contexts.orders import order_docs
from projections.lag import lag_of
from projections.log.port import Partition
from projections.settings import WorkerSettings
from projections.store.port import PageQuery
from projections.store.redis import RedisStore
from tests.contract.store.conftest import page_of
from tests.integration.projector.orders import BUCKET, TOPIC, WITHIN_S, publisher, until, until_shown
from tests.reads import read

AT = Partition(TOPIC, 0)


@asynccontextmanager
async def running(kafka: EmbeddedKafka, valkey: EmbeddedValkey) -> AsyncIterator[asyncio.Event]:
    """The worker, in this process; what is yielded is set once it is ready."""
    settings = WorkerSettings(
        kafka_bootstrap=kafka.bootstrap, redis_url=valkey.url, fetch_max_wait_ms=10, session_timeout_ms=1_000
    )
    stop, ready = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(worker.run(settings, [order_docs], stop, ready.set))
        try:
            yield ready
        finally:
            stop.set()
            async with asyncio.timeout(5.0):
                await task


@pytest.fixture
async def servers(
    start_kafka: Callable[[], EmbeddedKafka], start_valkey: Callable[[], EmbeddedValkey]
) -> AsyncIterator[tuple[EmbeddedKafka, EmbeddedValkey, RedisStore]]:
    """Servers of the test's own, and a look into the store."""
    kafka, valkey = start_kafka(), start_valkey()
    store = RedisStore(valkey.url)
    yield kafka, valkey, store
    await store.close()


Servers = tuple[EmbeddedKafka, EmbeddedValkey, RedisStore]


async def test_a_restart_goes_on_where_it_was_and_applies_nothing_twice(servers: Servers) -> None:
    kafka, valkey, store = servers
    async with publisher(kafka.bootstrap) as orders:
        async with running(kafka, valkey):
            for n in range(50):
                await orders.placed(f"o-{n}")
            await orders.confirmed("o-7")
            await until_shown(store, {"o-49": 1, "o-7": 2})
        assert (await store.standing(BUCKET)).positions == {AT: 51}
        async with store.changes(BUCKET) as notices, running(kafka, valkey):
            await orders.placed("o-50")
            assert [notice.id for notice in await anext(notices)] == ["o-50"]
        assert (await store.standing(BUCKET)).positions == {AT: 52}
    _, [page], _ = await read(store, [], [PageQuery("orders", 1, 1, "by_customer", ("c-1", "CONFIRMED"), 10)])
    assert [row.id for row in page_of(page).rows] == ["o-7"]


async def test_poison_is_set_aside_with_its_coordinates_while_the_rest_goes_on(servers: Servers) -> None:
    kafka, valkey, store = servers
    async with publisher(kafka.bootstrap) as orders, running(kafka, valkey):
        for n in range(30):
            if n % 3 == 0:
                await orders.send(f"bad-{n}", 1, "OrderPlaced", b"{")
            else:
                await orders.placed(f"o-{n}")
        await orders.send("o-1", 4, "OrderConfirmed", b"{}")
        await until_shown(store, {f"o-{n}": 1 for n in range(30) if n % 3})

        async def everything_read() -> bool:
            return (await store.standing(BUCKET)).positions == {AT: 31}

        await until(everything_read, "position 31")
    expected = {f"{TOPIC}/0/{offset}" for offset in range(0, 30, 3)} | {f"{TOPIC}/0/30"}
    assert (await store.quarantined(BUCKET)).keys() == expected


async def test_a_killed_store_is_filled_again(servers: Servers) -> None:
    """Embedded Valkey keeps nothing: the worst failover there is."""
    kafka, valkey, store = servers
    async with publisher(kafka.bootstrap) as orders, running(kafka, valkey):
        for n in range(20):
            await orders.placed(f"o-{n}")
        await until_shown(store, {"o-19": 1})
        valkey.kill()
        await orders.placed("o-20")
        valkey.start()
        await until_shown(store, {f"o-{n}": 1 for n in range(21)})
        await orders.confirmed("o-20")
        await until_shown(store, {"o-20": 2})
        assert await store.quarantined(BUCKET) == {}


async def test_a_killed_broker_is_found_again(servers: Servers) -> None:
    """Embedded Tansu forgets everything: its topic begins anew, behind the stored position."""
    kafka, valkey, store = servers
    async with running(kafka, valkey) as ready:
        async with publisher(kafka.bootstrap) as orders:
            for n in range(20):
                await orders.placed(f"o-{n}")
            await until_shown(store, {"o-19": 1})
            assert ready.is_set()
        kafka.kill()
        kafka.start()
        async with publisher(kafka.bootstrap) as orders:
            await orders.confirmed("o-3")
            await orders.placed("o-20")
            await until_shown(store, {"o-3": 2, "o-20": 1, "o-19": 1})
        assert await store.quarantined(BUCKET) == {}


async def test_any_start_order(servers: Servers, caplog: pytest.LogCaptureFixture) -> None:
    kafka, valkey, store = servers
    kafka.kill()
    valkey.kill()
    async with running(kafka, valkey) as ready, asyncio.timeout(WITHIN_S):

        async def told(what: str) -> bool:
            return what in caplog.text

        await until(lambda: told("waiting for it"), "the message about the store")
        valkey.start()
        await until(lambda: told("trying again until it answers"), "the message about the broker")
        assert not ready.is_set()
        kafka.start()
        await ready.wait()
        async with publisher(kafka.bootstrap) as orders:
            await orders.placed("o-1")
            await until_shown(store, {"o-1": 1})


async def test_the_report_tells_how_far_behind(servers: Servers) -> None:
    kafka, valkey, store = servers

    async def lag() -> int | None:
        found = lag_of(await store.reports([BUCKET]))
        return found.records if found else None

    async def caught_up() -> bool:
        return await lag() == 0 and (await store.standing(BUCKET)).positions == {AT: 5}

    async with running(kafka, valkey) as ready:
        await asyncio.wait_for(ready.wait(), WITHIN_S)
        async with publisher(kafka.bootstrap) as orders:
            for n in range(5):
                await orders.placed(f"o-{n}")
            await until(caught_up, "a report without lag")
