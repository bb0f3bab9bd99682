"""What happened to a customer, across contexts: registered, ordered, paid, shipped."""

from decimal import Decimal
from typing import assert_never

from projections import Entry, Event, Timeline


class CustomerState(Event):
    name: str


class OrderPlaced(Event):
    customer_id: str
    total: Decimal


class OrderConfirmed(Event):
    customer_id: str | None = None


class OrderCancelled(Event):
    customer_id: str | None = None


class OrderCompleted(Event):
    customer_id: str | None = None


class PaymentAuthorized(Event):
    customer_id: str
    amount: Decimal


class PaymentCaptured(Event):
    amount: Decimal
    customer_id: str | None = None


class PaymentRefunded(Event):
    amount: Decimal
    customer_id: str | None = None


class PaymentFailed(Event):
    reason: str
    customer_id: str | None = None


class ShipmentCreated(Event):
    customer_id: str


class ShipmentDispatched(Event):
    customer_id: str | None = None


class DeliveryFailed(Event):
    customer_id: str | None = None


class ShipmentDelivered(Event):
    customer_id: str | None = None


OrderEvent = OrderPlaced | OrderConfirmed | OrderCancelled | OrderCompleted
PaymentEvent = PaymentAuthorized | PaymentCaptured | PaymentRefunded | PaymentFailed
ShipmentEvent = ShipmentCreated | ShipmentDispatched | DeliveryFailed | ShipmentDelivered


def entry(event: CustomerState | OrderEvent | PaymentEvent | ShipmentEvent, id: str) -> Entry | None:
    """In the customer's timeline; an event from before it carried the customer is in none."""
    if isinstance(event, CustomerState):
        return Entry(key=id, what="Registered, or changed their contact")
    return None if event.customer_id is None else Entry(key=event.customer_id, what=words(event, id))


def words(event: OrderEvent | PaymentEvent | ShipmentEvent, id: str) -> str:
    match event:
        case OrderPlaced():
            return f"Placed order {id} for {event.total}"
        case OrderConfirmed():
            return f"Order {id} was confirmed"
        case OrderCancelled():
            return f"Order {id} was cancelled"
        case OrderCompleted():
            return f"Order {id} was completed"
        case PaymentAuthorized():
            return f"Payment {id} of {event.amount} was authorised"
        case PaymentCaptured():
            return f"Payment {id}: {event.amount} was captured"
        case PaymentRefunded():
            return f"Payment {id}: {event.amount} was refunded"
        case PaymentFailed():
            return f"Payment {id} failed: {event.reason[:700]}"
        case ShipmentCreated():
            return f"Shipment {id} was created"
        case ShipmentDispatched():
            return f"Shipment {id} was dispatched"
        case DeliveryFailed():
            return f"Shipment {id} could not be delivered"
        case ShipmentDelivered():
            return f"Shipment {id} was delivered"
        case _:
            assert_never(event)


activity = Timeline(
    name="activity",
    version=1,
    topics=["shop.customers", "shop.orders", "shop.payments", "shop.shipments"],
    entry=entry,
)
