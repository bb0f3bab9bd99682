"""Payments of orders: authorised, captured, refunded."""

from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import assert_never

from projections import Event, Index, Projection, View, replace


class PaymentStatus(Enum):
    AUTHORIZED = "AUTHORIZED"
    CAPTURED = "CAPTURED"
    REFUNDED = "REFUNDED"
    FAILED = "FAILED"


class PaymentAuthorized(Event):
    order_id: str
    customer_id: str
    amount: Decimal
    authorized_at: datetime


class PaymentCaptured(Event):
    amount: Decimal


class PaymentRefunded(Event):
    amount: Decimal


class PaymentFailed(Event):
    reason: str


class PaymentView(View):
    order_id: str
    customer_id: str
    status: PaymentStatus
    amount: Decimal
    captured: Decimal
    refunded: Decimal
    authorized_at: datetime


PaymentEvent = PaymentAuthorized | PaymentCaptured | PaymentRefunded | PaymentFailed
NOTHING = Decimal("0.00")


def evolve(view: PaymentView | None, event: PaymentEvent) -> PaymentView | None:
    match event:
        case PaymentAuthorized():
            return PaymentView(
                order_id=event.order_id,
                customer_id=event.customer_id,
                status=PaymentStatus.AUTHORIZED,
                amount=event.amount,
                captured=NOTHING,
                refunded=NOTHING,
                authorized_at=event.authorized_at,
            )
        case PaymentCaptured():
            return replace(view, status=PaymentStatus.CAPTURED, captured=view.captured + event.amount) if view else None
        case PaymentRefunded():
            return refunded(view, view.refunded + event.amount) if view else None
        case PaymentFailed():
            return replace(view, status=PaymentStatus.FAILED) if view else None
        case _:
            assert_never(event)


def refunded(view: PaymentView, amount: Decimal) -> PaymentView:
    """REFUNDED is what was given back whole."""
    return replace(view, refunded=amount, status=PaymentStatus.REFUNDED if amount == view.captured else view.status)


by_order = Index[PaymentView]("by_order", filters=("order_id",), sort="authorized_at")
payment_docs = Projection(
    name="payments",
    version=1,
    topics=["shop.payments"],
    aggregate="payment",
    evolve=evolve,
    indexes=[by_order],
)
