"""What a customer's timeline says of each event."""

from decimal import Decimal

import pytest

from projections import Entry
from projections.contexts import activity
from projections.contexts.activity import entry

MONEY = Decimal("3.50")


@pytest.mark.parametrize(
    ("event", "what"),
    [
        (activity.OrderPlaced(customer_id="c-1", total=MONEY), "Placed order x-1 for 3.50"),
        (activity.OrderConfirmed(customer_id="c-1"), "Order x-1 was confirmed"),
        (activity.OrderCancelled(customer_id="c-1"), "Order x-1 was cancelled"),
        (activity.OrderCompleted(customer_id="c-1"), "Order x-1 was completed"),
        (activity.PaymentAuthorized(customer_id="c-1", amount=MONEY), "Payment x-1 of 3.50 was authorised"),
        (activity.PaymentCaptured(customer_id="c-1", amount=MONEY), "Payment x-1: 3.50 was captured"),
        (activity.PaymentRefunded(customer_id="c-1", amount=MONEY), "Payment x-1: 3.50 was refunded"),
        (activity.PaymentFailed(customer_id="c-1", reason="no money"), "Payment x-1 failed: no money"),
        (activity.PaymentFailed(customer_id="c-1", reason="no" * 500), f"Payment x-1 failed: {'no' * 350}"),
        (activity.ShipmentCreated(customer_id="c-1"), "Shipment x-1 was created"),
        (activity.ShipmentDispatched(customer_id="c-1"), "Shipment x-1 was dispatched"),
        (activity.DeliveryFailed(customer_id="c-1"), "Shipment x-1 could not be delivered"),
        (activity.ShipmentDelivered(customer_id="c-1"), "Shipment x-1 was delivered"),
    ],
)
def test_everything_that_happens_is_told(event: activity.OrderEvent, what: str) -> None:
    assert entry(event, "x-1") == Entry(key="c-1", what=what)


def test_a_customer_is_in_their_own() -> None:
    assert entry(activity.CustomerState(name="Ann"), "c-1") == Entry("c-1", "Registered, or changed their contact")


def test_an_event_of_nobody_is_kept_out() -> None:
    assert entry(activity.OrderConfirmed(), "o-1") is None
