"""The graph of the payments context; it adds an order's payments to Order."""

from datetime import datetime
from decimal import Decimal

from projections.contexts.orders import order_docs
from projections.contexts.payments import PaymentStatus, by_order, payment_docs
from schema import BoundedContext, Input, Ref, command, entity, extension, field, get, many, one
from schema.contexts.orders import Order


@entity(payment_docs)
class Payment:
    """Money for an order: authorised, then captured, perhaps refunded."""

    status: PaymentStatus
    amount: Decimal = field(description="What was authorised.")
    captured: Decimal = field(description="What was taken so far.")
    refunded: Decimal = field(description="What was given back so far.")
    authorized_at: datetime
    order: Order | None = one(order_docs, via="order_id")


@extension(Order)
class OrderPayments:
    payments: list[Payment] = many(payment_docs, by_order, description="Oldest first.")


class AuthorizePaymentInput(Input):
    order: Ref[Order]
    amount: Decimal


class CapturePaymentInput(Input):
    payment: Ref[Payment]
    amount: Decimal


class RefundPaymentInput(Input):
    payment: Ref[Payment]
    amount: Decimal


class Query:
    payment: Payment | None = get(payment_docs, description="One payment by id or key.")


class Mutation:
    authorize_payment = command(AuthorizePaymentInput, to="payments", path="/payments", reads=Payment)
    capture_payment = command(CapturePaymentInput, to="payments", path="/payments/{payment}/capture", reads=Payment)
    refund_payment = command(RefundPaymentInput, to="payments", path="/payments/{payment}/refund", reads=Payment)


context = BoundedContext("payments", entities=[Payment], query=Query, mutation=Mutation, extensions=[OrderPayments])
