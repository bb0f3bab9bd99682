"""The seed's plan: the same for the same number, and with every fate of an order in it."""

from examples.shop.seed import CUSTOMERS, ORDERS, PRODUCTS, plan_orders


def test_the_same_number_gives_the_same_orders() -> None:
    assert plan_orders(7) == plan_orders(7)
    assert plan_orders(7) != plan_orders(8)


def test_every_fate_is_in_it_and_the_first_order_goes_all_the_way() -> None:
    plans = plan_orders(1)
    assert len(plans) == ORDERS
    assert plans[0].fate == "completed"
    assert {plan.fate for plan in plans} == {
        "placed",
        "confirmed",
        "cancelled",
        "paid",
        "refunded",
        "shipped",
        "completed",
    }


def test_orders_are_within_the_services_rules() -> None:
    for plan in plan_orders(1):
        assert 0 <= plan.customer < CUSTOMERS
        products = [product for product, _ in plan.lines]
        assert 1 <= len(products) == len(set(products)) <= 5
        assert all(0 <= product < PRODUCTS and quantity > 0 for product, quantity in plan.lines)
