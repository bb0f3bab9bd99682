"""The read models that the chaos harness feeds: a fold with indexes and measures, a state topic with tombstones, a timeline.

Invariants: the fold's `trail` depends on every event of an aggregate and on their order, so that one event lost, doubled or
swapped shows in the document.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Final, assert_never
from zlib import crc32

from projections import Event, Index, Projection, View, replace
from projections.measure import Measure
from projections.timeline import Entry, Timeline

ORDERS_TOPIC: Final = "chaos.orders"
PRODUCTS_TOPIC: Final = "chaos.products"
TIMELINE_BOUND: Final = 40


class Status(Enum):
    OPEN = "OPEN"
    CONFIRMED = "CONFIRMED"


class Placed(Event):
    mark: int
    customer_id: str
    amount: Decimal
    placed_at: datetime


class Added(Event):
    mark: int
    customer_id: str
    amount: Decimal


class Confirmed(Event):
    mark: int
    customer_id: str


class Removed(Event):
    mark: int
    customer_id: str


class OrderView(View):
    customer_id: str
    status: Status
    placed_at: datetime
    total: Decimal
    folded: int
    trail: int


OrderEvent = Placed | Added | Confirmed | Removed


def trail(before: int, mark: int) -> int:
    """A digest of all marks so far, in their order, that fits a GraphQL Int."""
    return crc32(b"%d,%d" % (before, mark)) >> 1


def evolve_order(view: OrderView | None, event: OrderEvent) -> OrderView | None:
    if event.mark < 0:
        raise ValueError("a fact that cannot be")
    match event:
        case Placed():
            return OrderView(
                customer_id=event.customer_id,
                status=Status.OPEN,
                placed_at=event.placed_at,
                total=event.amount,
                folded=1 if view is None else view.folded + 1,
                trail=trail(0 if view is None else view.trail, event.mark),
            )
        case Removed():
            return None
        case Added() | Confirmed():
            if view is None:
                return None
            total = view.total + event.amount if isinstance(event, Added) else view.total
            status = Status.CONFIRMED if isinstance(event, Confirmed) else view.status
            return replace(
                view, total=total, status=status, folded=view.folded + 1, trail=trail(view.trail, event.mark)
            )
        case _:
            assert_never(event)


def is_confirmed(view: OrderView) -> bool:
    return view.status is Status.CONFIRMED


def day_of(view: OrderView) -> str:
    return view.placed_at.date().isoformat()


by_customer = Index[OrderView]("by_customer", filters=("customer_id", "status?"), sort="-placed_at")
order_docs = Projection(
    name="chaos_orders",
    version=1,
    topics=[ORDERS_TOPIC],
    aggregate="order",
    evolve=evolve_order,
    indexes=[
        by_customer,
        Index[OrderView]("by_status", filters=("status?",), sort="total"),
    ],
    measures=[
        Measure[OrderView]("orders", "count", by="customer_id"),
        Measure[OrderView]("spent", "total", by="customer_id", of="total", where=is_confirmed),
        Measure[OrderView]("last_order", "largest", by="customer_id", of="placed_at"),
        Measure[OrderView]("least_total", "least", by=day_of, of="total"),
    ],
)


class Product(Event):
    mark: int
    category: str
    price: Decimal
    stock: int


class ProductView(View):
    mark: int
    category: str
    price: Decimal
    stock: int


def evolve_product(view: ProductView | None, event: Product) -> ProductView | None:
    if event.mark < 0:
        raise ValueError("a state that cannot be")
    return ProductView(mark=event.mark, category=event.category, price=event.price, stock=event.stock)


product_docs = Projection(
    name="chaos_products",
    version=1,
    topics=[PRODUCTS_TOPIC],
    aggregate="product",
    state=True,
    evolve=evolve_product,
    indexes=[Index[ProductView]("by_category", filters=("category?",), sort="price")],
    measures=[
        Measure[ProductView]("products", "count", by="category"),
        Measure[ProductView]("stock", "total", by="category", of="stock"),
        Measure[ProductView]("dearest", "largest", by="category", of="price"),
    ],
)


def in_timeline(event: Placed | Confirmed | Removed, id: str) -> Entry | None:
    if event.mark < 0:
        raise ValueError("a fact that cannot be")
    return Entry(event.customer_id, f"{type(event).__name__} {event.mark}")


activity = Timeline(name="chaos_activity", version=1, topics=[ORDERS_TOPIC], entry=in_timeline, bound=TIMELINE_BOUND)

ALL: Final = (order_docs, product_docs, activity)
TOPICS: Final = (ORDERS_TOPIC, PRODUCTS_TOPIC)
