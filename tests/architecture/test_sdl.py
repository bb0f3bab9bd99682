"""The committed SDL is what the contexts compose to, and has all of the shop's binding graph, name for name.

The fixture is compared as a syntax tree: it leaves connections and results that follow a pattern unsaid, so it is no
schema that can be built. What it leaves unsaid is spelled out here by the same patterns.
"""

from functools import cache
from typing import Final

import pytest
from graphql import (
    DefinitionNode,
    EnumTypeDefinitionNode,
    FieldDefinitionNode,
    InputObjectTypeDefinitionNode,
    InputValueDefinitionNode,
    InterfaceTypeDefinitionNode,
    ObjectTypeDefinitionNode,
    ScalarTypeDefinitionNode,
    UnionTypeDefinitionNode,
    parse,
    print_ast,
)

from gateway.compose import compose
from projections.catalog import PROJECTIONS
from schema.catalog import CONTEXTS
from tests.architecture.tree import ROOT
from tests.shop_contexts import IS_SERVED

LATER_FIELDS: Final = {"Query.command"}
LATER_TYPES: Final = {"CommandStatus"}
"""What the fixture has and this graph has not yet. One that is there by now is taken off these lists."""

CONNECTIONS: Final = ("Customer", "Product", "Activity")
INPUTS_BY_PATTERN: Final = {
    "DiscontinueProductInput": "commandId: ID  expectedVersion: Int  product: ID!",
    "RefundPaymentInput": "commandId: ID  expectedVersion: Int  payment: ID!  amount: Decimal!",
    "DispatchShipmentInput": "commandId: ID  expectedVersion: Int  shipment: ID!",
    "ConfirmDeliveryInput": "commandId: ID  expectedVersion: Int  shipment: ID!",
}
READ_BY_COMMAND: Final = {
    "Customer": ("RegisterCustomer", "ChangeContact"),
    "Product": ("ListProduct", "ChangePrice", "DiscontinueProduct"),
    "Order": ("PlaceOrder", "ConfirmOrder", "CancelOrder"),
    "Payment": ("AuthorizePayment", "CapturePayment", "RefundPayment"),
    "Shipment": ("CreateShipment", "DispatchShipment", "ConfirmDelivery"),
}

shop_is_served = pytest.mark.skipif(not IS_SERVED, reason="the catalogs do not name the shop any more")

Fielded = ObjectTypeDefinitionNode | InterfaceTypeDefinitionNode
Definitions = dict[str, DefinitionNode]


def definitions(sdl: str) -> Definitions:
    return {node.name.value: node for node in parse(sdl, no_location=True).definitions if hasattr(node, "name")}


@cache
def ours() -> Definitions:
    return definitions((ROOT / "schema" / "schema.graphql").read_text(encoding="utf-8"))


@cache
def theirs() -> Definitions:
    """The fixture, and what it says by pattern."""
    said = (ROOT / "tests" / "fixtures" / "shop.graphql").read_text(encoding="utf-8")
    found = definitions(said)
    patterns = [
        print_ast(found[part]).replace("Order", entity)
        for entity in CONNECTIONS
        for part in ("OrderConnection", "OrderEdge")
    ]
    patterns += [f"input {name} {{ {fields} }}" for name, fields in INPUTS_BY_PATTERN.items()]
    for entity, commands in READ_BY_COMMAND.items():
        for command in commands:
            shared = "CommandRefused | VersionConflict | OutcomeUnknown"
            patterns.append(f"union {command}Result = {command}Accepted | {shared}")
            patterns.append(f"type {command}Accepted {{ receipt: Receipt!  {entity.lower()}: {entity} }}")
    by_pattern = definitions("\n".join(patterns))
    for name, node in by_pattern.items():
        assert name not in found or differences(name, found[name], node) == [], f"{name} does not follow its pattern"
    return {**by_pattern, **found}


def differences(name: str, wanted: DefinitionNode, node: DefinitionNode | None) -> list[str]:
    """What `node` lacks of `wanted`, or has otherwise. Objects may have more fields; nothing else may differ."""
    if type(node) is not type(wanted):
        return [f"{name}: {type(wanted).__name__} wanted, {type(node).__name__} found"]
    match wanted, node:
        case ObjectTypeDefinitionNode(), ObjectTypeDefinitionNode():
            return _fields(name, wanted, node)
        case InterfaceTypeDefinitionNode(), InterfaceTypeDefinitionNode():
            return _fields(name, wanted, node)
        case InputObjectTypeDefinitionNode(), InputObjectTypeDefinitionNode():
            return _values(name, wanted.fields or (), node.fields or ())
        case EnumTypeDefinitionNode(), EnumTypeDefinitionNode():
            found = {value.name.value for value in node.values or ()}
            return _same(name, {value.name.value for value in wanted.values or ()}, found)
        case UnionTypeDefinitionNode(), UnionTypeDefinitionNode():
            members = {kind.name.value for kind in wanted.types or ()}
            return _same(name, members, {kind.name.value for kind in node.types or ()})
        case ScalarTypeDefinitionNode(), ScalarTypeDefinitionNode():
            return []
    return [f"{name}: a {type(wanted).__name__}, which this test does not know"]


def _fields(name: str, wanted: Fielded, node: Fielded) -> list[str]:
    interfaces = {kind.name.value for kind in wanted.interfaces or ()}
    faults = _same(f"{name} implements", interfaces, {kind.name.value for kind in node.interfaces or ()})
    found = {field.name.value: field for field in node.fields or ()}
    for field in wanted.fields or ():
        place = f"{name}.{field.name.value}"
        if place not in LATER_FIELDS:
            faults += _field(place, field, found.get(field.name.value))
    return faults


def _field(place: str, wanted: FieldDefinitionNode, field: FieldDefinitionNode | None) -> list[str]:
    if field is None:
        return [f"{place} is missing"]
    faults = _values(place, wanted.arguments or (), field.arguments or ())
    return faults + _same(place, {print_ast(wanted.type)}, {print_ast(field.type)})


def _values(
    place: str, wanted: tuple[InputValueDefinitionNode, ...], found: tuple[InputValueDefinitionNode, ...]
) -> list[str]:
    """Arguments or input fields, defaults included."""

    def spelled(value: InputValueDefinitionNode) -> str:
        default = f" = {print_ast(value.default_value)}" if value.default_value else ""
        return f"{value.name.value}: {print_ast(value.type)}{default}"

    return _same(place, {spelled(value) for value in wanted}, {spelled(value) for value in found})


def _same(place: str, wanted: set[str], found: set[str]) -> list[str]:
    return [] if wanted == found else [f"{place}: {sorted(wanted)} wanted, {sorted(found)} found"]


def test_the_committed_sdl_is_fresh() -> None:
    committed = (ROOT / "schema" / "schema.graphql").read_text(encoding="utf-8")
    assert committed == compose(CONTEXTS, PROJECTIONS).sdl(), (
        "schema.graphql is stale: run python -m gateway schema --write"
    )


def test_the_order_of_contexts_does_not_matter() -> None:
    assert compose(CONTEXTS[::-1], PROJECTIONS[::-1]).sdl() == compose(CONTEXTS, PROJECTIONS).sdl()


@shop_is_served
def test_all_of_the_binding_graph_is_there() -> None:
    faults: list[str] = []
    for name, wanted in theirs().items():
        if name not in LATER_TYPES:
            faults += differences(name, wanted, ours().get(name))
    assert faults == []


@shop_is_served
def test_every_mutation_of_the_binding_graph_is_looked_at() -> None:
    mutation = theirs()["Mutation"]
    assert isinstance(mutation, ObjectTypeDefinitionNode)
    for field in mutation.fields or ():
        title = field.name.value[0].upper() + field.name.value[1:]
        assert {f"{title}Input", f"{title}Result", f"{title}Accepted"} <= theirs().keys()


@shop_is_served
def test_what_is_not_there_yet_is_on_the_list_and_nothing_else() -> None:
    there = {
        f"{name}.{field.name.value}"
        for name, node in ours().items()
        if isinstance(node, ObjectTypeDefinitionNode)
        for field in node.fields or ()
    }
    assert there & LATER_FIELDS == set(), "it is there: take it off LATER_FIELDS"
    assert ours().keys() & LATER_TYPES == set(), "it is there: take it off LATER_TYPES"
    binding = {
        f"{name}.{field.name.value}"
        for name, node in theirs().items()
        if isinstance(node, ObjectTypeDefinitionNode)
        for field in node.fields or ()
    }
    assert binding >= LATER_FIELDS, "not in the fixture any more"


WANTED: Final = """
interface Node { id: ID! }
type A implements Node { id: ID! list(first: Int): [B!]! }
type B { x: Int }
enum E { ONE TWO }
union U = A | B
input I { a: Int! b: Int }
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("implements Node { id: ID! list", "{ id: ID! list"),
        ("[B!]!", "[B!]"),
        ("[B!]!", "[B]!"),
        ("(first: Int)", ""),
        ("(first: Int)", "(first: Int!)"),
        ("(first: Int)", "(first: Int = 3)"),
        ("(first: Int)", "(first: Int, after: String)"),
        ("ONE TWO", "ONE"),
        ("ONE TWO", "ONE TWO THREE"),
        ("A | B", "A"),
        ("a: Int!", "a: Int"),
        ("type B { x: Int }", "interface B { x: Int }"),
        ("x: Int", "y: Int"),
    ],
)
def test_each_kind_of_difference_would_be_found(old: str, new: str) -> None:
    wanted = definitions(WANTED)
    assert old in WANTED
    changed = definitions(WANTED.replace(old, new, 1))
    assert [fault for name, node in wanted.items() for fault in differences(name, node, changed.get(name))]
    assert [fault for name, node in wanted.items() for fault in differences(name, node, node)] == []
