"""Customers and products: the last published state is what is shown, a tombstone shows nothing."""

from datetime import date
from decimal import Decimal

from projections.contexts.catalog import ProductState, ProductView, product_docs
from projections.contexts.customers import CustomerState, CustomerView, customer_docs
from projections.testing import DELETED, given


def product(price: str, *, available: bool = True) -> ProductState:
    return ProductState(sku="S", title="T", brand="B", category="C", price=Decimal(price), available=available)


def test_the_last_state_of_a_product_counts() -> None:
    expected = ProductView(sku="S", title="T", brand="B", category="C", price=Decimal("2.50"), available=False)
    found = given(product_docs, product("1.00"), product("2.50", available=False)).expect(expected)
    for values in (("*", "*"), ("B", "*"), ("*", "C"), ("B", "C")):
        found.expect_listed("by_brand", *values)


def test_a_removed_product_is_gone_and_may_come_back() -> None:
    given(product_docs, product("1.00"), DELETED).expect(None)
    assert given(product_docs, product("1.00"), DELETED, product("3.00")).view is not None


def test_a_customer() -> None:
    state = CustomerState(name="Ada", email=None, segment="BUILDING", nation="ENGLAND", since=date(2026, 1, 31))
    expected = CustomerView(name="Ada", email=None, segment="BUILDING", nation="ENGLAND", since=date(2026, 1, 31))
    given(customer_docs, state).expect(expected).expect_listed("by_segment", "BUILDING")
