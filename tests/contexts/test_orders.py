"""What happens to an order, as its read model shows it."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from projections.contexts.orders import (
    Line,
    OrderCancelled,
    OrderCompleted,
    OrderConfirmed,
    OrderPlaced,
    OrderStatus,
    OrderView,
    order_docs,
)
from projections.testing import given

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
LINE = Line(
    number=1, product_id="p-1", quantity=Decimal(2), amount=Decimal("3.00"), discount=Decimal(0), tax=Decimal(0)
)
PLACED = OrderPlaced(customer_id="c-1", placed_at=AT, total=Decimal("3.00"), lines=[LINE])


def view(status: OrderStatus) -> OrderView:
    return OrderView(customer_id="c-1", status=status, placed_at=AT, total=Decimal("3.00"), lines=[LINE])


def test_placed() -> None:
    found = given(order_docs, PLACED, key="o-1").expect(view(OrderStatus.PLACED))
    found.expect_listed("by_customer", "c-1", "*").expect_listed("by_customer", "c-1", "PLACED")
    found.expect_listed("by_status", "*").expect_listed("by_status", "PLACED")


@pytest.mark.parametrize(
    ("event", "status"),
    [
        (OrderConfirmed(confirmed_at=AT), OrderStatus.CONFIRMED),
        (OrderCancelled(cancelled_at=AT), OrderStatus.CANCELLED),
        (OrderCompleted(completed_at=AT), OrderStatus.COMPLETED),
    ],
)
def test_what_follows_changes_the_status_and_the_lists(
    event: OrderConfirmed | OrderCancelled | OrderCompleted, status: OrderStatus
) -> None:
    found = given(order_docs, PLACED, event).expect(view(status)).expect_listed("by_status", status.value)
    with pytest.raises(AssertionError):
        found.expect_listed("by_status", "PLACED")


def test_what_an_order_adds_to_its_customer_and_its_day() -> None:
    found = (
        given(order_docs, PLACED).expect_measured("order_count", "c-1", 1).expect_measured("last_order_at", "c-1", AT)
    )
    found.expect_measured("total_spent", "c-1", Decimal("3.00"))
    found.expect_measured("revenue_by_day", date(2026, 1, 31), Decimal("3.00"))


def test_a_cancelled_order_counts_and_is_no_revenue() -> None:
    found = given(order_docs, PLACED, OrderCancelled(cancelled_at=AT)).expect_measured("order_count", "c-1", 1)
    found.expect_measured("last_order_at", "c-1", AT).expect_measured("total_spent", "c-1", Decimal(0))
    found.expect_measured("revenue_by_day", date(2026, 1, 31), Decimal(0))


def test_an_order_that_was_never_placed_shows_nothing() -> None:
    given(order_docs, OrderConfirmed(confirmed_at=AT)).expect(None)


def test_a_wrong_expectation_fails() -> None:
    with pytest.raises(AssertionError, match="expected"):
        given(order_docs, PLACED).expect(view(OrderStatus.COMPLETED))
