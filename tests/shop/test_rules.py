"""The rule of each command, as a pure decision: state and input in, facts or a refusal out."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from examples.shop import catalog, customers, orders, payments, shipping
from examples.shop.catalog import ProductRemoved, ProductState
from examples.shop.customers import CustomerState
from examples.shop.orders import Offer, Order, OrderLine, OrderStatus, PlaceOrder, PlaceOrderLine
from examples.shop.payments import Payment, PaymentStatus
from examples.shop.service.errors import RefusedError
from examples.shop.service.fields import Money, Quantity
from examples.shop.shipping import KnownLines, Shipment, ShipmentStatus
from tests.shop.service import NOON, only

LATER = datetime(2026, 3, 2, 8, 30, tzinfo=UTC)

CUSTOMER = CustomerState("Ada", "ada@example.org", "BUILDING", "FRANCE", date(2026, 3, 1))
PRODUCT = ProductState("P-1", "Pen", "Brand#1", "TIN", Decimal("12.30"), available=True)
LINE = OrderLine(1, "p-1", Decimal(2), Decimal("24.60"), Decimal("0.00"), Decimal("0.00"))
ORDER = Order("c-1", OrderStatus.PLACED, NOON, Decimal("24.60"), (LINE,))
NIL = Decimal("0.00")
PAYMENT = Payment("o-1", "c-1", PaymentStatus.AUTHORIZED, Decimal("43.05"), NIL, NIL, NOON)
SHIPMENT = Shipment("o-1", "c-1", ShipmentStatus.CREATED, "RAIL", (1, 2), NOON)


def refused(code: str, decide: Any, *args: Any) -> RefusedError:
    with pytest.raises(RefusedError) as refusal:
        decide(*args)
    assert refusal.value.code == code
    return refusal.value


class TestCustomers:
    def test_registering_publishes_the_full_state(self) -> None:
        command = customers.RegisterCustomer("Ada", "BUILDING", "FRANCE", "ada@example.org")
        assert only(customers.register(command, None, NOON)) == CUSTOMER

    def test_a_contact_that_is_left_out_stays(self) -> None:
        changed = only(customers.change_contact(CUSTOMER, customers.ChangeContact(name="Ada L."), LATER))
        assert changed == replace(CUSTOMER, name="Ada L.")

    def test_a_null_email_is_cleared(self) -> None:
        changed = only(customers.change_contact(CUSTOMER, customers.ChangeContact(email=None), LATER))
        assert changed == replace(CUSTOMER, email=None)

    def test_saying_what_is_so_changes_nothing(self) -> None:
        assert not customers.change_contact(CUSTOMER, customers.ChangeContact(name="Ada"), LATER)


class TestCatalog:
    def test_listing_publishes_the_full_state(self) -> None:
        command = catalog.ListProduct("P-1", "Pen", "Brand#1", "TIN", Money("12.3"))
        listed = only(catalog.list_product(command, None, NOON))
        assert listed == PRODUCT
        assert str(listed.price) == "12.30"

    def test_a_sku_is_unique(self) -> None:
        command = catalog.ListProduct("P-1", "Pen", "Brand#1", "TIN", Money("12.3"))
        refusal = refused("SKU_TAKEN", catalog.list_product, command, "p-9", NOON)
        assert [field.pointer for field in refusal.fields] == ["#/sku"]

    def test_a_price_changes(self) -> None:
        changed = only(catalog.change_price(PRODUCT, catalog.ChangePrice(Money("1")), NOON))
        assert changed == replace(PRODUCT, price=Decimal("1.00"))
        assert not catalog.change_price(PRODUCT, catalog.ChangePrice(Money("12.30")), NOON)

    def test_a_product_is_discontinued_once_and_then_has_no_price_to_change(self) -> None:
        gone = only(catalog.discontinue(PRODUCT, catalog.DiscontinueProduct(), NOON))
        assert gone == replace(PRODUCT, available=False)
        refused("PRODUCT_DISCONTINUED", catalog.discontinue, gone, catalog.DiscontinueProduct(), NOON)
        refused("PRODUCT_DISCONTINUED", catalog.change_price, gone, catalog.ChangePrice(Money("1")), NOON)

    def test_only_a_discontinued_product_is_removed(self) -> None:
        refused("PRODUCT_AVAILABLE", catalog.remove, PRODUCT, catalog.RemoveProduct(), NOON)
        removed = only(catalog.remove(replace(PRODUCT, available=False), catalog.RemoveProduct(), NOON))
        assert removed == ProductRemoved()
        assert catalog.evolve(PRODUCT, ProductRemoved()) is None


def placing(*lines: tuple[str, str]) -> PlaceOrder:
    return PlaceOrder("c-1", tuple(PlaceOrderLine(product, Quantity(quantity)) for product, quantity in lines))


class TestOrders:
    def test_an_order_is_placed_at_the_catalogs_price(self) -> None:
        offers = {"p-1": Offer(Decimal("12.30"), available=True), "p-2": Offer(Decimal("0.33"), available=True)}
        placed = only(orders.place(placing(("p-1", "2"), ("p-2", "1.5")), offers, NOON))
        assert isinstance(placed, orders.OrderPlaced)
        assert [(line.number, line.product_id, str(line.amount)) for line in placed.lines] == [
            (1, "p-1", "24.60"),
            (2, "p-2", "0.50"),  # 0.495, half-even
        ]
        assert str(placed.total) == "25.10"
        assert (placed.customer_id, placed.placed_at) == ("c-1", NOON)

    @pytest.mark.parametrize(("quantity", "amount"), [("0.5", "0.02"), ("1.5", "0.08"), ("2.5", "0.12")])
    def test_amounts_are_rounded_half_even(self, quantity: str, amount: str) -> None:
        placed = only(orders.place(placing(("p-1", quantity)), {"p-1": Offer(Decimal("0.05"), available=True)}, NOON))
        assert isinstance(placed, orders.OrderPlaced)
        assert str(placed.lines[0].amount) == amount

    def test_a_total_has_discount_and_tax(self) -> None:
        lines = [
            replace(LINE, amount=Decimal("100.00"), discount=Decimal("0.05"), tax=Decimal("0.02")),
            replace(LINE, amount=Decimal("10.01"), discount=Decimal("0.10"), tax=Decimal("0.08")),
        ]
        assert orders.total(lines) == Decimal("106.63")  # 96.9000 + 9.729720

    def test_the_largest_order_is_still_exact(self) -> None:
        offers = {"p-1": Offer(Decimal("999999999999.99"), available=True)}
        placed = only(orders.place(placing(*[("p-1", "999999.999999")] * 100), offers, NOON))
        assert isinstance(placed, orders.OrderPlaced)
        assert placed.lines[0].amount == Decimal("999999999998990000.00")
        assert placed.total == 100 * placed.lines[0].amount

    def test_only_known_available_products(self) -> None:
        offers = {"p-1": Offer(Decimal(1), available=True), "p-2": Offer(Decimal(1), available=False)}
        unknown = refused(
            "PRODUCT_UNKNOWN", orders.place, placing(("p-1", "1"), ("p-2", "1"), ("p-3", "1")), offers, NOON
        )
        assert [field.pointer for field in unknown.fields] == ["#/lines/2/product", "#/lines/1/product"]
        assert unknown.may_arrive
        sold_out = refused("PRODUCT_UNAVAILABLE", orders.place, placing(("p-2", "1")), offers, NOON)
        assert not sold_out.may_arrive

    def test_a_placed_order_is_confirmed_once(self) -> None:
        confirmed = orders.evolve(ORDER, only(orders.confirm(ORDER, orders.ConfirmOrder(), LATER)))
        assert confirmed == replace(ORDER, status=OrderStatus.CONFIRMED)
        refused("ORDER_CONFIRMED", orders.confirm, confirmed, orders.ConfirmOrder(), LATER)

    def test_a_cancelled_order_is_neither_confirmed_nor_cancelled_again(self) -> None:
        cancelled = replace(ORDER, status=OrderStatus.CANCELLED)
        refused("ORDER_CANCELLED", orders.confirm, cancelled, orders.ConfirmOrder(), LATER)
        refused("ORDER_CANCELLED", orders.cancel, cancelled, orders.CancelOrder(), LATER)

    @pytest.mark.parametrize("status", [OrderStatus.PLACED, OrderStatus.CONFIRMED])
    def test_an_order_is_cancelled_with_its_reason(self, status: OrderStatus) -> None:
        event = only(orders.cancel(replace(ORDER, status=status), orders.CancelOrder(reason="too late"), LATER))
        assert event == orders.OrderCancelled("c-1", "too late", LATER)

    def test_a_completed_order_is_not_cancelled(self) -> None:
        refused(
            "ORDER_COMPLETED", orders.cancel, replace(ORDER, status=OrderStatus.COMPLETED), orders.CancelOrder(), NOON
        )


class TestPayments:
    def test_only_for_a_known_living_order(self) -> None:
        command = payments.AuthorizePayment("o-1", Money("43.05"))
        assert refused("ORDER_UNKNOWN", payments.authorize, command, None, NOON).may_arrive
        refused("ORDER_CANCELLED", payments.authorize, command, payments.KnownOrder("c-1", cancelled=True), NOON)
        event = only(payments.authorize(command, payments.KnownOrder("c-1"), NOON))
        assert payments.evolve(None, event) == PAYMENT

    def test_captures_never_exceed_the_authorisation(self) -> None:
        event = only(payments.capture(PAYMENT, payments.CapturePayment(Money("40")), LATER))
        assert event == payments.PaymentCaptured("o-1", "c-1", Decimal("40.00"), LATER)
        captured = payments.evolve(PAYMENT, event)
        assert captured == replace(PAYMENT, status=PaymentStatus.CAPTURED, captured=Decimal("40.00"))
        refused("ABOVE_AUTHORIZATION", payments.capture, captured, payments.CapturePayment(Money("3.06")), LATER)
        assert only(payments.capture(captured, payments.CapturePayment(Money("3.05")), LATER))

    def test_refunds_never_exceed_what_was_captured(self) -> None:
        refused("ABOVE_CAPTURED", payments.refund, PAYMENT, payments.RefundPayment(Money("0.01")), LATER)
        captured = replace(PAYMENT, status=PaymentStatus.CAPTURED, captured=Decimal("10.00"))
        partly = payments.evolve(captured, only(payments.refund(captured, payments.RefundPayment(Money("4")), LATER)))
        assert partly == replace(captured, refunded=Decimal("4.00"))
        refused("ABOVE_CAPTURED", payments.refund, partly, payments.RefundPayment(Money("6.01")), LATER)
        refused("PAYMENT_REFUNDED", payments.capture, partly, payments.CapturePayment(Money("1")), LATER)
        wholly = payments.evolve(partly, only(payments.refund(partly, payments.RefundPayment(Money("6")), LATER)))
        assert wholly == replace(captured, status=PaymentStatus.REFUNDED, refunded=Decimal("10.00"))

    def test_only_an_untouched_payment_fails_and_a_failed_one_takes_nothing(self) -> None:
        captured = replace(PAYMENT, status=PaymentStatus.CAPTURED, captured=Decimal("1.00"))
        refused("PAYMENT_NOT_AUTHORIZED", payments.fail, captured, payments.FailPayment("no funds"), LATER)
        failed = payments.evolve(PAYMENT, only(payments.fail(PAYMENT, payments.FailPayment("no funds"), LATER)))
        assert failed == replace(PAYMENT, status=PaymentStatus.FAILED)
        refused("PAYMENT_FAILED", payments.capture, failed, payments.CapturePayment(Money("1")), LATER)


class TestShipping:
    order = shipping.KnownOrder("c-1", (1, 2, 3))

    def test_only_lines_of_a_known_living_order(self) -> None:
        command = shipping.CreateShipment("o-1", (1,))
        assert refused("ORDER_UNKNOWN", shipping.create, command, KnownLines(None, {}), NOON).may_arrive
        dead = shipping.KnownOrder("c-1", (1,), cancelled=True)
        refused("ORDER_CANCELLED", shipping.create, command, KnownLines(dead, {}), NOON)

    def test_each_line_travels_once(self) -> None:
        command = shipping.CreateShipment("o-1", (1, 2, 7, 3, 3))
        refusal = refused("LINES_NOT_SHIPPABLE", shipping.create, command, KnownLines(self.order, {2: "s-9"}), NOON)
        assert [field.pointer for field in refusal.fields] == ["#/lineNumbers/1", "#/lineNumbers/2", "#/lineNumbers/4"]

    def test_lines_ascend(self) -> None:
        command = shipping.CreateShipment("o-1", (2, 1), "RAIL")
        event = only(shipping.create(command, KnownLines(self.order, {}), NOON))
        assert shipping.evolve(None, event) == SHIPMENT

    def test_a_shipment_goes_out_arrives_or_comes_back_and_goes_out_again(self) -> None:
        sent = shipping.evolve(SHIPMENT, only(shipping.dispatch(SHIPMENT, shipping.DispatchShipment(), LATER)))
        assert sent == replace(SHIPMENT, status=ShipmentStatus.DISPATCHED, dispatched_at=LATER)
        refused("SHIPMENT_DISPATCHED", shipping.dispatch, sent, shipping.DispatchShipment(), LATER)
        back = shipping.evolve(sent, only(shipping.fail_delivery(sent, shipping.FailDelivery("nobody"), LATER)))
        assert back == replace(sent, status=ShipmentStatus.DELIVERY_FAILED)
        refused("SHIPMENT_NOT_DISPATCHED", shipping.confirm_delivery, back, shipping.ConfirmDelivery(), LATER)
        again: Any = shipping.evolve(back, only(shipping.dispatch(back, shipping.DispatchShipment(), LATER)))
        there = shipping.evolve(again, only(shipping.confirm_delivery(again, shipping.ConfirmDelivery(), LATER)))
        assert there == replace(sent, status=ShipmentStatus.DELIVERED, delivered_at=LATER)
        refused("SHIPMENT_DELIVERED", shipping.dispatch, there, shipping.DispatchShipment(), LATER)

    def test_only_what_is_on_its_way_arrives_or_fails_to(self) -> None:
        refused("SHIPMENT_NOT_DISPATCHED", shipping.confirm_delivery, SHIPMENT, shipping.ConfirmDelivery(), LATER)
        refused("SHIPMENT_NOT_DISPATCHED", shipping.fail_delivery, SHIPMENT, shipping.FailDelivery("x"), LATER)
