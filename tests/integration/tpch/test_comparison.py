"""The graph says of every customer, order and product what the generator's files say, equal to the cent.

The road between the two is the real one: databases, outboxes, relays, broker, projector, store, gateway.
"""

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from gateway.dev.ports import free_port
from tests.e2e.program import ROOT, Program, assert_nothing_left, start_shop
from tests.integration.tpch import expected
from tests.integration.tpch.compare import compare, compare_customers
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


def test_every_order_of_every_customer(comparison: Comparison, capsys: pytest.CaptureFixture[str]) -> None:
    equal = compare_customers(comparison.customers, comparison.expected)
    assert equal["customers"] == expected.lines_in(comparison.files / "customer.csv")
    assert equal["orders"] == equal["payments"] == expected.lines_in(comparison.files / "orders.csv")
    assert equal["lines"] == expected.lines_in(comparison.files / "lineitem.csv")
    assert equal["shipments"] > 3 * equal["orders"]
    assert equal["values"] > 15 * equal["orders"] + 8 * equal["lines"] + 7 * equal["shipments"]
    with capsys.disabled():
        print(f"\nTPC-H {SCALE}, equal: {', '.join(f'{number:,} {what}' for what, number in sorted(equal.items()))}")


def test_every_product(comparison: Comparison, capsys: pytest.CaptureFixture[str]) -> None:
    products = {product["key"]: product for product in comparison.products}
    values = compare(products, comparison.expected.products, "products")
    assert len(products) == len(comparison.products) == expected.lines_in(comparison.files / "part.csv")
    titles = [product["title"] for product in comparison.products]
    assert titles == sorted(titles)
    with capsys.disabled():
        print(f"\nTPC-H {SCALE}, equal: {len(products):,} products, {values:,} values")


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
