"""Shipments of an order's lines."""

from datetime import datetime
from enum import Enum
from typing import assert_never

from projections import Event, Index, Projection, View, replace


class ShipmentStatus(Enum):
    CREATED = "CREATED"
    DISPATCHED = "DISPATCHED"
    DELIVERY_FAILED = "DELIVERY_FAILED"
    DELIVERED = "DELIVERED"


class ShipmentCreated(Event):
    order_id: str
    customer_id: str
    carrier: str | None
    line_numbers: list[int]
    created_at: datetime


class ShipmentDispatched(Event):
    dispatched_at: datetime


class DeliveryFailed(Event):
    failed_at: datetime


class ShipmentDelivered(Event):
    delivered_at: datetime


class ShipmentView(View):
    order_id: str
    customer_id: str
    status: ShipmentStatus
    carrier: str | None
    line_numbers: list[int]
    created_at: datetime
    dispatched_at: datetime | None = None
    delivered_at: datetime | None = None


ShipmentEvent = ShipmentCreated | ShipmentDispatched | DeliveryFailed | ShipmentDelivered


def evolve(view: ShipmentView | None, event: ShipmentEvent) -> ShipmentView | None:
    match event:
        case ShipmentCreated():
            return ShipmentView(
                order_id=event.order_id,
                customer_id=event.customer_id,
                status=ShipmentStatus.CREATED,
                carrier=event.carrier,
                line_numbers=event.line_numbers,
                created_at=event.created_at,
            )
        case ShipmentDispatched():
            return replace(view, status=ShipmentStatus.DISPATCHED, dispatched_at=event.dispatched_at) if view else None
        case DeliveryFailed():
            return replace(view, status=ShipmentStatus.DELIVERY_FAILED) if view else None
        case ShipmentDelivered():
            return replace(view, status=ShipmentStatus.DELIVERED, delivered_at=event.delivered_at) if view else None
        case _:
            assert_never(event)


by_order = Index[ShipmentView]("by_order", filters=("order_id",), sort="created_at")
shipment_docs = Projection(
    name="shipments",
    version=1,
    topics=["shop.shipments"],
    aggregate="shipment",
    evolve=evolve,
    indexes=[by_order],
)
