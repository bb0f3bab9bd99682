"""What is told of literals in a document that do not fit, and of texts that are no document: where, never what was sent."""

import pytest
from graphql import GraphQLSchema, GraphQLSyntaxError, build_schema, parse, validate
from graphql.validation import ValuesOfCorrectTypeRule

from gateway.engine.literals import LiteralsRule, syntax_problem
from tests.serving import COMPOSED

SHOP = COMPOSED.schema
NESTED = build_schema(
    """
    input Tree { name: String! trees: [Tree!] tree: Tree }
    input Choice @oneOf { a: Int b: Int }
    scalar Any
    type Query { trees(of: [Tree!]!, choice: Choice, any: Any, grid: [[Int!]!]): Int }
    """
)


def told(schema: GraphQLSchema, text: str) -> list[tuple[str, tuple[int, int]]]:
    """Messages and where they point. Their places are those of graphql-core's rule, in its order, where it tells one: of an
    object or a list where a scalar should be it tells none.
    """
    found = validate(schema, parse(text), [LiteralsRule])
    core = validate(schema, parse(text), [ValuesOfCorrectTypeRule])
    assert len(found) == len(core)
    for ours, theirs in zip(found, core, strict=True):
        assert ours.locations
        assert theirs.locations in (None, ours.locations)
    return [(error.message, (at.line, at.column)) for error in found for at in error.locations or ()]


@pytest.mark.parametrize(
    ("text", "message", "column"),
    [
        ('{ orders(first: "secret") { totalCount } }', "Argument first does not fit: expected Int", 17),
        ("{ orders(first: 99999999999) { totalCount } }", "Argument first does not fit: expected Int", 17),
        ("{ orders(first: [5]) { totalCount } }", "Argument first does not fit: expected Int", 17),
        ("{ orders(status: SECRET) { totalCount } }", "Argument status does not fit: expected OrderStatus", 18),
        ('{ orders(status: "SECRET") { totalCount } }', "Argument status does not fit: expected OrderStatus", 18),
        ("{ node(id: null) { id } }", "Argument id is null: expected ID!", 12),
        ("{ node(id: 1.5) { id } }", "Argument id does not fit: expected ID", 12),
        ('{ nodes(ids: ["a", true]) { id } }', "Argument ids[1] does not fit: expected ID", 20),
        ("{ nodes(ids: true) { id } }", "Argument ids does not fit: expected ID", 14),
        ("{ nodes(ids: [null]) { id } }", "Argument ids[0] is null: expected ID!", 15),
        (
            '{ revenue(day: "secret") }',
            "Argument day does not fit: expected Date: a Date reads YYYY-MM-DD, such as 2026-01-31",
            16,
        ),
        ('{ __typename @include(if: "secret") }', "Argument if does not fit: expected Boolean", 27),
        ('query Q($n: Int = "secret") { orders(first: $n) { totalCount } }', "The default of $n does not fit: expected Int", 19),
        (
            'query Q($ids: [ID!]! = ["a", null]) { nodes(ids: $ids) { id } }',
            "The default of $ids[1] is null: expected ID!",
            30,
        ),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit(text: str, message: str, column: int) -> None:
    assert told(SHOP, text) == [(message, (1, column))]


def test_inputs_of_commands() -> None:
    text = """mutation {
      placeOrder(input: {customer: 1.5, lines: [{product: "p", quantity: 2.5}, {quantity: "secret", color: "secret"}]}) {
        __typename
      }
      cancelOrder(input: "secret") { __typename }
      chargeOrder: capturePayment(input: {payment: "p", amount: "1E-99"}) { __typename }
    }"""
    not_a_float = 'a Decimal is a string such as "12.30", or a whole number'
    not_in_bounds = "not a finite Decimal of at most 24 digits before and 18 behind the point"
    assert told(SHOP, text) == [
        ("Argument input.customer does not fit: expected ID", (2, 36)),
        (f"Argument input.lines[0].quantity does not fit: expected Decimal: {not_a_float}", (2, 74)),
        ("Argument input.lines[1].product is missing: expected ID!", (2, 80)),
        (f"Argument input.lines[1].quantity does not fit: expected Decimal: {not_in_bounds}", (2, 91)),
        ("Argument input.lines[1] has a field color that PlaceOrderLine does not have", (2, 101)),
        ("Argument input does not fit: expected CancelOrderInput", (5, 26)),
        (f"Argument input.amount does not fit: expected Decimal: {not_in_bounds}", (6, 65)),
    ]


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        ('of: {name: "a"}', []),
        ('of: [{name: "a", trees: [{name: "b"}], tree: null}], choice: {a: 1}, any: {a: [1, "x"]}, grid: [[1], [2]]', []),
        ('of: {name: "a", trees: {name: 1}}', ["Argument of.trees.name does not fit: expected String"]),
        ("of: [{}, {tree: {}}]", [
            "Argument of[0].name is missing: expected String!",
            "Argument of[1].name is missing: expected String!",
            "Argument of[1].tree.name is missing: expected String!",
        ]),
        ("of: [], choice: {}", ["Argument choice does not fit: Choice takes exactly one field, which is not null"]),
        ("of: [], choice: {a: null}", ["Argument choice does not fit: Choice takes exactly one field, which is not null"]),
        ("of: [], choice: {a: 1, b: 2}", ["Argument choice does not fit: Choice takes exactly one field, which is not null"]),
        ("of: [], choice: {a: 1, c: 2}", ["Argument choice has a field c that Choice does not have"]),
        ("of: [], grid: 1", []),
        ("of: [], grid: [[1, null]]", ["Argument grid[0][1] is null: expected Int!"]),
        ("of: [], nope: 1.5", []),
    ],
)  # fmt: skip
def test_objects_and_lists_in_each_other(arguments: str, messages: list[str]) -> None:
    assert [message for message, _ in told(NESTED, f"{{ trees({arguments}) }}")] == messages


def test_variables_inside_a_literal_are_left_to_when_they_are_known() -> None:
    text = "query Q($n: String!, $t: Tree!) { trees(of: [$t, {name: $n}, {name: 5}]) }"
    assert told(NESTED, text) == [("Argument of[2].name does not fit: expected String", (1, 69))]


def test_names_and_paths_that_are_long_leave_room_for_what_is_wrong() -> None:
    [(unknown, _)] = told(NESTED, f'{{ trees(of: {{name: "a", {"x" * 300}: 1}}) }}')
    assert unknown == f"Argument of has a field {'x' * 37}... that Tree does not have"
    [(default, _)] = told(NESTED, f'query Q(${"v" * 300}: Int = "a") {{ trees(of: []) }}')
    assert default == f"The default of ${'v' * 37}... does not fit: expected Int"
    [(deep, _)] = told(NESTED, "{ trees(of: " + '{name: "a", tree: ' * 90 + "1" + "}" * 90 + ") }")
    assert deep == "Argument of.tree.tree.tree.tree....tree.tree.tree.tree does not fit: expected Tree"


@pytest.mark.parametrize("nested", ["[" * 190 + "]" * 190, "{a: " * 190 + "1" + "}" * 190])
def test_what_is_nested_as_deeply_as_can_be_parsed_is_one_error(nested: str) -> None:
    assert len(told(NESTED, f"{{ trees(of: [], grid: {nested}) }}")) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{ node("secret") { id } }', "Syntax Error: Expected Name, found String."),
        ('{ node(id: "a" "it\'s secret") { id } }', "Syntax Error: Expected Name, found String."),
        ('{ a """sec\nret""" }', "Syntax Error: Expected Name, found BlockString."),
        ("{ a 123456 }", "Syntax Error: Expected Name, found Int."),
        ("123.456", "Syntax Error: Unexpected Float."),
        ('"a" "secret"', "Syntax Error: Unexpected String."),
        ('{ a(b: "\\u{secret}") }', "Syntax Error: Invalid Unicode escape sequence."),
        ('{ a(b: "\\usecret") }', "Syntax Error: Invalid Unicode escape sequence."),
        ('{ a(b: "\\secret") }', "Syntax Error: Invalid character escape sequence."),
        ("{ a(b: .123456) }", "Syntax Error: Invalid number, expected digit before '.'."),
        ("{ a(: }", "Syntax Error: Expected Name, found ':'."),
        ("{ a } fragment on on Query { b }", "Syntax Error: Unexpected Name 'on'."),
        ("{", "Syntax Error: Expected Name, found <EOF>."),
    ],
)
def test_a_text_that_is_no_document(text: str, message: str) -> None:
    with pytest.raises(GraphQLSyntaxError) as caught:
        parse(text)
    assert syntax_problem(caught.value) == message
