"""The relay loses nothing and keeps each aggregate in version order, whatever the broker does."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest
from sqlalchemy import Connection, insert

from examples.shop import catalog
from examples.shop.service import outbox, relay
from examples.shop.service.database import open_engine, writing
from examples.shop.service.errors import BrokerError
from examples.shop.service.history import History, write_history
from examples.shop.service.log import Incoming
from examples.shop.service.memory import MemoryLog
from examples.shop.service.relay import Relay
from examples.shop.service.tables import outbox as outbox_table
from tests.shop.service import NOON, ServiceUnderTest, under_test
from tests.shop.test_commands import PEN

TOPIC = catalog.context.topic.name


def version(record: Incoming) -> int:
    return int(dict(record.headers)["ce_aggregateversion"])


def versions(records: Sequence[Incoming]) -> dict[bytes, list[int]]:
    """Key -> the versions, as they are in the log."""
    found: dict[bytes, list[int]] = {}
    for record in records:
        assert record.key
        found.setdefault(record.key, []).append(version(record))
    return found


def without_repeats(numbers: list[int]) -> list[int]:
    """Each number where it came first."""
    return list(dict.fromkeys(numbers))


def product(price: str, available: bool = True) -> catalog.ProductState:
    return catalog.ProductState("P", "Pen", "B", "C", Decimal(price), available)


async def load(service: ServiceUnderTest, products: int, facts: int) -> None:
    """Puts this many facts of this many products into the outbox."""
    rows = [
        History(
            f"p-{number}",
            [(catalog.ProductState(f"L-{number}", "Pen", "B", "C", Decimal(1), True), NOON)] * facts,
        )
        for number in range(products)
    ]
    await service.database.write(write_history, catalog.context, rows)


@asynccontextmanager
async def running(service: ServiceUnderTest, log: MemoryLog) -> AsyncIterator[Relay]:
    """A relay in a task of its own."""
    async with service.relay(log) as relay_under_test, asyncio.TaskGroup() as group:
        task = group.create_task(relay_under_test.run())
        try:
            yield relay_under_test
        finally:
            task.cancel()


async def publish_all(service: ServiceUnderTest, log: MemoryLog) -> None:
    """One pass of a relay over the outbox, as a process would make it that is then gone."""
    async with service.relay(log) as relay_under_test:
        while await relay_under_test.publish_once():
            pass


async def until_published(service: ServiceUnderTest) -> None:
    """Waits until the outbox is empty."""
    async with asyncio.timeout(10):
        while await service.outbox():  # noqa: ASYNC110 - a database has no event to wait for
            await asyncio.sleep(0.005)


async def test_a_fact_becomes_a_cloud_event(catalog_service: ServiceUnderTest) -> None:
    log = MemoryLog()
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = {"X-Correlation-Id": "visit-7", "traceparent": traceparent}
    key = (await catalog_service.post("/products", PEN, key="command-1", headers=headers)).json()["id"]
    await publish_all(catalog_service, log)
    (record,) = log.of(TOPIC)
    assert record.key == key.encode()
    assert record.value == (
        b'{"sku":"P-1","title":"Pen","brand":"Brand#1","category":"TIN","price":"12.30","available":true}'
    )
    assert dict(record.headers) == {
        "ce_specversion": b"1.0",
        "ce_id": f"product/{key}/0/1".encode(),
        "ce_source": b"/shop/catalog",
        "ce_type": b"shop.products.ProductState",
        "ce_time": b"2026-03-01T12:00:00Z",
        "ce_subject": f"product/{key}".encode(),
        "ce_aggregateversion": b"1",
        "ce_correlationid": b"visit-7",
        "ce_causationid": b"command-1",
        "traceparent": traceparent.encode(),
        "content-type": b"application/json",
    }


async def test_an_epoch_is_told_when_it_is_not_0(catalog_service: ServiceUnderTest) -> None:
    log = MemoryLog()
    history = [History("p-1", [(product("1.00"), NOON)], epoch=2)]
    await catalog_service.database.write(write_history, catalog.context, history)
    await publish_all(catalog_service, log)
    headers = dict(log.of(TOPIC)[0].headers)
    assert (headers["ce_aggregateepoch"], headers["ce_id"]) == (b"2", b"product/p-1/2/1")
    response = await catalog_service.client.get("/product/p-1")
    assert response.headers["aggregate-version"] == '"product/p-1";v=1;e=2'


async def test_a_removed_product_is_a_tombstone_with_its_version(catalog_service: ServiceUnderTest) -> None:
    log = MemoryLog()
    key = await catalog_service.made("/products", PEN)
    await catalog_service.post(f"/products/{key}/discontinue")
    await catalog_service.post(f"/products/{key}/remove")
    await publish_all(catalog_service, log)
    last = log.of(TOPIC)[-1]
    assert (last.key, last.value, version(last)) == (key.encode(), None, 3)


async def test_each_aggregate_is_in_version_order(catalog_service: ServiceUnderTest) -> None:
    log = MemoryLog()
    await load(catalog_service, products=500, facts=9)
    await publish_all(catalog_service, log)
    assert len(log.of(TOPIC)) == 4_500
    assert all(found == list(range(1, 10)) for found in versions(log.of(TOPIC)).values())


async def test_a_lost_answer_publishes_again_in_order(catalog_service: ServiceUnderTest) -> None:
    log = MemoryLog()
    log.lose_answers = 2
    await load(catalog_service, products=20, facts=3)
    for _ in range(2):
        with pytest.raises(BrokerError):
            await publish_all(catalog_service, log)
    assert len(await catalog_service.outbox()) == 60
    await publish_all(catalog_service, log)
    assert not await catalog_service.outbox()
    assert all(found == [1, 2, 3] * 3 for found in versions(log.of(TOPIC)).values())


async def test_a_crash_before_the_rows_are_removed_publishes_again_in_order(
    catalog_service: ServiceUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = MemoryLog()
    await load(catalog_service, products=20, facts=3)
    with monkeypatch.context() as crash:
        crash.setattr(outbox, "published", _crash)
        with pytest.raises(RuntimeError, match="crash"):
            await publish_all(catalog_service, log)
    await catalog_service.post("/products", PEN)
    await publish_all(catalog_service, log)
    assert not await catalog_service.outbox()
    found = versions(log.of(TOPIC)).values()
    assert len(found) == 21
    assert all(without_repeats(numbers) == list(range(1, len(set(numbers)) + 1)) for numbers in found)
    # Behind a repeated older state comes the newest again: compaction may keep the last record.
    assert all(numbers[-1] == max(numbers) for numbers in found)


def _crash(*_: object) -> None:
    raise RuntimeError("crash")


async def test_a_commit_wakes_it_at_once(catalog_service: ServiceUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "_LOOK_EVERY_S", 3_600)
    log = MemoryLog()
    async with running(catalog_service, log) as relay_under_test:
        await load(catalog_service, products=1, facts=1)
        relay_under_test.wake()
        await until_published(catalog_service)
        await load_more(catalog_service)
        relay_under_test.wake()
        await until_published(catalog_service)
    assert len(log.of(TOPIC)) == 2


async def test_a_commit_between_look_and_wait_wakes_it_too(
    catalog_service: ServiceUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "_LOOK_EVERY_S", 3_600)
    log = MemoryLog()
    look = Relay.publish_once

    async def look_and_be_overtaken(looking: Relay) -> bool:
        found = await look(looking)
        if not found and not log.of(TOPIC):
            await load_more(catalog_service)
            looking.wake()
        return found

    monkeypatch.setattr(Relay, "publish_once", look_and_be_overtaken)
    async with running(catalog_service, log), asyncio.timeout(10):
        while not log.of(TOPIC):
            await log.grown(1)


async def load_more(service: ServiceUnderTest) -> None:
    response = await service.post("/products", PEN)
    assert response.status_code == 201


async def test_what_another_process_wrote_is_found(any_url: str, catalog_service: ServiceUnderTest) -> None:
    log = MemoryLog()
    async with running(catalog_service, log):
        engine = open_engine(any_url)
        with writing(engine) as connection:
            write_history(connection, catalog.context, [History("p-1", [(product("1.00"), NOON)])])
        engine.dispose()
        async with asyncio.timeout(10):
            while not log.of(TOPIC):
                await log.grown(1)


async def test_a_broker_may_be_away_at_the_start_and_later(catalog_service: ServiceUnderTest) -> None:
    log = MemoryLog()
    log.away = True
    async with running(catalog_service, log):
        await load(catalog_service, products=5, facts=2)
        await asyncio.sleep(0.05)
        assert len(await catalog_service.outbox()) == 10
        log.away = False
        await until_published(catalog_service)
        log.away = True
        await load_more(catalog_service)
        await asyncio.sleep(0.05)
        assert len(await catalog_service.outbox()) == 1
        log.away = False
        await until_published(catalog_service)
    assert len(log.of(TOPIC)) == 11
    assert all(found == sorted(set(found)) for found in versions(log.of(TOPIC)).values())


async def test_it_stops_when_the_outbox_is_empty(catalog_service: ServiceUnderTest) -> None:
    log = MemoryLog()
    await load(catalog_service, products=700, facts=5)
    async with asyncio.timeout(10), catalog_service.relay(log) as relay_under_test, asyncio.TaskGroup() as group:
        group.create_task(relay_under_test.run())
        while not log.of(TOPIC):
            await log.grown(1)
        relay_under_test.stop()
    assert len(log.of(TOPIC)) == 3_500
    assert not await catalog_service.outbox()


async def test_it_stops_although_the_broker_is_away(catalog_service: ServiceUnderTest) -> None:
    log = MemoryLog()
    log.away = True
    await load(catalog_service, products=1, facts=1)
    async with asyncio.timeout(10), catalog_service.relay(log) as relay_under_test, asyncio.TaskGroup() as group:
        group.create_task(relay_under_test.run())
        await asyncio.sleep(0.02)
        relay_under_test.stop()
    assert len(await catalog_service.outbox()) == 1


def add_row(connection: Connection, key: str) -> None:
    """A fact in the outbox, as another transaction may have written it."""
    fact = outbox.row(catalog.context, key, 0, 1, product("1.00"), NOON)
    connection.execute(insert(outbox_table), [fact])


async def test_a_row_that_is_committed_late_is_not_lost(postgres_url: str) -> None:
    """Under PostgreSQL a smaller number may become visible after a larger one was published and removed."""
    log = MemoryLog()
    engine = open_engine(postgres_url)
    async with under_test(catalog.context, postgres_url) as service:
        with writing(engine) as slow:
            add_row(slow, "p-slow")
            await service.database.write(add_row, "p-fast")
            await publish_all(service, log)
            assert [record.key for record in log.of(TOPIC)] == [b"p-fast"]
        await publish_all(service, log)
    engine.dispose()
    assert {record.key for record in log.of(TOPIC)} == {b"p-fast", b"p-slow"}


async def test_two_processes_do_not_publish_at_the_same_time(postgres_url: str) -> None:
    log = MemoryLog()
    async with (
        under_test(catalog.context, postgres_url) as service,
        service.relay(log) as first,
        service.relay(log) as second,
    ):
        await service.database.write(add_row, "p-1")
        assert await first.publish_once()
        await service.database.write(add_row, "p-2")
        assert not await second.publish_once()
        assert await first.publish_once()
        await service.database.write(add_row, "p-3")
        await first.close()
        assert await second.publish_once()
    assert sorted(versions(log.of(TOPIC))) == [b"p-1", b"p-2", b"p-3"]
