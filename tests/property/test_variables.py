"""Variables are coerced as graphql-core coerces them, and what it refuses is refused, for every input type of the shop."""

from typing import Any

import pytest
from graphql import (
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLType,
    OperationDefinitionNode,
    get_named_type,
    is_enum_type,
    is_input_type,
    parse,
    type_from_ast,
)
from graphql.execution.values import get_variable_values
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.engine.variables import VariableReader
from gateway.errors import VariablesError
from tests.serving import COMPOSED

SCHEMA = COMPOSED.schema
NAMES = sorted(name for name, kind in SCHEMA.type_map.items() if is_input_type(kind) and not name.startswith("__"))

junk = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.integers(-(2**33), 2**33), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["a", "customer"]), inner, max_size=2)),
    max_leaves=4,
)  # fmt: skip
texts = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        [
            "12.30", "-0", "1e5", "NaN", "2026-01-31", "2026-01-31T12:00:00Z", "2026-01-31T12:00:00", "٣", "9" * 30, " 1",
            "2026-W05-6", "2026-W05-6T12:00:00Z", "20260131T120000Z",
        ]
    ),
)  # fmt: skip
numbers = st.one_of(st.integers(-(2**31), 2**31 - 1), st.integers(), st.integers(-9, 9).map(float), st.floats())
wrapped = st.sampled_from(["{0}", "{0}!", "[{0}]", "[{0}!]!", "[[{0}!]]", "[[{0}]!]!"])
types = st.builds(lambda wrap, name: wrap.format(name), wrapped, st.sampled_from(NAMES))


@st.composite
def values(draw: st.DrawFn, kind: GraphQLType, *, spoilt: int) -> Any:
    """A value of a type, or, one time in `spoilt`, something else."""
    if draw(st.integers(1, spoilt)) == spoilt:
        return draw(junk)
    if isinstance(kind, GraphQLNonNull):
        return draw(values(kind.of_type, spoilt=spoilt))
    if draw(st.integers(0, 9)) == 0:
        return None
    if isinstance(kind, GraphQLList):
        if draw(st.integers(0, 3)) == 0:
            return draw(values(kind.of_type, spoilt=spoilt))
        return draw(st.lists(values(kind.of_type, spoilt=spoilt), max_size=3))
    if isinstance(kind, GraphQLInputObjectType):
        return {
            name: draw(values(field.type, spoilt=spoilt))
            for name, field in kind.fields.items()
            if isinstance(field.type, GraphQLNonNull) or draw(st.booleans())
        }
    if is_enum_type(kind):
        return draw(st.sampled_from(sorted(kind.values)))
    match get_named_type(kind).name:
        case "Boolean":
            return draw(st.booleans())
        case "Int" | "Float":
            return draw(numbers)
        case _:
            return draw(st.one_of(texts, numbers))


@st.composite
def cases(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """Up to three declared variables, and values for some of them."""
    declared: list[str] = []
    given: dict[str, Any] = {}
    spoilt = draw(st.sampled_from([12, 200]))
    for number in range(draw(st.integers(1, 3))):
        spelled = draw(types)
        name = f"v{number}"
        declared.append(f"${name}: {spelled}")
        if draw(st.integers(0, 7)):
            node = parse(f"query(${name}: {spelled}) {{ a }}").definitions[0]
            assert isinstance(node, OperationDefinitionNode)
            kind = type_from_ast(SCHEMA, (node.variable_definitions or ())[0].type)
            assert kind is not None
            given[name] = draw(values(kind, spoilt=spoilt))
    return f"query({', '.join(declared)}) {{ a }}", given


@settings(max_examples=300, deadline=None)
@given(cases())
def test_variables_are_coerced_as_graphql_core_does(case: tuple[str, dict[str, Any]]) -> None:
    text, given = case
    [node] = parse(text).definitions
    assert isinstance(node, OperationDefinitionNode)
    definitions = node.variable_definitions or ()
    wanted = get_variable_values(SCHEMA, definitions, given)
    reader = VariableReader(SCHEMA, definitions)
    if isinstance(wanted, list):
        with pytest.raises(VariablesError) as caught:
            reader.read(given)
        variables = {problem.locations[0].column for problem in wanted if problem.locations}
        assert [error["locations"][0]["column"] for error in caught.value.errors] == sorted(variables)
    else:
        assert repr(reader.read(given)) == repr(wanted.coerced)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(["1", "null", "[1, 2]", "[[1]]", "[null]"]), st.booleans())
def test_defaults_are_coerced_as_graphql_core_does(default: str, is_given: bool) -> None:
    [node] = parse(f"query($a: [[Int]] = {default}, $s: [OrderStatus!] = PLACED) {{ a }}").definitions
    assert isinstance(node, OperationDefinitionNode)
    given = {"a": 5} if is_given else {}
    wanted = get_variable_values(SCHEMA, node.variable_definitions or (), given)
    assert not isinstance(wanted, list)
    assert repr(VariableReader(SCHEMA, node.variable_definitions or ()).read(given)) == repr(wanted.coerced)
