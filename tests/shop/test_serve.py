"""The shop as processes on a real broker: start, stop, crashes, and a broker that comes late or goes."""

import asyncio
import signal
import socket
from collections import defaultdict
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from examples.shop import catalog, orders
from examples.shop.contexts import CONTEXTS
from examples.shop.serve import serve
from examples.shop.service.database import create_tables, open_engine, writing
from examples.shop.service.errors import SettingsError
from examples.shop.service.history import History, write_history
from examples.shop.service.log import Incoming
from examples.shop.service.outbox import pending
from examples.shop.settings import read_settings
from gateway.dev.ports import LOOPBACK, free_port
from gateway.dev.servers import EmbeddedKafka
from tests.shop.process import Shop, read_topic, shop
from tests.shop.service import NOON
from tests.until import until

ALL = ["customers", "catalog", "orders", "payments", "shipping"]
PEN = {"sku": "P-1", "title": "Pen", "brand": "Brand#1", "category": "TIN", "price": "12.30"}


def buy(process: Shop) -> str:
    """A purchase from registration to delivery; returns the order."""
    customer = process.post("customers", "/customers", {"name": "Ada", "segment": "BUILDING", "nation": "FRANCE"})["id"]
    product = process.post("catalog", "/products", PEN)["id"]
    lines = [{"product": product, "quantity": "2"}, {"product": product, "quantity": "0.5"}]
    order = process.post("orders", "/orders", {"customer": customer, "lines": lines})
    key: str = order["id"]
    assert order["total"] == "30.75"
    payment = process.post("payments", "/payments", {"order": key, "amount": "30.75"})["id"]
    process.post("payments", f"/payments/{payment}/capture", {"amount": "30.75"})
    for number in (1, 2):
        shipment = process.post("shipping", "/shipments", {"order": key, "lineNumbers": [number]})["id"]
        process.post("shipping", f"/shipments/{shipment}/dispatch")
        process.post("shipping", f"/shipments/{shipment}/confirm-delivery")
    return key


def versions(records: Sequence[Incoming]) -> dict[bytes, list[int]]:
    found: dict[bytes, list[int]] = defaultdict(list)
    for record in records:
        found[record.key or b""].append(int(dict(record.headers)["ce_aggregateversion"]))
    return found


def test_all_five_in_one_process(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    """A purchase as fast as a client can send it: what a service has not heard of yet, it waits for."""
    with shop(kafka.bootstrap, tmp_path) as process:
        assert list(process.urls) == ALL
        order = buy(process)
        until(lambda: process.get("orders", f"/order/{order}")["status"] == "COMPLETED", what="completion")
        assert process.ended(signal.SIGTERM) == 0


async def test_one_by_one(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    with shop(kafka.bootstrap, tmp_path, "customers") as first, shop(kafka.bootstrap, tmp_path, "catalog") as second:
        assert (list(first.urls), list(second.urls)) == (["customers"], ["catalog"])
        product = await asyncio.to_thread(second.post, "catalog", "/products", PEN)
        assert await asyncio.to_thread(second.ended, signal.SIGINT) == 0
        found = versions(await read_topic(kafka.bootstrap, catalog.context.topic))
        assert found[product["id"].encode()] == [1]


def test_a_port_as_set_and_the_end_of_stdin_stops_it_when_asked_to(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    port = free_port()
    settings = {"SHOP_PORTS": f"catalog={port}", "SHOP_EXIT_ON_STDIN_EOF": "1"}
    with shop(kafka.bootstrap, tmp_path, "catalog", settings=settings) as process:
        assert process.urls == {"catalog": f"http://{LOOPBACK}:{port}"}
        assert process.process.stdin
        process.process.stdin.close()
        assert process.ended() == 0


async def test_ports_that_are_taken_are_all_named(tmp_path: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        environ = {
            "SHOP_KAFKA_BOOTSTRAP": "127.0.0.1:9092",
            "SHOP_DATA": str(tmp_path),
            "SHOP_PORTS": f"orders={port},shipping={port}",
        }
        with pytest.raises(SettingsError) as wrong:
            await serve(read_settings(environ, ALL), CONTEXTS, print)
    assert [problem.split()[0] for problem in wrong.value.problems] == ["orders", "shipping"]


async def test_a_broker_may_come_late_and_go_and_come_back(
    start_kafka: Callable[[], EmbeddedKafka], tmp_path: Path
) -> None:
    broker = await asyncio.to_thread(start_kafka)
    await asyncio.to_thread(broker.kill)
    with shop(broker.bootstrap, tmp_path, "catalog", "orders") as process:
        product = (await asyncio.to_thread(process.post, "catalog", "/products", PEN))["id"]
        await asyncio.to_thread(broker.start)
        order = {"customer": "c-1", "lines": [{"product": product, "quantity": "1"}]}
        await asyncio.to_thread(until, lambda: placed(process, order), 10, "the product in orders")
        await asyncio.to_thread(broker.kill)
        for price in range(1, 6):
            await asyncio.to_thread(process.post, "catalog", f"/products/{product}/price", {"price": f"{price}"})
        await asyncio.to_thread(broker.start)
        await asyncio.to_thread(until, lambda: not left(tmp_path, "catalog"), 10, "publication")
        # The embedded broker forgot what it had; what it did not have is there, in order, some of it perhaps twice.
        found = versions(await read_topic(broker.bootstrap, catalog.context.topic))
        assert list(dict.fromkeys(found[product.encode()])) == [2, 3, 4, 5, 6]


def placed(process: Shop, order: Any) -> bool:
    try:
        process.post("orders", "/orders", order)
    except AssertionError:
        return False
    return True


def left(data: Path, service: str) -> int:
    """How much of a service's outbox is not published."""
    engine = open_engine(f"sqlite:///{data}/{service}.sqlite")
    with engine.connect() as connection:
        count = len(pending(connection, 1_000_000))
    engine.dispose()
    return count


async def test_it_stops_in_time_while_the_broker_is_away(tmp_path: Path) -> None:
    with shop(f"{LOOPBACK}:{free_port()}", tmp_path) as process:
        await asyncio.to_thread(process.post, "catalog", "/products", PEN)
        assert await asyncio.to_thread(process.ended, signal.SIGTERM) == 0
    assert left(tmp_path, "catalog") == 1


async def test_it_stops_in_time_when_the_broker_goes_silent(
    start_kafka: Callable[[], EmbeddedKafka], tmp_path: Path
) -> None:
    broker = await asyncio.to_thread(start_kafka)
    with shop(broker.bootstrap, tmp_path, "catalog", "orders") as process:
        await asyncio.to_thread(process.post, "catalog", "/products", PEN)
        await asyncio.to_thread(until, lambda: not left(tmp_path, "catalog"))
        await asyncio.to_thread(broker.kill)
        await asyncio.to_thread(process.post, "catalog", "/products", PEN | {"sku": "P-2"})
        assert await asyncio.to_thread(process.ended, signal.SIGTERM) == 0
    assert left(tmp_path, "catalog") == 1


async def test_killed_while_publishing_nothing_is_lost_and_the_order_kept(
    start_kafka: Callable[[], EmbeddedKafka], tmp_path: Path
) -> None:
    """kill -9 in the middle of a bulk load, again and again, until all is published."""
    broker = await asyncio.to_thread(start_kafka)
    count, kills = 6_000, 0
    load(tmp_path, count)
    while left(tmp_path, "orders"):
        before = left(tmp_path, "orders")
        with Shop(broker.bootstrap, tmp_path, ["orders"]) as process:
            await asyncio.to_thread(process.until_ready)
            if kills < 2:
                await asyncio.to_thread(until, partial(fewer, tmp_path, before))
                kills += 1
            else:
                await asyncio.to_thread(until, lambda: not left(tmp_path, "orders"))
    found = versions(await read_topic(broker.bootstrap, orders.context.topic))
    assert len(found) == count
    assert {tuple(dict.fromkeys(numbers)) for numbers in found.values()} == {(1, 2)}
    assert all(numbers[-1] == 2 for numbers in found.values())


def fewer(data: Path, before: int) -> bool:
    return left(data, "orders") < before


def load(data: Path, count: int) -> None:
    """Orders of two facts each, with nobody to publish them yet."""
    engine = open_engine(f"sqlite:///{data}/orders.sqlite")
    create_tables(engine, orders.context.tables)
    placed = orders.OrderPlaced("c-1", NOON, Decimal("1.00"), ())
    facts = [(placed, NOON), (orders.OrderConfirmed("c-1", NOON), NOON)]
    with writing(engine) as connection:
        write_history(connection, orders.context, [History(f"o-{number}", facts) for number in range(count)])
    engine.dispose()
