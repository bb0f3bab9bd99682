"""Orders, folded from what happened to them."""

from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import assert_never

from projections import Event, Index, Measure, Part, Projection, View, replace


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


def stands(view: OrderView) -> bool:
    """A cancelled order is no revenue."""
    return view.status is not OrderStatus.CANCELLED


def day(view: OrderView) -> date:
    """The day, in UTC, that an order was placed on."""
    return view.placed_at.astimezone(UTC).date()


order_count = Measure[OrderView]("order_count", "count", by="customer_id")
total_spent = Measure[OrderView]("total_spent", "total", of="total", by="customer_id", where=stands)
last_order_at = Measure[OrderView]("last_order_at", "largest", of="placed_at", by="customer_id")
revenue_by_day = Measure[OrderView]("revenue_by_day", "total", of="total", by=day, where=stands)
order_docs = Projection(
    name="orders",
    version=1,
    topics=["shop.orders"],
    aggregate="order",
    evolve=evolve,
    indexes=[by_customer, by_status],
    measures=[order_count, total_spent, last_order_at, revenue_by_day],
)
