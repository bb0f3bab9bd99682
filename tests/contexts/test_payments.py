"""What happens to a payment, as its read model shows it."""

from datetime import UTC, datetime
from decimal import Decimal

from projections.contexts.payments import (
    PaymentAuthorized,
    PaymentCaptured,
    PaymentFailed,
    PaymentRefunded,
    PaymentStatus,
    PaymentView,
    payment_docs,
)
from projections.testing import given

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
AUTHORIZED = PaymentAuthorized(order_id="o-1", customer_id="c-1", amount=Decimal("10.00"), authorized_at=AT)


def view(status: PaymentStatus, captured: str = "0.00", refunded: str = "0.00") -> PaymentView:
    return PaymentView(
        order_id="o-1",
        customer_id="c-1",
        status=status,
        amount=Decimal("10.00"),
        captured=Decimal(captured),
        refunded=Decimal(refunded),
        authorized_at=AT,
    )


def test_authorized() -> None:
    given(payment_docs, AUTHORIZED).expect(view(PaymentStatus.AUTHORIZED)).expect_listed("by_order", "o-1")


def test_captures_and_refunds_add_up() -> None:
    captured = [PaymentCaptured(amount=Decimal("4.00")), PaymentCaptured(amount=Decimal("6.00"))]
    given(payment_docs, AUTHORIZED, *captured).expect(view(PaymentStatus.CAPTURED, "10.00"))
    part = PaymentRefunded(amount=Decimal("1.50"))
    given(payment_docs, AUTHORIZED, *captured, part).expect(view(PaymentStatus.CAPTURED, "10.00", "1.50"))
    rest = PaymentRefunded(amount=Decimal("8.50"))
    given(payment_docs, AUTHORIZED, *captured, part, rest).expect(view(PaymentStatus.REFUNDED, "10.00", "10.00"))


def test_failed() -> None:
    given(payment_docs, AUTHORIZED, PaymentFailed(reason="declined")).expect(view(PaymentStatus.FAILED))


def test_nothing_without_an_authorization() -> None:
    given(payment_docs, PaymentCaptured(amount=Decimal("1.00"))).expect(None)
