"""Compares what the graph shows with what is expected, value by value, and counts the values."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from tests.integration.tpch.expected import Expected, Json


def compare(shown: Any, said: Any, where: str) -> int:
    """Fails at the first value that differs; the number of values that were compared."""
    wrong = f"{where}: {shown!r}, not {said!r}"
    assert type(shown) is type(said), wrong
    if isinstance(said, dict):
        assert shown.keys() == said.keys(), wrong
        return sum(compare(shown[name], value, f"{where}.{name}") for name, value in said.items())
    if isinstance(said, list):
        assert len(shown) == len(said), wrong
        return sum(compare(shown[index], value, f"{where}[{index}]") for index, value in enumerate(said))
    assert shown == said, wrong
    return 1


def compare_customers(customers: Iterable[Json], said: Expected) -> Counter[str]:
    """Every order of every customer: how many customers, orders, lines, payments, shipments and values are equal."""
    equal: Counter[str] = Counter()
    seen: set[str] = set()
    for shown in customers:
        key = shown["key"]
        assert key not in seen, f"customer {key} is there twice"
        seen.add(key)
        customer, orders = {name: value for name, value in shown.items() if name != "orders"}, shown["orders"]
        equal["values"] += compare(customer, said.customers.get(key), f"customer {key}")
        days = [order["placedAt"] for order in orders]
        assert days == sorted(days, reverse=True), f"customer {key}: the newest order is not the first"
        assert {order["customer"]["key"] for order in orders} <= {key}
        by_key = {order["key"]: _comparable(order) for order in orders}
        assert len(by_key) == len(orders), f"customer {key} has an order twice"
        equal["values"] += compare(by_key, said.orders.get(key, {}), f"customer {key}, order")
        equal["orders"] += len(orders)
        for name in ("lines", "payments", "shipments"):
            equal[name] += sum(len(order[name]) for order in orders)
    assert seen == said.customers.keys()
    equal["customers"] = len(seen)
    return equal


def _comparable(order: Json) -> Json:
    """Shipments by key: all of an order were created when it was placed, so their order says nothing."""
    shipments = sorted(order["shipments"], key=lambda shipment: str(shipment["key"]))
    return {name: value for name, value in order.items() if name != "customer"} | {"shipments": shipments}
