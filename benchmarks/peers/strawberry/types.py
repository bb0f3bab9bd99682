"""The types of the graph, each made of a stored document.

Invariants: money and times are handed on as they are stored, which is their wire form: nothing is parsed to be printed again.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, NewType

import strawberry

Money = NewType("Money", str)
Moment = NewType("Moment", str)
SCALARS: dict[object, Any] = {Money: strawberry.scalar(name="Decimal"), Moment: strawberry.scalar(name="DateTime")}


@strawberry.enum
class OrderStatus(Enum):
    PLACED = "PLACED"
    CONFIRMED = "CONFIRMED"
    CANCELLED = "CANCELLED"
    COMPLETED = "COMPLETED"


@strawberry.enum
class PaymentStatus(Enum):
    AUTHORIZED = "AUTHORIZED"
    CAPTURED = "CAPTURED"
    REFUNDED = "REFUNDED"
    FAILED = "FAILED"


@strawberry.enum
class ShipmentStatus(Enum):
    CREATED = "CREATED"
    DISPATCHED = "DISPATCHED"
    DELIVERY_FAILED = "DELIVERY_FAILED"
    DELIVERED = "DELIVERED"


@strawberry.type
class Customer:
    name: str
    segment: str
    nation: str


@strawberry.type
class Product:
    title: str
    brand: str
    price: Money


@strawberry.type
class Payment:
    status: PaymentStatus
    amount: Money
    captured: Money


@strawberry.type
class Shipment:
    status: ShipmentStatus
    carrier: str | None
    line_numbers: list[int]
    created_at: Moment
    delivered_at: Moment | None


@strawberry.type
class OrderLine:
    number: int
    quantity: Money
    amount: Money
    product_id: strawberry.Private[str]

    @strawberry.field
    async def product(self, info: strawberry.Info[Any, None]) -> Product | None:
        """By way of the request's DataLoader."""
        found = await info.context["products"].load(self.product_id)
        return Product(title=found["title"], brand=found["brand"], price=found["price"]) if found else None


@strawberry.type
class Order:
    id: strawberry.ID
    status: OrderStatus
    placed_at: Moment
    total: Money
    lines: list[OrderLine]
    key: strawberry.Private[str]
    customer_id: strawberry.Private[str]

    @strawberry.field
    async def customer(self, info: strawberry.Info[Any, None]) -> Customer | None:
        """By way of the request's DataLoader."""
        found = await info.context["customers"].load(self.customer_id)
        return Customer(name=found["name"], segment=found["segment"], nation=found["nation"]) if found else None

    @strawberry.field
    async def payments(self, info: strawberry.Info[Any, None]) -> list[Payment]:
        """Oldest first."""
        return [
            Payment(status=PaymentStatus(found["status"]), amount=found["amount"], captured=found["captured"])
            for found in await info.context["payments"].load(self.key)
        ]

    @strawberry.field
    async def shipments(self, info: strawberry.Info[Any, None]) -> list[Shipment]:
        """Oldest first."""
        return [
            Shipment(
                status=ShipmentStatus(found["status"]),
                carrier=found["carrier"],
                line_numbers=found["lineNumbers"],
                created_at=found["createdAt"],
                delivered_at=found["deliveredAt"],
            )
            for found in await info.context["shipments"].load(self.key)
        ]


def order_of(found: dict[str, Any]) -> Order:
    """An order of its stored document."""
    lines = [
        OrderLine(number=line["number"], quantity=line["quantity"], amount=line["amount"], product_id=line["productId"])
        for line in found["lines"]
    ]
    return Order(
        id=strawberry.ID(f"Order:{found['key']}"),
        status=OrderStatus(found["status"]),
        placed_at=found["placedAt"],
        total=found["total"],
        lines=lines,
        key=found["key"],
        customer_id=found["customerId"],
    )


@strawberry.type
class PageInfo:
    has_next_page: bool


@strawberry.type
class OrderConnection:
    nodes: list[Order]
    page_info: PageInfo
