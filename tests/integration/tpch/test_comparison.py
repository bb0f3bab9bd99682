"""The graph says of every customer, order and product what the generator's files say, equal to the cent.

The road between the two is the real one: databases, outboxes, relays, broker, projector, store, gateway.
"""

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.dev.ports import free_port
from tests.e2e.program import ROOT, Program, assert_nothing_left, start_shop
from tests.integration.tpch import expected
from tests.integration.tpch.expected import Expected
from tests.integration.tpch.shown import Graph, Json

SCALE = "0.001"


@dataclass(frozen=True)
class Comparison:
    """What the files say, what the graph said before anything was changed, and the graph."""

    files: Path
    expected: Expected
    customers: list[Json]
    products: list[Json]
    counts: dict[str, int]
    graph: Graph


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Comparison]:
    """A shop that started with the history of this scale, walked through."""
    files, temporary = tmp_path_factory.mktemp("csv"), tmp_path_factory.mktemp("temporary")
    port = free_port()
    with start_shop(ROOT, temporary, port, "--tpch", SCALE) as program:
        expected.generate(SCALE, files)
        said = expected.read(files)
        program.line("ready ")
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as http:
            graph = Graph(http)
            customers, products = list(graph.customers()), list(graph.products())
            yield Comparison(files, said, customers, products, graph.counts(), graph)
        stop(program, temporary)


def stop(program: Program, temporary: Path) -> None:
    children = program.descendants()
    program.send(signal.SIGTERM)
    program.wait()
    assert_nothing_left(children, temporary)


def compare(shown: Any, said: Any, where: str) -> int:
    """Fails at the first value that differs; the number of values that were compared."""
    if isinstance(said, dict):
        assert isinstance(shown, dict), f"{where}: {shown!r}, not {said!r}"
        assert shown.keys() == said.keys(), where
        return sum(compare(shown[name], value, f"{where}.{name}") for name, value in said.items())
    if isinstance(said, list):
        assert isinstance(shown, list), f"{where}: {shown!r}, not {said!r}"
        assert len(shown) == len(said), f"{where}: {shown!r}, not {said!r}"
        return sum(
            compare(one, other, f"{where}[{index}]") for index, (one, other) in enumerate(zip(shown, said, strict=True))
        )
    assert type(shown) is type(said), f"{where}: {shown!r}, not {said!r}"
    assert shown == said, f"{where}: {shown!r}, not {said!r}"
    return 1


def test_every_order_of_every_customer(comparison: Comparison, capsys: pytest.CaptureFixture[str]) -> None:
    values = orders = lines = shipments = 0
    customers = {customer["key"]: dict(customer) for customer in comparison.customers}
    assert len(customers) == len(comparison.customers)
    of_customer = {key: customer.pop("orders") for key, customer in customers.items()}
    values += compare(customers, comparison.expected.customers, "customers")
    for key, shown in of_customer.items():
        assert [order["placedAt"] for order in shown] == sorted((order["placedAt"] for order in shown), reverse=True)
        assert {order.pop("customer")["key"] for order in shown} <= {key}
        by_key = {order["key"]: by_shipment(order) for order in shown}
        assert len(by_key) == len(shown)
        values += compare(by_key, comparison.expected.orders.get(key, {}), f"customers.{key}.orders")
        orders += len(shown)
        lines += sum(len(order["lines"]) for order in shown)
        shipments += sum(len(order["shipments"]) for order in shown)
    assert orders == comparison.expected.order_count == expected.lines_in(comparison.files / "orders.csv")
    assert lines == expected.lines_in(comparison.files / "lineitem.csv")
    assert len(customers) == expected.lines_in(comparison.files / "customer.csv")
    with capsys.disabled():
        print(
            f"\nTPC-H {SCALE}: {len(customers):,} customers, {orders:,} orders and payments, {lines:,} lines,"
            f" {shipments:,} shipments: {values:,} values equal"
        )
    assert values > 15 * orders + 8 * lines


def test_every_product(comparison: Comparison, capsys: pytest.CaptureFixture[str]) -> None:
    products = {product["key"]: product for product in comparison.products}
    values = compare(products, comparison.expected.products, "products")
    assert len(products) == len(comparison.products) == expected.lines_in(comparison.files / "part.csv")
    titles = [product["title"] for product in comparison.products]
    assert titles == sorted(titles)
    with capsys.disabled():
        print(f"\nTPC-H {SCALE}: {len(products):,} products: {values:,} values equal")


def test_the_totals(comparison: Comparison) -> None:
    orders = [order for of_customer in comparison.expected.orders.values() for order in of_customer.values()]
    statuses = [order["status"] for order in orders]
    assert comparison.counts == {
        "customers": len(comparison.expected.customers),
        "products": len(comparison.expected.products),
        "orders": len(orders),
        "placed": statuses.count("PLACED"),
        "confirmed": statuses.count("CONFIRMED"),
        "cancelled": 0,
        "completed": statuses.count("COMPLETED"),
    }
    assert min(statuses.count(status) for status in ("PLACED", "CONFIRMED", "COMPLETED")) > 0


CAPTURE = """mutation($input: CapturePaymentInput!) { capturePayment(input: $input) {
  __typename ... on CapturePaymentAccepted { receipt { token versions { id version } } } } }"""
READ = """query($id: ID!) { payment(id: $id) {
  version status amount captured refunded order { key total payments { captured version } } } }"""


def test_a_command_on_what_was_loaded_is_read_with_its_token(comparison: Comparison) -> None:
    orders = [order for of_customer in comparison.expected.orders.values() for order in of_customer.values()]
    order = next(order for order in orders if order["status"] == "PLACED")
    (payment,) = order["payments"]
    id = f"Payment:{payment['key']}"
    command = {"payment": id, "amount": payment["amount"], "expectedVersion": 1}
    answer = comparison.graph.ask(CAPTURE, input=command)["data"]["capturePayment"]
    assert answer["__typename"] == "CapturePaymentAccepted"
    assert answer["receipt"]["versions"] == [{"id": id, "version": 2}]

    read = comparison.graph.ask(READ, answer["receipt"]["token"], id=id)
    assert read["extensions"]["consistency"]["satisfied"] is True
    assert read["data"]["payment"] == {
        "version": 2,
        "status": "CAPTURED",
        "amount": order["total"],
        "captured": order["total"],
        "refunded": "0.00",
        "order": {
            "key": order["key"],
            "total": order["total"],
            "payments": [{"captured": order["total"], "version": 2}],
        },
    }


def by_shipment(order: Json) -> Json:
    """The order with its shipments in the order of their keys: all were created when it was placed."""
    return order | {"shipments": sorted(order["shipments"], key=lambda shipment: str(shipment["key"]))}
