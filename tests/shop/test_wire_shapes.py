"""Every fact as it is on the wire, field by field: what the read models are written against."""

import json
from typing import Any

from examples.shop import catalog, orders
from tests.shop.service import Elsewhere, ServiceUnderTest

AT = "2026-03-01T12:00:00Z"


async def facts(service: ServiceUnderTest) -> list[tuple[str, Any]]:
    """The facts so far: the end of the type, the data."""
    prefix = f"{service.context.topic.name}."
    return [
        (row.type.removeprefix(prefix), None if row.data is None else json.loads(row.data))
        for row in await service.outbox()
    ]


async def test_customers(customers_service: ServiceUnderTest) -> None:
    body = {"name": "Ada", "segment": "BUILDING", "nation": "FRANCE"}
    key = await customers_service.made("/customers", body | {"email": "ada@example.org"})
    await customers_service.post(f"/customers/{key}/contact", {"name": "Ada L.", "email": None})
    assert await facts(customers_service) == [
        ("CustomerState", body | {"email": "ada@example.org", "since": "2026-03-01"}),
        ("CustomerState", body | {"name": "Ada L.", "email": None, "since": "2026-03-01"}),
    ]
    (row, _) = await customers_service.outbox()
    assert (row.aggregate, customers_service.context.topic.name) == ("customer", "shop.customers")


async def test_products(catalog_service: ServiceUnderTest) -> None:
    body = {"sku": "P-1", "title": "Pen", "brand": "Brand#1", "category": "TIN"}
    key = await catalog_service.made("/products", body | {"price": "12.3"})
    await catalog_service.post(f"/products/{key}/price", {"price": "1e2"})
    await catalog_service.post(f"/products/{key}/discontinue")
    await catalog_service.post(f"/products/{key}/remove")
    assert await facts(catalog_service) == [
        ("ProductState", body | {"price": "12.30", "available": True}),
        ("ProductState", body | {"price": "100.00", "available": True}),
        ("ProductState", body | {"price": "100.00", "available": False}),
        ("ProductRemoved", None),
    ]


async def test_orders(orders_service: ServiceUnderTest) -> None:
    product = Elsewhere(catalog.context.topic, "p-1")
    await orders_service.hear(product.tells("ProductState", '{"price": "12.30", "available": true}'))
    order = {
        "customer": "c-1",
        "lines": [{"product": "p-1", "quantity": "1e1"}, {"product": "p-1", "quantity": "0.250"}],
    }
    key = await orders_service.made("/orders", order)
    await orders_service.post(f"/orders/{key}/confirm")
    await orders_service.post(f"/orders/{key}/cancel", {"reason": "too late"})
    other = await orders_service.made("/orders", order)
    await orders_service.post(f"/orders/{other}/cancel", {"order": other})
    free = {"discount": "0.00", "tax": "0.00"}
    placed = {
        "customerId": "c-1",
        "placedAt": AT,
        "total": "126.08",
        "lines": [
            {"number": 1, "productId": "p-1", "quantity": "10", "amount": "123.00", **free},
            {"number": 2, "productId": "p-1", "quantity": "0.250", "amount": "3.08", **free},
        ],
    }
    assert await facts(orders_service) == [
        ("OrderPlaced", placed),
        ("OrderConfirmed", {"customerId": "c-1", "confirmedAt": AT}),
        ("OrderCancelled", {"customerId": "c-1", "reason": "too late", "cancelledAt": AT}),
        ("OrderPlaced", placed),
        ("OrderCancelled", {"customerId": "c-1", "reason": None, "cancelledAt": AT}),
    ]


PLACED = json.dumps({"customerId": "c-1", "placedAt": AT, "total": "1.00", "lines": [{"number": 1}, {"number": 2}]})


async def test_payments(payments_service: ServiceUnderTest) -> None:
    await payments_service.hear(Elsewhere(orders.context.topic, "o-1").tells("OrderPlaced", PLACED))
    key = await payments_service.made("/payments", {"order": "o-1", "amount": "43.05"})
    await payments_service.post(f"/payments/{key}/capture", {"amount": "40"})
    await payments_service.post(f"/payments/{key}/capture", {"amount": "3.05"})
    await payments_service.post(f"/payments/{key}/refund", {"amount": "1.5"})
    other = await payments_service.made("/payments", {"order": "o-1", "amount": "43.05"})
    await payments_service.post(f"/payments/{other}/fail", {"reason": "no funds"})
    order = {"orderId": "o-1", "customerId": "c-1"}
    assert key.startswith("pay-")
    assert await facts(payments_service) == [
        ("PaymentAuthorized", {**order, "amount": "43.05", "authorizedAt": AT}),
        ("PaymentCaptured", {**order, "amount": "40.00", "capturedAt": AT}),
        ("PaymentCaptured", {**order, "amount": "3.05", "capturedAt": AT}),
        ("PaymentRefunded", {**order, "amount": "1.50", "refundedAt": AT}),
        ("PaymentAuthorized", {**order, "amount": "43.05", "authorizedAt": AT}),
        ("PaymentFailed", {**order, "reason": "no funds", "failedAt": AT}),
    ]
    assert (await payments_service.client.get(f"/payment/{key}")).json() == {
        "id": key,
        **order,
        "status": "CAPTURED",
        "amount": "43.05",
        "captured": "43.05",
        "refunded": "1.50",
        "authorizedAt": AT,
    }


async def test_shipments(shipping_service: ServiceUnderTest) -> None:
    await shipping_service.hear(Elsewhere(orders.context.topic, "o-1").tells("OrderPlaced", PLACED))
    key = await shipping_service.made("/shipments", {"order": "o-1", "lineNumbers": [2, 1], "carrier": "RAIL"})
    await shipping_service.post(f"/shipments/{key}/dispatch")
    await shipping_service.post(f"/shipments/{key}/fail", {"reason": "nobody at home"})
    await shipping_service.post(f"/shipments/{key}/dispatch")
    await shipping_service.post(f"/shipments/{key}/confirm-delivery")
    order = {"orderId": "o-1", "customerId": "c-1"}
    assert await facts(shipping_service) == [
        ("ShipmentCreated", {**order, "carrier": "RAIL", "lineNumbers": [1, 2], "createdAt": AT}),
        ("ShipmentDispatched", {**order, "dispatchedAt": AT}),
        ("DeliveryFailed", {**order, "reason": "nobody at home", "failedAt": AT}),
        ("ShipmentDispatched", {**order, "dispatchedAt": AT}),
        ("ShipmentDelivered", {**order, "lineNumbers": [1, 2], "deliveredAt": AT}),
    ]


async def test_lines_travel_once_and_only_those_of_the_order(shipping_service: ServiceUnderTest) -> None:
    elsewhere = Elsewhere(orders.context.topic, "o-1")
    await shipping_service.hear(elsewhere.tells("OrderPlaced", PLACED))
    first = await shipping_service.made("/shipments", {"order": "o-1", "lineNumbers": [1]})
    refused = await shipping_service.post("/shipments", {"order": "o-1", "lineNumbers": [2, 1, 3]})
    assert (refused.status_code, refused.json()["errors"]) == (
        409,
        [
            {"pointer": "#/lineNumbers/1", "detail": f"is in shipment {first}"},
            {"pointer": "#/lineNumbers/2", "detail": "is not a line of the order"},
        ],
    )
    await shipping_service.hear(elsewhere.tells("OrderConfirmed", "{}"))
    await shipping_service.hear(elsewhere.tells("OrderCancelled", '{"customerId": "c-1"}'))
    refused = await shipping_service.post("/shipments", {"order": "o-1", "lineNumbers": [2]})
    assert refused.json()["code"] == "ORDER_CANCELLED"


async def test_payments_know_living_orders_only(payments_service: ServiceUnderTest) -> None:
    elsewhere = Elsewhere(orders.context.topic, "o-1")
    authorize = {"order": "o-1", "amount": "1"}
    assert (await payments_service.post("/payments", authorize)).json()["code"] == "ORDER_UNKNOWN"
    await payments_service.hear(elsewhere.tells("OrderPlaced", PLACED), elsewhere.tells("OrderCompleted", "{}"))
    assert (await payments_service.post("/payments", authorize)).status_code == 201
    await payments_service.hear(elsewhere.tells("OrderCancelled", '{"customerId": "c-1"}'))
    assert (await payments_service.post("/payments", authorize)).json()["code"] == "ORDER_CANCELLED"
