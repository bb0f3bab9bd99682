"""What operations cost: by what fields declare, and by the sizes of lists."""

from collections.abc import Mapping
from typing import Any

import pytest

from gateway.compose import compose
from gateway.engine.cost import EXPECTED_ITEMS, INPUT_COST
from gateway.engine.documents import Documents, Operation
from gateway.engine.limits import Limits
from gateway.errors import TooComplexError
from projections import Event, Index, Projection, View
from schema import BoundedContext, Connection, computed, entity, field, find, get, many
from schema.paging import DEFAULT_PAGE, MAX_PAGE
from tests.serving import COMPOSED

DOCUMENTS = Documents(COMPOSED.schema, COMPOSED.graph, Limits(cost=10**9))


CONFIRM = "mutation($i: ConfirmOrderInput!) { confirmOrder(input: $i) { __typename } }"


def operation(text: str) -> Operation:
    return DOCUMENTS.get(text).operation(None)


def cost(text: str, variables: Mapping[str, Any] | None = None) -> int:
    return operation(text).cost.of(variables or {})


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("{ __typename }", 1),
        ('{ order(id: "o-1") { id total } }', 3),
        ('{ order(id: "o-1") { customer { name } } }', 3),
        ('{ order(id: "o-1") { lines { number } } }', 1 + EXPECTED_ITEMS * 2),
        ('{ order(id: "o-1") { shipments { lineNumbers } } }', 1 + EXPECTED_ITEMS * 2),
        ("{ orders { totalCount } }", 2),
        ("{ orders { nodes { id } } }", 1 + DEFAULT_PAGE * 2),
        ("{ orders(first: 5) { edges { cursor node { id } } } }", 1 + 5 * (1 + 1 + 2)),
        ("{ orders(last: 7) { nodes { id } pageInfo { endCursor } } }", 1 + 7 * 2 + 2),
        ("{ orders(first: 0) { nodes { id } } }", 1),
        ("{ orders(first: 100000) { nodes { id } } }", 1 + MAX_PAGE * 2),
        ("{ orders(first: null) { nodes { id } } }", 1 + DEFAULT_PAGE * 2),
        ("{ orders(first: 2) { ...f } } fragment f on OrderConnection { nodes { id } }", 1 + 2 * 2),
        ("{ a: orders(first: 2) { ...f } b: orders(first: 3) { ...f } } fragment f on OrderConnection { nodes { id } }", 12),
        ("{ orders(first: 4) { nodes { customer { orders(first: 3) { nodes { id } } } } } }", 1 + 4 * (1 + 1 + 1 + 3 * 2)),
        ('{ customer(id: "c-1") { orderCount activity(first: 6) { nodes { what } } } }', 1 + 1 + 1 + 6 * 2),
        ('{ nodes(ids: ["a", "b", "c"]) { id } }', 6),
        ('{ nodes(ids: "a") { id } }', 2),
        ("{ nodes(ids: []) { id } }", 0),
        ('{ nodes(ids: ["a"]) { ...on Order { total } ...on Customer { name } } }', 3),
        ('mutation { confirmOrder(input: {order: "o-1"}) { __typename } }', 11),
        ("{ orders @skip(if: true) { totalCount } }", 2),
        ("{ __schema { types { name } } orders { totalCount } }", 2),
    ],
)  # fmt: skip
def test_the_cost_of_an_operation(text: str, wanted: int) -> None:
    assert cost(text) == wanted
    assert operation(text).cost.by_variables == ()


@pytest.mark.parametrize(
    ("text", "variables", "wanted"),
    [
        ("query($n: Int) { orders(first: $n) { nodes { id } } }", {"n": 3}, 1 + 3 * 2),
        ("query($n: Int) { orders(first: $n) { nodes { id } } }", {"n": None}, 1 + DEFAULT_PAGE * 2),
        ("query($n: Int) { orders(first: $n) { nodes { id } } }", {}, 1 + DEFAULT_PAGE * 2),
        ("query($n: Int) { orders(last: $n) { nodes { id } } }", {"n": -5}, 1),
        ("query($n: Int) { orders(last: $n) { nodes { id } } }", {"n": 2**31}, 1 + MAX_PAGE * 2),
        ("query($ids: [ID!]!) { nodes(ids: $ids) { id } }", {"ids": ["a"] * 9}, 18),
        ("query($a: ID!) { nodes(ids: [$a, $a]) { id } }", {"a": "x"}, 4),
        (CONFIRM, {"i": {"order": "o-1", "expectedVersion": 1}}, 11 + 3 * INPUT_COST),
        (CONFIRM, {"i": {"order": "o-1", "expectedVersion": None}}, 11 + 2 * INPUT_COST),
        (CONFIRM, {}, 11),
        ("mutation($o: ID!) { confirmOrder(input: {order: $o}) { __typename } }", {"o": "o-1"}, 11 + INPUT_COST),
        (
            "mutation($i: PlaceOrderInput!) { a: placeOrder(input: $i) { __typename } b: placeOrder(input: $i) { __typename } }",
            {"i": {"customer": "c-1", "lines": [{"product": "p-1", "quantity": "1"}] * 5}},
            2 * (11 + INPUT_COST * (3 + 5 * 3)),
        ),
        (
            "query($a: Int, $b: Int) { orders(first: $a) { nodes { customer { orders(first: $b) { nodes { id } } } } } }",
            {"a": 4, "b": 3},
            1 + 4 * (1 + 1 + 1 + 3 * 2),
        ),
    ],
)
def test_the_cost_by_variables(text: str, variables: Mapping[str, Any], wanted: int) -> None:
    assert cost(text, variables) == wanted


def test_a_default_is_what_the_cost_goes_by() -> None:
    found = operation("query($n: Int = 50) { orders(first: $n) { nodes { id } } }")
    assert found.cost.of(found.read(None)) == 1 + 50 * 2


def test_an_operation_that_costs_too_much_is_refused_with_its_variables() -> None:
    documents = Documents(COMPOSED.schema, COMPOSED.graph, Limits(cost=101))
    dear = documents.get("query($n: Int = 50) { orders(first: $n) { nodes { id } } }").operation(None)
    assert dear.read(None) == {"n": 50}
    with pytest.raises(TooComplexError, match="costs more than 101"):
        dear.read({"n": 51})
    with pytest.raises(TooComplexError, match="costs more than 101"):
        documents.get("{ orders(first: 51) { nodes { id } } }")


def test_the_default_counts_before_it_is_refused() -> None:
    documents = Documents(COMPOSED.schema, COMPOSED.graph, Limits(cost=90))
    with pytest.raises(TooComplexError):
        documents.get("query($n: Int = 50) { orders(first: $n) { nodes { id } } }").operation(None).read({})


ORDERS_OF_100 = """{ orders(first: 100) { totalCount nodes {
  id key version status placedAt total customer { name }
  lines { number product { title price } quantity amount discount tax }
  payments { id status amount captured } shipments { id status carrier lineNumbers createdAt dispatchedAt } } } }"""


def test_what_the_shop_shows_is_far_below_the_limits() -> None:
    documents = Documents(COMPOSED.schema, COMPOSED.graph, Limits())
    for example in COMPOSED.examples():
        documents.get(example.query)
    small = Documents(COMPOSED.schema, COMPOSED.graph, Limits(cost=1_000, tokens=80, fields=30, depth=5))
    for example in COMPOSED.examples():
        small.get(example.query)
    found = documents.get(ORDERS_OF_100).operation(None)
    assert 20_000 < found.cost.fixed < Limits().cost
    with pytest.raises(TooComplexError):
        documents.get(ORDERS_OF_100[:-1] + ORDERS_OF_100[1:].replace("orders(", "more: orders("))


class ShelfState(Event):
    room: str


class ShelfView(View):
    room: str


def evolve(view: ShelfView | None, event: ShelfState) -> ShelfView:
    return ShelfView(room=event.room)


by_room = Index[ShelfView]("by_room", filters=("room",))
shelf_docs = Projection(
    name="shelves", version=1, topics=["shelves"], aggregate="shelf", state=True, evolve=evolve, indexes=[by_room]
)


@entity(shelf_docs)
class Shelf:
    room: str = field(cost=7)
    label: str = computed(lambda room: room, needs=("room",), cost=5)
    few: "list[Shelf]" = many(shelf_docs, by_room, limit=3, cost=2)
    near: "Connection[Shelf]" = many(shelf_docs, by_room, cost=11)


class ShelfQuery:
    shelf: Shelf | None = get(shelf_docs)
    shelves: Connection[Shelf] = find(shelf_docs, by_room)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('{ shelf(id: "s") { room label } }', 1 + 7 + 5),
        ('{ shelf(id: "s") { few { id } } }', 1 + 3 * (2 + 1)),
        ('{ shelf(id: "s") { near(first: 4) { nodes { room } } } }', 1 + 11 + 4 * (1 + 7)),
        ('{ shelves(room: "r", first: 2) { nodes { room } } }', 1 + 2 * (1 + 7)),
    ],
)
def test_fields_cost_what_they_declare(text: str, wanted: int) -> None:
    composed = compose([BoundedContext("shelves", entities=[Shelf], query=ShelfQuery)], [shelf_docs])
    documents = Documents(composed.schema, composed.graph, Limits())
    assert documents.get(text).operation(None).cost.of({}) == wanted
