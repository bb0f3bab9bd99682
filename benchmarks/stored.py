"""The read models that the projector is measured with: one row per event, plain, listed, and added up; and the shop's orders.

Invariants: what is stored of an event is as large as the event; all fold domain events, with versions and every guard.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from projections.contexts.orders import order_docs
from projections.declare import Event, Index, Projection, View
from projections.measure import Measure


class Stored(Event):
    """400 bytes of JSON with a text, a number, an amount and a time in them."""

    customer_id: str
    status: str
    placed_at: datetime
    total: Decimal
    quantity: int
    note: str


class StoredView(View):
    """The same, stored."""

    customer_id: str
    status: str
    placed_at: datetime
    total: Decimal
    quantity: int
    note: str


def evolve(view: StoredView | None, event: Stored) -> StoredView | None:
    """The event is the new state."""
    return StoredView(
        customer_id=event.customer_id,
        status=event.status,
        placed_at=event.placed_at,
        total=event.total,
        quantity=event.quantity,
        note=event.note,
    )


def _stored(name: str, **more: Any) -> Projection[StoredView, Stored]:
    return Projection(name=name, version=1, topics=[f"benchmark.{name}"], aggregate="order", evolve=evolve, **more)


by_customer: Final = Index[StoredView]("by_customer", filters=("customer_id",), sort="-placed_at")
in_order: Final = Index[StoredView]("in_order", sort="-placed_at")
"""One list of all rows: the longest that an index can be."""

PROJECTIONS: Final[Mapping[str, Projection[Any, Any]]] = {
    projection.name: projection
    for projection in (
        _stored("plain"),
        _stored("indexed", indexes=[by_customer]),
        _stored(
            "measured",
            measures=[
                Measure[StoredView]("row_count", "count", by="customer_id"),
                Measure[StoredView]("total_spent", "total", by="customer_id", of="total"),
            ],
        ),
        _stored("few", indexes=[by_customer, in_order]),
        _stored("many", indexes=[by_customer, in_order]),
        dataclasses.replace(order_docs, topics=["benchmark.orders"]),
    )
}
"""By name. `few` and `many` are the same, for a store that holds few rows and one that holds many."""
