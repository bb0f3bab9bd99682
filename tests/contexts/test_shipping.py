"""What happens to a shipment, as its read model shows it."""

from datetime import UTC, datetime, timedelta

from projections.contexts.shipping import (
    DeliveryFailed,
    ShipmentCreated,
    ShipmentDelivered,
    ShipmentDispatched,
    ShipmentStatus,
    ShipmentView,
    shipment_docs,
)
from projections.testing import given

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
LATER = AT + timedelta(days=2)
CREATED = ShipmentCreated(order_id="o-1", customer_id="c-1", carrier=None, line_numbers=[1, 3], created_at=AT)


def view(
    status: ShipmentStatus, dispatched_at: datetime | None = None, delivered_at: datetime | None = None
) -> ShipmentView:
    return ShipmentView(
        order_id="o-1",
        customer_id="c-1",
        status=status,
        carrier=None,
        line_numbers=[1, 3],
        created_at=AT,
        dispatched_at=dispatched_at,
        delivered_at=delivered_at,
    )


def test_created() -> None:
    given(shipment_docs, CREATED).expect(view(ShipmentStatus.CREATED)).expect_listed("by_order", "o-1")


def test_dispatched_and_delivered() -> None:
    dispatched = ShipmentDispatched(dispatched_at=AT)
    given(shipment_docs, CREATED, dispatched).expect(view(ShipmentStatus.DISPATCHED, AT))
    delivered = ShipmentDelivered(delivered_at=LATER)
    given(shipment_docs, CREATED, dispatched, delivered).expect(view(ShipmentStatus.DELIVERED, AT, LATER))


def test_a_failed_delivery_can_still_be_made() -> None:
    events: list[ShipmentDispatched | DeliveryFailed] = [
        ShipmentDispatched(dispatched_at=AT),
        DeliveryFailed(failed_at=AT),
    ]
    given(shipment_docs, CREATED, *events).expect(view(ShipmentStatus.DELIVERY_FAILED, AT))
    given(shipment_docs, CREATED, *events, ShipmentDelivered(delivered_at=LATER)).expect(
        view(ShipmentStatus.DELIVERED, AT, LATER)
    )
