"""The graph of the shipping context; it adds an order's shipments to Order."""

from datetime import datetime

from projections.contexts.orders import order_docs
from projections.contexts.shipping import ShipmentStatus, by_order, shipment_docs
from schema import BoundedContext, Input, Ref, command, entity, extension, field, get, many, one
from schema.contexts.orders import Order


@entity(shipment_docs)
class Shipment:
    """Some lines of an order on their way."""

    status: ShipmentStatus
    carrier: str | None
    created_at: datetime
    dispatched_at: datetime | None
    delivered_at: datetime | None
    line_numbers: list[int] = field(description="The order's lines that travel together.")
    order: Order | None = one(order_docs, via="order_id")


@extension(Order)
class OrderShipments:
    shipments: list[Shipment] = many(shipment_docs, by_order, description="Oldest first.")


class CreateShipmentInput(Input):
    order: Ref[Order]
    line_numbers: list[int]
    carrier: str | None = None


class DispatchShipmentInput(Input):
    shipment: Ref[Shipment]


class ConfirmDeliveryInput(Input):
    shipment: Ref[Shipment]


class Query:
    shipment: Shipment | None = get(shipment_docs, description="One shipment by id or key.")


class Mutation:
    create_shipment = command(CreateShipmentInput, to="shipping", path="/shipments", reads=Shipment)
    dispatch_shipment = command(
        DispatchShipmentInput, to="shipping", path="/shipments/{shipment}/dispatch", reads=Shipment
    )
    confirm_delivery = command(
        ConfirmDeliveryInput, to="shipping", path="/shipments/{shipment}/confirm-delivery", reads=Shipment
    )


context = BoundedContext("shipping", entities=[Shipment], query=Query, mutation=Mutation, extensions=[OrderShipments])
