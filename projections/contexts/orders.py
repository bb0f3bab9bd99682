"""Orders, folded from what happened to them."""

from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import assert_never

from projections import Event, Index, Part, Projection, View, replace


class OrderStatus(Enum):
    PLACED = "PLACED"
    CONFIRMED = "CONFIRMED"
    CANCELLED = "CANCELLED"
    COMPLETED = "COMPLETED"


class Line(Part):
    number: int
    product_id: str
    quantity: Decimal
    amount: Decimal
    discount: Decimal
    tax: Decimal


class OrderPlaced(Event):
    customer_id: str
    placed_at: datetime
    total: Decimal
    lines: list[Line]


class OrderConfirmed(Event):
    confirmed_at: datetime


class OrderCancelled(Event):
    cancelled_at: datetime


class OrderCompleted(Event):
    completed_at: datetime


class OrderView(View):
    customer_id: str
    status: OrderStatus
    placed_at: datetime
    total: Decimal
    lines: list[Line]


OrderEvent = OrderPlaced | OrderConfirmed | OrderCancelled | OrderCompleted


def evolve(view: OrderView | None, event: OrderEvent) -> OrderView | None:
    match event:
        case OrderPlaced():
            return OrderView(
                customer_id=event.customer_id,
                status=OrderStatus.PLACED,
                placed_at=event.placed_at,
                total=event.total,
                lines=event.lines,
            )
        case OrderConfirmed():
            return replace(view, status=OrderStatus.CONFIRMED) if view else None
        case OrderCancelled():
            return replace(view, status=OrderStatus.CANCELLED) if view else None
        case OrderCompleted():
            return replace(view, status=OrderStatus.COMPLETED) if view else None
        case _:
            assert_never(event)


by_customer = Index[OrderView]("by_customer", filters=("customer_id", "status?"), sort="-placed_at")
by_status = Index[OrderView]("by_status", filters=("status?",), sort="-placed_at")
order_docs = Projection(
    name="orders",
    version=1,
    topics=["shop.orders"],
    aggregate="order",
    evolve=evolve,
    indexes=[by_customer, by_status],
)
