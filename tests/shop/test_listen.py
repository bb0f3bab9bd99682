"""What other services say is kept once and in order, and an order is completed when all its lines have arrived."""

import json
import logging
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from examples.shop import catalog, orders, shipping
from examples.shop.service import aggregates
from examples.shop.service.history import History, write_history
from examples.shop.service.listen import stored_positions
from examples.shop.service.log import Incoming, Outgoing
from examples.shop.service.memory import MemoryLog
from tests.shop.service import NOON, Elsewhere, ServiceUnderTest

PRODUCT = json.dumps({"price": "12.30", "available": True, "sku": "P-1", "new": {"field": 1}})


def product(key: str) -> Elsewhere:
    return Elsewhere(catalog.context.topic, key)


def shipment(key: str) -> Elsewhere:
    return Elsewhere(shipping.context.topic, key)


def delivered(order: str, lines: Sequence[int]) -> str:
    return json.dumps(
        {"orderId": order, "customerId": "c-1", "lineNumbers": lines, "deliveredAt": "2026-03-02T08:00:00Z"}
    )


async def place(service: ServiceUnderTest, lines: int) -> str:
    """An order with this many lines."""
    await service.hear(product("p-1").tells("ProductState", PRODUCT))
    return await service.made("/orders", {"customer": "c-1", "lines": [{"product": "p-1", "quantity": "1"}] * lines})


async def status(service: ServiceUnderTest, order: str) -> tuple[str, str]:
    response = await service.client.get(f"/order/{order}")
    return response.json()["status"], response.headers["aggregate-version"].rpartition(";")[2]


class TestKeeping:
    async def test_the_newest_state_of_a_product_is_kept(self, orders_service: ServiceUnderTest) -> None:
        pen = product("p-1")
        first, second = (
            pen.tells("ProductState", PRODUCT),
            pen.tells("ProductState", '{"price":"9.90","available":false}'),
        )
        await orders_service.hear(first, second)
        after = await orders_service.kept()
        assert after == {"p-1": (2, b'{"price":"9.90","available":false}')}
        await orders_service.hear(first)
        await orders_service.hear(second, first, second)
        assert await orders_service.kept() == after

    async def test_a_tombstone_forgets_all_but_the_version(self, orders_service: ServiceUnderTest) -> None:
        pen = product("p-1")
        state = pen.tells("ProductState", PRODUCT)
        await orders_service.hear(state)
        await orders_service.hear(pen.tells("ProductRemoved", None))
        await orders_service.hear(state)
        assert await orders_service.kept() == {"p-1": (2, None)}

    async def test_a_later_epoch_begins_again_at_1(self, orders_service: ServiceUnderTest) -> None:
        pen = product("p-1")
        await orders_service.hear(pen.tells("ProductState", PRODUCT, version=7))
        await orders_service.hear(pen.tells("ProductState", '{"price":"1.00","available":true}', version=1, epoch=1))
        await orders_service.hear(pen.tells("ProductState", PRODUCT, version=8))
        assert await orders_service.kept() == {"p-1": (1, b'{"price":"1.00","available":true}')}

    async def test_types_that_nobody_asked_for_only_move_the_version(self, orders_service: ServiceUnderTest) -> None:
        pen = product("p-1")
        await orders_service.hear(pen.tells("ProductState", PRODUCT), pen.tells("ProductPraised", "[1]"))
        assert await orders_service.kept() == {"p-1": (2, b'{"price":"12.30","available":true}')}

    async def test_positions_are_kept_with_what_was_heard(self, orders_service: ServiceUnderTest) -> None:
        pen = product("p-1")
        await orders_service.hear(pen.tells("ProductState", PRODUCT), pen.tells("ProductState", PRODUCT))
        assert await orders_service.database.read(stored_positions) == {("shop.products", 0): 3}
        await orders_service.hear(pen.tells("ProductState", PRODUCT))
        assert await orders_service.database.read(stored_positions) == {("shop.products", 0): 4}


def broken(**changes: Any) -> Incoming:
    """A record of a product that cannot be read."""
    return product("p-1").tells("ProductState", PRODUCT)._replace(**changes)


def with_headers(**headers: bytes | None) -> Incoming:
    record = broken()
    kept = dict(record.headers) | headers
    return record._replace(headers=[(name, value) for name, value in kept.items() if value is not None])


@pytest.mark.parametrize(
    "record",
    [
        broken(value=b"{"),
        broken(value=b""),
        broken(value=b'{"price":"abc","available":true}'),
        broken(value=b'{"available":true}'),
        broken(value=b"\xff"),
        broken(key=None),
        broken(key=b"p-2"),
        broken(key=b"\xff"),
        broken(headers=[]),
        with_headers(ce_type=None),
        with_headers(ce_type=b"\xff"),
        with_headers(ce_subject=b"order/p-1"),
        with_headers(ce_aggregateversion=None),
        with_headers(ce_aggregateversion=b"0"),
        with_headers(ce_aggregateversion=b"-1"),
        with_headers(ce_aggregateversion=b"2147483648"),
        with_headers(ce_aggregateversion=b"1.5"),
        with_headers(ce_aggregateepoch=b"x"),
        with_headers(ce_aggregateepoch=b"2147483648"),
    ],
)
async def test_an_unreadable_record_is_logged_and_skipped(
    orders_on_sqlite: ServiceUnderTest, record: Incoming, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    await orders_on_sqlite.hear(record, product("p-9").tells("ProductState", PRODUCT))
    assert set(await orders_on_sqlite.kept()) == {"p-9"}
    assert f"skipped shop.products[0]@{record.offset}" in caplog.text


@pytest.mark.parametrize("key", ["x" * 200, "a\x00b", "a:b", ""])
async def test_an_impossible_key_is_skipped(orders_service: ServiceUnderTest, key: str) -> None:
    await orders_service.hear(product(key).tells("ProductState", PRODUCT))
    assert not await orders_service.kept()


@pytest.mark.parametrize(("order", "lines"), [("x" * 200, [1]), ("a\x00b", [1]), ("o-1", [2**40]), ("o-1", [0])])
async def test_an_impossible_delivery_is_skipped(
    orders_service: ServiceUnderTest, order: str, lines: list[int]
) -> None:
    await orders_service.hear(shipment("s-1").tells("ShipmentDelivered", delivered(order, lines)))
    assert not await orders_service.kept()


async def test_a_heartbeat_is_no_news_and_no_trouble(
    orders_service: ServiceUnderTest, caplog: pytest.LogCaptureFixture
) -> None:
    await orders_service.hear(broken(key=None, value=b"{}", headers=[("ce_type", b"headrace.heartbeat")]))
    assert not await orders_service.kept()
    assert not caplog.records


class TestCompletion:
    async def test_an_order_is_completed_by_its_last_delivery(self, orders_service: ServiceUnderTest) -> None:
        order = await place(orders_service, lines=3)
        some, rest = shipment("s-1"), shipment("s-2")
        assert not await orders_service.hear(some.tells("ShipmentCreated", "{}"))
        assert not await orders_service.hear(some.tells("ShipmentDelivered", delivered(order, [1, 3])))
        assert await status(orders_service, order) == ("PLACED", "v=1")
        assert await orders_service.hear(rest.tells("ShipmentDelivered", delivered(order, [2])))
        assert await status(orders_service, order) == ("COMPLETED", "v=2")
        completed = (await orders_service.outbox())[-1]
        assert (completed.key, completed.version, completed.type) == (order, 2, "shop.orders.OrderCompleted")
        assert json.loads(completed.data or b"") == {"customerId": "c-1", "completedAt": "2026-03-01T12:00:00Z"}

    async def test_both_deliveries_in_one_batch(self, orders_service: ServiceUnderTest) -> None:
        order = await place(orders_service, lines=2)
        records = [shipment(f"s-{line}").tells("ShipmentDelivered", delivered(order, [line])) for line in (1, 2)]
        assert await orders_service.hear(*records)
        assert await status(orders_service, order) == ("COMPLETED", "v=2")

    async def test_duplicates_and_replays_change_nothing(self, orders_service: ServiceUnderTest) -> None:
        order = await place(orders_service, lines=2)
        first = shipment("s-1").tells("ShipmentDelivered", delivered(order, [1]))
        second = shipment("s-2").tells("ShipmentDelivered", delivered(order, [2]))
        for batch in ([first, first], [first], [second, first], [second], [first, second]):
            await orders_service.hear(*batch)
        assert await status(orders_service, order) == ("COMPLETED", "v=2")
        assert [row.version for row in await orders_service.outbox()] == [1, 2]

    async def test_a_confirmed_order_is_completed_and_a_cancelled_one_is_not(
        self, orders_service: ServiceUnderTest
    ) -> None:
        confirmed, cancelled = await place(orders_service, lines=1), await place(orders_service, lines=1)
        await orders_service.post(f"/orders/{confirmed}/confirm")
        await orders_service.post(f"/orders/{cancelled}/cancel", {"reason": "too late"})
        deliveries = [
            shipment(f"s-{order}").tells("ShipmentDelivered", delivered(order, [1])) for order in (confirmed, cancelled)
        ]
        await orders_service.hear(*deliveries)
        assert await status(orders_service, confirmed) == ("COMPLETED", "v=3")
        assert await status(orders_service, cancelled) == ("CANCELLED", "v=2")

    async def test_a_delivery_may_come_before_the_loaded_order_and_leaves_a_completed_one_alone(
        self, orders_service: ServiceUnderTest
    ) -> None:
        await orders_service.hear(shipment("s-1").tells("ShipmentDelivered", delivered("o-1", [1])))
        placed = orders.OrderPlaced("c-1", NOON, Decimal("1.00"), ())
        history = [History("o-1", [(placed, NOON), (orders.OrderCompleted("c-1", NOON), NOON)])]
        await orders_service.database.write(write_history, orders.context, history)
        await orders_service.hear(shipment("s-2").tells("ShipmentDelivered", delivered("o-1", [2])))
        assert await status(orders_service, "o-1") == ("COMPLETED", "v=2")

    async def test_what_follows_is_committed_with_the_position_or_not_at_all(
        self, orders_service: ServiceUnderTest, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        order = await place(orders_service, lines=1)
        before = await orders_service.kept(), await orders_service.database.read(stored_positions)
        delivery = shipment("s-1").tells("ShipmentDelivered", delivered(order, [1]))
        with monkeypatch.context() as crash:
            crash.setattr("examples.shop.service.listen._store_positions", _crash)
            with pytest.raises(RuntimeError, match="crash"):
                await orders_service.hear(delivery)
        assert (await orders_service.kept(), await orders_service.database.read(stored_positions)) == before
        assert await status(orders_service, order) == ("PLACED", "v=1")
        await orders_service.hear(delivery)
        assert await status(orders_service, order) == ("COMPLETED", "v=2")


def _crash(*_: object) -> None:
    raise RuntimeError("crash")


class TestLoop:
    async def test_a_listener_goes_on_where_it_stopped_and_says_what_it_recorded(
        self, orders_service: ServiceUnderTest
    ) -> None:
        log = MemoryLog()
        order = await place(orders_service, lines=1)
        publish(log, product("p-2").tells("ProductState", PRODUCT))
        first = orders_service.listener(log)
        await first.open()
        assert await first.listen_once() == 1
        publish(log, shipment("s-1").tells("ShipmentDelivered", delivered(order, [1])))
        second = orders_service.listener(log)
        await second.open()
        commits = len(orders_service.commits)
        assert await second.listen_once() == 1
        assert len(orders_service.commits) == commits + 1
        assert await second.listen_once() == 0
        assert await status(orders_service, order) == ("COMPLETED", "v=2")

    async def test_a_log_that_was_made_anew_is_read_from_its_beginning(self, orders_service: ServiceUnderTest) -> None:
        log = MemoryLog(partitions=1)
        listener = orders_service.listener(log)
        await listener.open()
        pen = product("p-1")
        for _ in range(3):
            publish(log, pen.tells("ProductState", PRODUCT))
        await listener.listen_once()
        log.forget()
        publish(log, pen.tells("ProductState", '{"price":"1.00","available":true}'))
        assert await listener.listen_once() == 1
        assert await orders_service.kept() == {"p-1": (4, b'{"price":"1.00","available":true}')}


def publish(log: MemoryLog, record: Incoming) -> None:
    log.append(record.topic, Outgoing(record.key or b"", record.value, record.headers))


async def test_the_aggregates_table_is_the_only_truth_of_a_version(orders_service: ServiceUnderTest) -> None:
    order = await place(orders_service, lines=1)
    stored = await orders_service.database.read(aggregates.look, orders.context, order)
    assert stored is not None
    assert (stored.version, stored.epoch) == (1, 0)
