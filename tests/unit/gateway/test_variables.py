"""Variables that do not fit: told where, and what was expected, never what was sent."""

from typing import Any

import pytest
from graphql import OperationDefinitionNode, build_schema, parse

from gateway.engine.variables import MAX_PROBLEMS, VariableReader
from gateway.errors import VariablesError
from tests.serving import COMPOSED

SECRET = "s3cr3t"


def reader(declared: str, schema: Any = COMPOSED.schema) -> VariableReader:
    [node] = parse(f"query({declared}) {{ __typename }}").definitions
    assert isinstance(node, OperationDefinitionNode)
    return VariableReader(schema, node.variable_definitions or ())


def told(declared: str, given: dict[str, Any], schema: Any = COMPOSED.schema) -> list[str]:
    with pytest.raises(VariablesError) as caught:
        reader(declared, schema).read(given)
    assert SECRET not in str(caught.value.errors)
    return [error["message"] for error in caught.value.errors]


ORDER = {"customer": "c-1", "lines": [{"product": "p-1", "quantity": "1"}]}


@pytest.mark.parametrize(
    ("declared", "given", "message"),
    [
        ("$id: ID!", {}, "Variable $id is missing: expected ID!"),
        ("$id: ID!", {"id": None}, "Variable $id is null: expected ID!"),
        ("$id: ID", {"id": [SECRET]}, "Variable $id does not fit: expected ID"),
        ("$ids: [ID!]!", {"ids": ["a", None]}, "Variable $ids[1] is null: expected ID!"),
        ("$ids: [ID!]!", {"ids": ["a", "b", {"a": SECRET}]}, "Variable $ids[2] does not fit: expected ID"),
        ("$n: Int", {"n": SECRET}, "Variable $n does not fit: expected Int"),
        ("$n: Int", {"n": 2**31}, "Variable $n does not fit: expected Int"),
        ("$n: Int", {"n": True}, "Variable $n does not fit: expected Int"),
        ("$s: OrderStatus", {"s": SECRET}, "Variable $s does not fit: expected OrderStatus"),
        ("$s: OrderStatus", {"s": 1}, "Variable $s does not fit: expected OrderStatus"),
        ("$d: Date", {"d": SECRET}, "Variable $d does not fit: expected Date: a Date reads YYYY-MM-DD, such as 2026-01-31"),
        ("$i: PlaceOrderInput!", {"i": SECRET}, "Variable $i does not fit: expected PlaceOrderInput"),
        ("$i: PlaceOrderInput!", {"i": {}}, "Variable $i.customer is missing: expected ID!"),
        ("$i: PlaceOrderInput!", {"i": {**ORDER, "lines": None}}, "Variable $i.lines is null: expected [PlaceOrderLine!]!"),
        (
            "$i: PlaceOrderInput!",
            {"i": {**ORDER, "lines": [*ORDER["lines"], {"product": 1}]}},
            "Variable $i.lines[1].quantity is missing: expected Decimal!",
        ),
        (
            "$i: PlaceOrderInput!",
            {"i": {**ORDER, "lines": [{"product": "p", "quantity": 1.5}]}},
            "Variable $i.lines[0].quantity does not fit: expected Decimal: "
            'a Decimal is a string such as "12.30", or a whole number',
        ),
        (
            "$i: PlaceOrderInput!",
            {"i": {**ORDER, "custmer": 1}},
            "Variable $i has a field custmer that PlaceOrderInput does not have",
        ),
        (
            "$i: PlaceOrderInput!",
            {"i": {**ORDER, f"{SECRET}?": 1}},
            "Variable $i has a field that PlaceOrderInput does not have",
        ),
        (
            "$i: PlaceOrderInput!",
            {"i": {**ORDER, SECRET * 9: 1}},
            "Variable $i has a field that PlaceOrderInput does not have",
        ),
    ],
)  # fmt: skip
def test_a_variable_that_does_not_fit(declared: str, given: dict[str, Any], message: str) -> None:
    assert told(declared, given) == [message]


def test_each_variable_is_told_once_where_it_is_declared() -> None:
    with pytest.raises(VariablesError) as caught:
        reader("$a: Int,\n  $b: [Int]").read({"a": "x", "b": ["x", "y"]})
    assert [(error["message"], error["locations"], error["extensions"]) for error in caught.value.errors] == [
        ("Variable $a does not fit: expected Int", [{"line": 1, "column": 7}], {"code": "BAD_USER_INPUT"}),
        ("Variable $b[0] does not fit: expected Int", [{"line": 2, "column": 3}], {"code": "BAD_USER_INPUT"}),
    ]
    assert str(caught.value) == "Variable $a does not fit: expected Int"


def test_errors_are_bounded() -> None:
    found = told(" ".join(f"$v{number}: Int" for number in range(50)), {f"v{number}": SECRET for number in range(50)})
    assert len(found) == MAX_PROBLEMS


def test_a_long_name_is_cut_short() -> None:
    [message] = told(f"${'v' * 5000}: Int!", {})
    assert len(message) < 100


def test_what_nobody_declared_is_ignored() -> None:
    assert reader("$a: Int").read({"a": 1, "b": object()}) == {"a": 1}
    assert reader("$a: Int").read(None) == {}


def test_left_out_is_not_null() -> None:
    both = reader("$a: Int = 5, $b: Int")
    assert both.read({}) == {"a": 5}
    assert both.read({"a": None, "b": None}) == {"a": None, "b": None}
    assert told("$a: Int! = 5", {"a": None}) == ["Variable $a is null: expected Int!"]


LOOPED = build_schema("type Query { a(in: Loop): Int } input Loop { loop: Loop, loops: [Loop!], n: Int = 3 }")


def looped(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"loop": value}
    return value


def test_a_type_may_hold_itself() -> None:
    assert reader("$a: Loop", LOOPED).read({"a": {"loops": {"loop": {}}}}) == {
        "a": {"loops": [{"loop": {"n": 3}, "n": 3}], "n": 3}
    }
    reader("$a: Loop", LOOPED).read({"a": looped(200)})


@pytest.mark.parametrize("depth", [201, 100_000])
def test_a_value_that_goes_on_for_ever_is_refused(depth: int) -> None:
    [message] = told("$a: Loop", {"a": looped(depth)}, LOOPED)
    assert message.endswith("is nested too deeply")


ONE_OF = build_schema("type Query { a(in: Which): Int } input Which @oneOf { a: Int, b: String }")


@pytest.mark.parametrize("value", [{}, {"a": 1, "b": "x"}, {"a": None}])
def test_exactly_one(value: dict[str, Any]) -> None:
    assert reader("$w: Which", ONE_OF).read({"w": {"a": 1}}) == {"w": {"a": 1}}
    assert told("$w: Which", {"w": value}, ONE_OF) == [
        "Variable $w does not fit: Which takes exactly one field, which is not null"
    ]
