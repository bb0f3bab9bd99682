"""Literals are refused where graphql-core refuses them, for every input type of the shop, and never told."""

from graphql import (
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLType,
    get_named_type,
    is_enum_type,
    is_input_type,
    parse,
    parse_type,
    type_from_ast,
    validate,
)
from graphql.validation import ValuesOfCorrectTypeRule
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.engine.literals import LiteralsRule
from tests.serving import COMPOSED

SCHEMA = COMPOSED.schema
NAMES = sorted(name for name, kind in SCHEMA.type_map.items() if is_input_type(kind) and not name.startswith("__"))
MARK = "7355608"
"""In every value that is made up here, and in no message."""

scalars = st.sampled_from(
    [
        "true", MARK, f"{MARK}0000", f"{MARK}.5", f"{MARK}e999", f"ENUM{MARK}", f'"{MARK}"', f'"""{MARK}"""', f'"1E-{MARK}"',
        f'"W{MARK}"',
    ]
)  # fmt: skip
junk = st.recursive(
    scalars | st.just("null"),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.lists(inner, max_size=2).map(
            lambda items: "{" + ", ".join(f"f{n}: {item}" for n, item in enumerate(items)) + "}"
        ),
    ),
    max_leaves=4,
)
wrapped = st.sampled_from(["{0}", "{0}!", "[{0}]", "[{0}!]!", "[[{0}!]]"])
types = st.builds(lambda wrap, name: wrap.format(name), wrapped, st.sampled_from(NAMES))


@st.composite
def literals(draw: st.DrawFn, kind: GraphQLType) -> str:
    """A literal of a type, or, one time in six, something else."""
    if draw(st.integers(1, 6)) == 6:
        return draw(junk)
    if isinstance(kind, GraphQLNonNull):
        return draw(literals(kind.of_type))
    if draw(st.integers(0, 9)) == 0:
        return "null"
    if isinstance(kind, GraphQLList):
        return f"[{', '.join(draw(st.lists(literals(kind.of_type), max_size=3)))}]"
    if isinstance(kind, GraphQLInputObjectType):
        fields = {name: draw(literals(field.type)) for name, field in kind.fields.items() if draw(st.integers(0, 9))}
        return "{" + ", ".join(f"{name}: {value}" for name, value in fields.items()) + "}"
    if is_enum_type(kind):
        return str(draw(st.sampled_from(sorted(kind.values))))
    named = {"Boolean": "true", "Int": "5", "Float": "0.5", "Decimal": '"12.30"', "Date": '"2026-01-31"'}
    return named.get(get_named_type(kind).name, '"2026-01-31T12:00:00Z"')


@st.composite
def documents(draw: st.DrawFn) -> str:
    """An operation whose variables, of any input types, have defaults: one that fits, and up to three that may not."""
    declared = ["$fits: Int = 5"]
    for number in range(draw(st.integers(1, 3))):
        spelled = draw(types)
        kind = type_from_ast(SCHEMA, parse_type(spelled))
        assert kind is not None
        declared.append(f"$v{number}: {spelled} = {draw(literals(kind))}")
    return f"query Q({', '.join(declared)}) {{ __typename }}"


@settings(max_examples=300, deadline=None)
@given(documents())
def test_what_does_not_fit_is_refused_as_graphql_core_does_and_not_told(text: str) -> None:
    node = parse(text)
    ours = validate(SCHEMA, node, [LiteralsRule], max_errors=1000)
    theirs = validate(SCHEMA, node, [ValuesOfCorrectTypeRule], max_errors=1000)
    assert len(ours) == len(theirs)
    for error, other in zip(ours, theirs, strict=True):
        assert error.locations
        assert other.locations in (None, error.locations)
        assert MARK not in error.message


def test_an_example_of_every_kind_of_literal() -> None:
    text = f'query Q($a: [Int] = [1, {MARK}.5, "{MARK}", E{MARK}, {{a: {MARK}}}, [{MARK}]]) {{ __typename }}'
    assert len(validate(SCHEMA, parse(text), [LiteralsRule])) == 5
