"""A history that was written in bulk is as good as one that was decided here."""

from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy.exc import IntegrityError

from examples.shop import catalog, orders, payments, shipping
from examples.shop.catalog import ProductState
from examples.shop.orders import OrderCompleted, OrderConfirmed, OrderLine, OrderPlaced
from examples.shop.payments import PaymentAuthorized
from examples.shop.service.history import History, write_history
from tests.shop.service import NOON, ServiceUnderTest

DAY = timedelta(days=1)
LINE = OrderLine(1, "7", Decimal(17), Decimal("17954.55"), Decimal("0.04"), Decimal("0.02"))
PLACED = OrderPlaced("370", NOON, Decimal("17581.10"), (LINE,))


async def test_state_version_and_facts_are_there(orders_service: ServiceUnderTest) -> None:
    history = History("1", [(PLACED, NOON), (OrderConfirmed("370", NOON + DAY), NOON + DAY)])
    assert (
        await orders_service.database.write(write_history, orders.context, [history, History("2", [(PLACED, NOON)])])
        == 3
    )
    response = await orders_service.client.get("/order/1")
    assert response.headers["aggregate-version"] == '"order/1";v=2'
    assert response.json() == {
        "id": "1",
        "customerId": "370",
        "status": "CONFIRMED",
        "placedAt": "2026-03-01T12:00:00Z",
        "total": "17581.10",
        "lines": [
            {
                "number": 1,
                "productId": "7",
                "quantity": "17",
                "amount": "17954.55",
                "discount": "0.04",
                "tax": "0.02",
            }
        ],
    }
    assert [(row.key, row.version, row.type, row.time) for row in await orders_service.outbox()] == [
        ("1", 1, "shop.orders.OrderPlaced", "2026-03-01T12:00:00Z"),
        ("1", 2, "shop.orders.OrderConfirmed", "2026-03-02T12:00:00Z"),
        ("2", 1, "shop.orders.OrderPlaced", "2026-03-01T12:00:00Z"),
    ]


async def test_commands_go_on_from_there(orders_service: ServiceUnderTest, payments_service: ServiceUnderTest) -> None:
    placed = History("1", [(PLACED, NOON)])
    completed = History("2", [(PLACED, NOON), (OrderCompleted("370", NOON), NOON)])
    await orders_service.database.write(write_history, orders.context, [placed, completed])
    cancelled = await orders_service.post("/orders/1/cancel", headers={"If-Match": '"1"'})
    assert cancelled.headers["aggregate-version"] == '"order/1";v=2'
    assert (await orders_service.post("/orders/2/cancel")).json()["code"] == "ORDER_COMPLETED"

    authorized = History("pay-1", [(PaymentAuthorized("1", "370", Decimal("17581.10"), NOON), NOON)])
    await payments_service.database.write(write_history, payments.context, [authorized])
    captured = await payments_service.post("/payments/pay-1/capture", {"amount": "17581.10"})
    assert (captured.status_code, captured.json()["captured"]) == (200, "17581.10")


async def test_claims_hold_for_what_was_written(
    catalog_service: ServiceUnderTest, shipping_service: ServiceUnderTest
) -> None:
    state = ProductState("P-1", "Pen", "B", "C", Decimal("1.00"), available=True)
    await catalog_service.database.write(write_history, catalog.context, [History("1", [(state, NOON)])])
    body = {"sku": "P-1", "title": "Pen", "brand": "B", "category": "C", "price": "1"}
    refused = await catalog_service.post("/products", body)
    assert refused.json()["errors"] == [{"pointer": "#/sku", "detail": "is the sku of 1"}]

    created = shipping.ShipmentCreated("1", "370", "RAIL", (1, 2), NOON)
    await shipping_service.database.write(write_history, shipping.context, [History("1-19960313", [(created, NOON)])])
    with pytest.raises(IntegrityError):
        await shipping_service.database.write(write_history, shipping.context, [History("other", [(created, NOON)])])


async def test_a_batch_is_all_or_nothing(catalog_service: ServiceUnderTest) -> None:
    first = ProductState("P-1", "Pen", "B", "C", Decimal("1.00"), available=True)
    second = ProductState("P-2", "Pen", "B", "C", Decimal("1.00"), available=True)
    await catalog_service.database.write(write_history, catalog.context, [History("1", [(first, NOON)])])
    batch = [History("2", [(second, NOON)]), History("1", [(first, NOON)])]
    with pytest.raises(IntegrityError):
        await catalog_service.database.write(write_history, catalog.context, batch)
    assert (await catalog_service.client.get("/product/2")).status_code == 404
    assert len(await catalog_service.outbox()) == 1
