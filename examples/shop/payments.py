"""The payments service: money that was promised, taken and given back for an order.

It listens to `shop.orders`, so that it knows the customer of an order and whether the order is still alive.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import assert_never

from msgspec.structs import replace
from sqlalchemy import Connection

from examples.shop.service.declare import Change, Context, Creation, Event, Input, Listening, Topic, Value
from examples.shop.service.errors import FieldProblem, RefusedError
from examples.shop.service.fields import Key, Money, Text, cents
from examples.shop.service.replicas import replica


class PaymentStatus(StrEnum):
    AUTHORIZED = "AUTHORIZED"
    CAPTURED = "CAPTURED"
    REFUNDED = "REFUNDED"
    FAILED = "FAILED"


class Payment(Value):
    """`captured` and `refunded` are running sums; REFUNDED means that all that was captured went back."""

    order_id: str
    customer_id: str
    status: PaymentStatus
    amount: Decimal
    captured: Decimal
    refunded: Decimal
    authorized_at: datetime


class PaymentAuthorized(Event):
    order_id: str
    customer_id: str
    amount: Decimal
    authorized_at: datetime


class PaymentCaptured(Event):
    """`amount` is this capture, not the sum."""

    order_id: str
    customer_id: str
    amount: Decimal
    captured_at: datetime


class PaymentRefunded(Event):
    """`amount` is this refund, not the sum."""

    order_id: str
    customer_id: str
    amount: Decimal
    refunded_at: datetime


class PaymentFailed(Event):
    order_id: str
    customer_id: str
    reason: str
    failed_at: datetime


class AuthorizePayment(Input):
    order: Key
    amount: Money


class CapturePayment(Input):
    amount: Money
    payment: Key | None = None


class RefundPayment(Input):
    amount: Money
    payment: Key | None = None


class FailPayment(Input):
    reason: Text
    payment: Key | None = None


class KnownOrder(Value):
    """What this service keeps of an order."""

    customer_id: str
    cancelled: bool = False


class OrderPlaced(Event):
    customer_id: str


class OrderCancelled(Event):
    customer_id: str


def remember_order(order: KnownOrder | None, event: OrderPlaced | OrderCancelled) -> KnownOrder | None:
    return KnownOrder(event.customer_id, cancelled=isinstance(event, OrderCancelled))


orders = Listening(
    topic=Topic("shop.orders", "order"),
    events={"shop.orders.OrderPlaced": OrderPlaced, "shop.orders.OrderCancelled": OrderCancelled},
    kept=KnownOrder,
    remember=remember_order,
)


def known_order(connection: Connection, command: AuthorizePayment) -> KnownOrder | None:
    return replica(connection, orders, command.order)


def authorize(command: AuthorizePayment, order: KnownOrder | None, now: datetime) -> Sequence[Event]:
    """Only for an order that is known and not cancelled."""
    if order is None:
        unknown = FieldProblem("#/order", "is not a known order")
        raise RefusedError("ORDER_UNKNOWN", "There is no such order", [unknown], may_arrive=True)
    if order.cancelled:
        raise RefusedError("ORDER_CANCELLED", "The order is cancelled")
    return [PaymentAuthorized(command.order, order.customer_id, cents(command.amount), now)]


def capture(payment: Payment, command: CapturePayment, now: datetime) -> Sequence[Event]:
    """Never above the authorisation, in one or in several captures."""
    amount = cents(command.amount)
    if payment.status is PaymentStatus.FAILED:
        raise RefusedError("PAYMENT_FAILED", "The payment has failed")
    if payment.refunded > 0:
        raise RefusedError("PAYMENT_REFUNDED", "Money of this payment went back already")
    if payment.captured + amount > payment.amount:
        left = FieldProblem("#/amount", f"is more than the {payment.amount - payment.captured} that is left")
        raise RefusedError("ABOVE_AUTHORIZATION", "More than was authorised", [left])
    return [PaymentCaptured(payment.order_id, payment.customer_id, amount, now)]


def refund(payment: Payment, command: RefundPayment, now: datetime) -> Sequence[Event]:
    """Never above what was captured, in one or in several refunds."""
    amount = cents(command.amount)
    if payment.refunded + amount > payment.captured:
        left = FieldProblem("#/amount", f"is more than the {payment.captured - payment.refunded} that is left")
        raise RefusedError("ABOVE_CAPTURED", "More than was captured", [left])
    return [PaymentRefunded(payment.order_id, payment.customer_id, amount, now)]


def fail(payment: Payment, command: FailPayment, now: datetime) -> Sequence[Event]:
    """The provider's word, possible only while nothing was taken."""
    if payment.status is not PaymentStatus.AUTHORIZED:
        raise RefusedError("PAYMENT_NOT_AUTHORIZED", f"The payment is {payment.status}, not AUTHORIZED")
    return [PaymentFailed(payment.order_id, payment.customer_id, command.reason, now)]


PaymentEvent = PaymentAuthorized | PaymentCaptured | PaymentRefunded | PaymentFailed


def evolve(payment: Payment | None, event: PaymentEvent) -> Payment | None:
    if isinstance(event, PaymentAuthorized):
        nil = Decimal("0.00")
        status = PaymentStatus.AUTHORIZED
        return Payment(event.order_id, event.customer_id, status, event.amount, nil, nil, event.authorized_at)
    if payment is None:
        raise ValueError(f"{type(event).__name__} is not the first fact of a payment")
    match event:
        case PaymentCaptured():
            return replace(payment, status=PaymentStatus.CAPTURED, captured=payment.captured + event.amount)
        case PaymentRefunded():
            refunded = payment.refunded + event.amount
            status = PaymentStatus.REFUNDED if refunded == payment.captured else payment.status
            return replace(payment, status=status, refunded=refunded)
        case PaymentFailed():
            return replace(payment, status=PaymentStatus.FAILED)
        case _:
            assert_never(event)


context = Context(
    name="payments",
    topic=Topic("shop.payments", "payment"),
    id_prefix="pay",
    state=Payment,
    evolve=evolve,
    listens=[orders],
    commands=[
        Creation("/payments", AuthorizePayment, authorize, lookup=known_order),
        Change("/payments/{payment}/capture", CapturePayment, capture),
        Change("/payments/{payment}/refund", RefundPayment, refund),
        Change("/payments/{payment}/fail", FailPayment, fail),
    ],
)
