"""A history goes into a shop that runs, while parts of it are killed; afterwards all of it is shown, and can be sold from."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.program import ROOT, environment
from tests.integration.loop.parts import Loop
from tests.integration.tpch import expected
from tests.integration.tpch.compare import compare, compare_customers
from tests.integration.tpch.shown import Graph
from tests.until import until

SCALE = "0.0002"
PLACE = """mutation($input: PlaceOrderInput!) { placeOrder(input: $input) {
  __typename
  ... on PlaceOrderAccepted { order { total customer { name } lines { amount product { sku } } } }
  ... on CommandRefused { code } } }"""


class Loading:
    """`python -m examples.shop load` against databases that the environment names; what it says on both outputs."""

    def __init__(self, data: Path, port: int, scale: str) -> None:
        self.said: list[str] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "examples.shop", "load", "--tpch", scale],
            cwd=ROOT,
            env=environment(SHOP_DATA=str(data), HEADRACE_PORT=str(port)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def says(self, beginning: str) -> bool:
        return any(line.startswith(beginning) for line in self.said)

    def wait(self, within_s: float = 60.0) -> int:
        """The exit code, once all that it says has been read."""
        code = self._process.wait(within_s)
        self._reader.join(within_s)
        return code

    def end(self) -> None:
        self._process.kill()
        self.wait()
        assert self._process.stdout
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self.said.append(line.rstrip("\n"))


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Loop]:
    with Loop(tmp_path) as found:
        for name in ("shop", "projector", "gateway"):
            found.start(name)
        found.until_answers()
        yield found


@pytest.fixture
def loading(loop: Loop, tmp_path: Path) -> Iterator[Loading]:
    found = Loading(tmp_path / "shop", loop.port, SCALE)
    yield found
    found.end()


def test_services_and_projector_are_killed_on_the_way(loop: Loop, loading: Loading, tmp_path: Path) -> None:
    until(lambda: loading.says("orders: "), within_s=30, what="the first orders")
    loop.kill("shop")
    loop.kill("projector")
    loop.start("shop")
    loop.start("projector")
    files = tmp_path / "csv"
    expected.generate(SCALE, files)
    said = expected.read(files)
    assert loading.wait() == 0, loading.said
    assert loading.said[-2].startswith(f"TPC-H at scale {SCALE}: {len(said.customers)} customers, ")
    assert loading.said[-1].startswith("generated in ")

    graph = Graph(loop.http)
    assert compare_customers(graph.customers(), said)["orders"] == expected.lines_in(files / "orders.csv")
    assert compare({product["key"]: product for product in graph.products()}, said.products, "product") > 0
    assert_can_be_sold_from(graph, said)


def assert_can_be_sold_from(graph: Graph, said: expected.Expected) -> None:
    """An order of a loaded customer for a loaded product is taken at the loaded price, and read with its own token."""
    customer, product = said.customers["1"], said.products["1"]
    order: dict[str, Any] = {"customer": "1", "lines": [{"product": "1", "quantity": "1"}]}
    answer = graph.ask(PLACE, input=order)["data"]["placeOrder"]
    assert answer == {
        "__typename": "PlaceOrderAccepted",
        "order": {
            "total": product["price"],
            "customer": {"name": customer["name"]},
            "lines": [{"amount": product["price"], "product": {"sku": "P-1"}}],
        },
    }
