"""What is recognized as valid is valid by graphql-core's rules; what is not is validated as ever."""

import random
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from graphql import GraphQLError, GraphQLSchema, GraphQLSyntaxError, build_schema, parse, validate
from graphql.language import (
    ArgumentNode,
    DefinitionNode,
    DirectiveNode,
    FieldNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    NameNode,
    Node,
    ObjectFieldNode,
    TypeNode,
    ValueNode,
    VariableDefinitionNode,
    Visitor,
    visit,
)
from graphql.validation import OverlappingFieldsCanBeMergedRule, ValuesOfCorrectTypeRule, specified_rules

from gateway.engine.documents import Documents
from gateway.engine.limits import Limits
from gateway.engine.literals import LiteralsRule
from gateway.engine.recognize import MAX_LEVELS, Recognizer
from gateway.engine.told import graphql_error
from gateway.errors import ValidationError
from tests.equality.generate import Generator
from tests.equality.world import Words, build
from tests.serving import COMPOSED

SCHEMA = build_schema("""
    directive @tagged(by: String) on FIELD
    scalar Day
    type Query {
        node(id: ID!): Node, pets(first: Int = 10, kind: Kind, near: Near, names: [String!], on: Day): [Pet!]!, any: Any
        grid(rows: [[Int!]!]!): Int, pick(one: OneOf): Int, must(kind: Kind!, deep: Deep): Dog
    }
    type Mutation { adopt(input: Adopt!): Adopted! }
    interface Node { id: ID! }
    interface Pet implements Node { id: ID!, name(upper: Boolean): String, owner: Human }
    type Dog implements Pet & Node { id: ID!, name(upper: Boolean): String, owner: Human, friends(n: Int): [Pet], kind: Kind }
    type Cat implements Pet & Node { id: ID!, name(upper: Boolean): String, owner: Human, lives: Float }
    type Human implements Node { id: ID!, pets(first: Int): [Pet!]!, age: Int }
    type Adopted { pet: Pet!, tags(of: [ID]): [String!] }
    union Any = Dog | Cat | Human
    enum Kind { SMALL LARGE }
    input Near { x: Float!, y: Float! = 0, within: Int }
    input Deep { near: Near, deeper: [Deep!], kind: Kind! }
    input Adopt { pet: ID!, by: [ID!]!, kind: Kind = SMALL, near: Near, note: String }
    input OneOf @oneOf { a: Int, b: String }
""")
GOOD = [
    "{ __typename }",
    "{ any { __typename } }",
    '{ node(id: "1") { id } other: node(id: 2) { ... { id } ... on Dog { kind friends { name } } } }',
    "query A($id: ID!) { node(id: $id) { id } } query B { any { ...x } } fragment x on Human { age }",
    "query($a: Int, $b: Kind, $c: [String!], $d: Near) { pets(first: $a, kind: $b, names: $c, near: $d) { id } }",
    'query($a: Int! = 3, $b: String!) { pets(first: $a, names: [$b, "c"], kind: null) { name(upper: true) } }',
    'query($x: Float!) { pets(near: {x: $x, within: 1}, kind: SMALL, names: "one") { ...p } } fragment p on Pet { id ...q } '
    "fragment q on Pet { owner { age } }",
    "query($if: Boolean!, $n: Int) { any { ...d @skip(if: $if) ... on Cat @include(if: true) { lives } } } "
    "fragment d on Dog { friends(n: $n) { id @include(if: $if) @skip(if: false) } }",
    "query($k: Kind = SMALL, $if: Boolean = false, $n: Int = null) { must(kind: $k) { id @skip(if: $if) friends(n: $n) { id } } }",
    "{ grid(rows: [[1, 2], [3]]) must(kind: LARGE, deep: {kind: SMALL, deeper: [{kind: LARGE, deeper: []}]}) { id } }",
    'mutation($pet: ID!) { adopt(input: {pet: $pet, by: ["1", 2], note: """long"""}) { pet { id } tags(of: [null, "a"]) } }',
    "mutation($input: Adopt!) { adopt(input: $input) { tags } }",
    'query($d: Near = {x: 1.5}, $on: Day = "2026-01-01") { pets(near: $d, on: $on) { id } pets(on: 7) { id } }',
]
ODD = [
    "{ __schema { queryType { name } } }",
    "{ any { ... on Dog { id @tagged } } }",
    "query($y: Float) { pets(near: {x: 1.0, y: $y}) { id } }",
    "{ pick(one: {a: 1}) }",
    "query($on: Day) { pets(on: {a: [1]}) { id } other: pets(on: $on) { id } }",
]
"""Valid, and too seldom to be recognized."""
BAD = {
    "KnownOperationTypesRule": ["subscription { a }"],
    "UniqueOperationNamesRule": ["query A { any { __typename } } query A { __typename }"],
    "LoneAnonymousOperationRule": ["{ __typename } query A { __typename }", "{ __typename } { __typename }"],
    "KnownTypeNamesRule": ["query($a: Nope) { pets(first: $a) { id } }", "{ any { ... on Nope { id } } }"],
    "FragmentsOnCompositeTypesRule": ["{ any { ... on Kind { id } } }", "{ any { ...x } } fragment x on Near { x }"],
    "VariablesAreInputTypesRule": ["query($a: Dog) { pets(first: $a) { id } }"],
    "ScalarLeafsRule": ["{ any }", "{ pets { id { x } } }", "{ grid(rows: []) { x } }"],
    "FieldsOnCorrectTypeRule": ["{ nope }", "{ any { id } }", "{ pets { lives } }", "mutation { any { __typename } }"],
    "UniqueFragmentNamesRule": ["{ any { ...x } } fragment x on Dog { id } fragment x on Dog { kind }"],
    "KnownFragmentNamesRule": ["{ any { ...x } }"],
    "NoUnusedFragmentsRule": ["{ __typename } fragment x on Dog { id }", "{ __typename } fragment x on Dog { ...x }"],
    "PossibleFragmentSpreadsRule": [
        "{ pets { ... on Human { age } } }",
        "{ must(kind: SMALL) { ...c } } fragment c on Cat { lives }",
    ],
    "NoFragmentCyclesRule": [
        "{ any { ...x } } fragment x on Dog { friends { ...x } }",
        "{ any { ...x } } fragment x on Dog { ...y } fragment y on Dog { ...z } fragment z on Dog { ...y }",
    ],
    "UniqueVariableNamesRule": ["query($a: Int, $a: Int) { pets(first: $a) { id } }"],
    "NoUndefinedVariablesRule": [
        "{ pets(first: $a) { id } }",
        "query A($a: Int) { ...x } query B { ...x } fragment x on Query { pets(first: $a) { id } }",
        "{ pets(near: {x: $a}) { id @skip(if: $b) } }",
    ],
    "NoUnusedVariablesRule": ["query($a: Int) { __typename }", "query A($a: Int) { __typename } { pets(first: $a) { id } }"],
    "KnownDirectivesRule": [
        "query @skip(if: true) { __typename }",
        "{ __typename @nope }",
        "fragment x on Dog @skip(if: true) { id } { any { ...x } }",
        "query($a: Int @include(if: true)) { pets(first: $a) { id } }",
        "query($a: Int @nope) { pets(first: $a) { id } }",
    ],
    "UniqueDirectivesPerLocationRule": ["{ __typename @skip(if: true) @skip(if: false) }"],
    "KnownArgumentNamesRule": ["{ pets(nope: 1) { id } }", "{ __typename(a: 1) }", "{ __typename @skip(if: true, a: 1) }"],
    "UniqueArgumentNamesRule": ["{ pets(first: 1, first: 1) { id } }", "{ __typename @skip(if: true, if: true) }"],
    "ValuesOfCorrectTypeRule": [
        '{ pets(first: "1") { id } }',
        "{ pets(first: 2147483648) { id } }",
        "{ pets(first: 1.0) { id } }",
        "{ pets(kind: HUGE) { id } }",
        '{ pets(kind: "SMALL") { id } }',
        "{ pets(names: [null]) { id } }",
        "{ pets(names: [[]]) { id } }",
        "{ pets(near: {y: 1}) { id } }",
        "{ pets(near: {x: 1, z: 1}) { id } }",
        "{ pets(near: {x: null}) { id } }",
        "{ pets(near: 1) { id } }",
        "{ node(id: null) { id } }",
        "{ node(id: 1.5) { id } }",
        "{ node(id: ONE) { id } }",
        "{ grid(rows: [1, null]) }",
        "{ pick(one: {a: 1, b: \"b\"}) }",
        "{ pick(one: {a: null}) }",
        "{ __typename @skip(if: 1) }",
        "query($a: Int = \"1\") { pets(first: $a) { id } }",
        "query($a: Int! = null) { pets(first: $a) { id } }",
    ],
    "ProvidedRequiredArgumentsRule": ["{ node { id } }", "{ must(deep: null) { id } }", "{ __typename @skip }"],
    "VariablesInAllowedPositionRule": [
        "query($a: ID) { node(id: $a) { id } }",
        "query($a: String!) { node(id: $a) { id } }",
        "query($a: [Int]!) { grid(rows: [$a]) }",
        "query($a: String) { pets(names: [$a]) { id } }",
        "query($a: Float) { pets(near: {x: $a}) { id } }",
        "query($a: Boolean) { __typename @skip(if: $a) }",
        "query($a: Boolean = null) { __typename @skip(if: $a) }",
        "mutation($a: [ID] = []) { adopt(input: {pet: 1, by: $a}) { tags } }",
        "query($a: Int) { any { ...x } } fragment x on Dog { friends(n: 1) { name(upper: $a) } }",
        "query($a: Int) { pick(one: {a: $a}) }",
    ],
    "UniqueInputFieldNamesRule": ["{ pets(near: {x: 1, x: 2}) { id } }"],
    "MaxIntrospectionDepthRule": ["{ __schema { types { " + "fields { type { " * 4 + "name" + " } }" * 4 + " } } }"],
    "ExecutableDefinitionsRule": ["{ __typename } type Dog { id: ID }", "scalar Day"],
}  # fmt: skip
"""Documents that break each rule, others too perhaps."""
CANNOT_BE_BROKEN = {
    "SingleFieldSubscriptionsRule",  # there are none
    "DeferStreamDirectiveOnRootField",  # the directives are not in the schema
    "DeferStreamDirectiveOnValidOperationsRule",
    "DeferStreamDirectiveLabel",
    "StreamDirectiveOnListField",
}
RULES = [rule for rule in specified_rules if rule is not OverlappingFieldsCanBeMergedRule]
OURS = [LiteralsRule if rule is ValuesOfCorrectTypeRule else rule for rule in RULES]
RECOGNIZER = Recognizer(SCHEMA)
EMPTY = replace(COMPOSED.graph, objects={}, queries={}, commands={})


@pytest.mark.parametrize("text", GOOD)
def test_what_clients_send_is_recognized(text: str) -> None:
    assert validate(SCHEMA, parse(text), RULES) == []
    assert RECOGNIZER.recognize(parse(text))


@pytest.mark.parametrize("text", ODD)
def test_what_is_not_recognized_may_be_valid(text: str) -> None:
    assert validate(SCHEMA, parse(text), RULES) == []
    assert RECOGNIZER.recognize(parse(text)) is None


@pytest.mark.parametrize(("rule", "text"), [(rule, text) for rule, texts in BAD.items() for text in texts])
def test_no_rule_is_passed_over(rule: str, text: str) -> None:
    [meant] = [found for found in RULES if found.__name__ == rule]
    assert validate(SCHEMA, parse(text), [meant]), "the text does not show what it is to show"
    assert RECOGNIZER.recognize(parse(text)) is None


def test_every_rule_is_asked_for() -> None:
    """A rule that comes with a new version of graphql-core is to be looked at here."""
    assert {rule.__name__ for rule in RULES} == BAD.keys() | CANNOT_BE_BROKEN


@pytest.mark.parametrize("text", [text for texts in BAD.values() for text in texts])
def test_refusals_are_what_they_are_without_the_walk(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = refusal(text)
    wanted = validate(SCHEMA, parse(text), OURS, max_errors=5, hide_suggestions=True)
    assert [error.get("locations") for error in found] == [_locations(error) for error in wanted]
    monkeypatch.setattr(Recognizer, "recognize", lambda *_: None)
    assert refusal(text) == found


def refusal(text: str) -> list[dict[str, Any]]:
    with pytest.raises(ValidationError) as refused:
        Documents(SCHEMA, EMPTY, Limits()).get(text)
    return list(refused.value.errors)


def _locations(error: GraphQLError) -> Any:
    return graphql_error(error, "", "").get("locations")


KINDS = {
    "selection": (FieldNode, FragmentSpreadNode, InlineFragmentNode),
    "definition": (DefinitionNode,),
    "variable": (VariableDefinitionNode,),
    "argument": (ArgumentNode,),
    "field of an input": (ObjectFieldNode,),
    "directive": (DirectiveNode,),
    "value": (ValueNode,),
    "type": (TypeNode,),
    "name": (NameNode,),
}


class Finder(Visitor):
    """The parts of a text: what kind each is of, and from where to where it goes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, int, int]] = []

    def enter(self, node: Node, *_: Any) -> None:
        for kind, types in KINDS.items():
            if isinstance(node, types) and node.loc:
                self.found.append((kind, node.loc.start, node.loc.end))


def parts_of(text: str) -> list[tuple[str, int, int]]:
    finder = Finder()
    visit(parse(text), finder)
    return finder.found


SEEDS = [*GOOD, *ODD, *(text for texts in BAD.values() for text in texts)]
PARTS = {
    kind: sorted({text[start:end] for text in SEEDS for of, start, end in parts_of(text) if of == kind})
    for kind in KINDS
}


def changed(chance: random.Random) -> str:
    """A document of those above with a few of its parts left out, said twice, or put in the place of others of their kind."""
    text = chance.choice(chance.choice([GOOD, GOOD, GOOD, SEEDS]))
    for _ in range(chance.choice([1, 1, 2, 3])):
        try:
            places = parts_of(text)
        except GraphQLSyntaxError:
            return text
        wanted = chance.choice(sorted({kind for kind, *_ in places}))
        kind, start, end = chance.choice([place for place in places if place[0] == wanted])
        part, other = text[start:end], chance.choice(PARTS[kind])
        text = text[:start] + chance.choice([other, other, f"{part} {other}", f"{part} {part}", ""]) + text[end:]
    return text


def test_nothing_that_breaks_a_rule_is_recognized() -> None:
    chance, outcomes = random.Random(7), Counter[tuple[bool, bool]]()
    for _ in range(1500):
        text = changed(chance)
        try:
            document = parse(text)
        except GraphQLSyntaxError:
            continue
        found, errors = RECOGNIZER.recognize(document), validate(SCHEMA, document, RULES)
        outcomes[found is not None, not errors] += 1
        assert found is None or not errors, text
        if found is not None and not found.merges:
            assert not validate(SCHEMA, document, [OverlappingFieldsCanBeMergedRule]), text
    assert outcomes[False, False] > 400, "documents that break a rule"
    assert outcomes[True, True] > 50, "documents that are recognized"
    assert outcomes[True, True] > outcomes[False, True], "most that are valid are recognized"


def test_what_the_shop_is_asked_is_recognized() -> None:
    recognizer, generator = Recognizer(COMPOSED.schema), Generator(COMPOSED.schema, Words(build(1)).value)
    texts = [generator.operation(random.Random(number)).text for number in range(100)]
    texts += [example.query for example in COMPOSED.graph.examples]
    assert [text for text in texts if recognizer.recognize(parse(text)) is None] == []


@pytest.mark.parametrize(
    ("text", "merges"),
    [
        ("{ a: any { __typename } b: any { __typename } }", False),
        ("{ any { __typename } any { __typename } }", True),
        ("{ a: pets { id } a: any { __typename } }", True),
        ("{ ... { any { __typename } } }", True),
        ("{ ...x } fragment x on Query { any { __typename } }", True),
    ],
)
def test_fields_that_may_meet_are_told(text: str, merges: bool) -> None:
    found = RECOGNIZER.recognize(parse(text))
    assert found
    assert found.merges is merges


@pytest.mark.parametrize(("levels", "is_recognized"), [(MAX_LEVELS, True), (MAX_LEVELS + 1, False)])
def test_what_is_nested_deeply_is_left_to_graphql_core(levels: int, is_recognized: bool) -> None:
    chain = "{ ...f0 }" + "".join(
        f" fragment f{number} on Query {{ __typename {f'...f{number + 1}' if number < levels - 2 else ''} }}"
        for number in range(levels - 1)
    )
    assert (RECOGNIZER.recognize(parse(chain)) is not None) is is_recognized
    assert (not validate(SCHEMA, parse(chain), RULES)) is is_recognized


@pytest.mark.parametrize(
    "sdl",
    [
        "directive @skip(if: Boolean!, of: Int) on FIELD | FRAGMENT_SPREAD | INLINE_FRAGMENT",
        "directive @skip(if: Boolean) on FIELD | FRAGMENT_SPREAD | INLINE_FRAGMENT",
        "directive @skip(if: Boolean!) on FIELD",
        "directive @skip(if: Boolean!) repeatable on FIELD | FRAGMENT_SPREAD | INLINE_FRAGMENT",
    ],
)
def test_conditions_are_known_as_the_specification_has_them(sdl: str) -> None:
    schema = build_schema(f"{sdl} type Query {{ a: Int }}")
    assert Recognizer(schema).recognize(parse("{ a @skip(if: true) }")) is None


def test_only_what_is_not_recognized_is_validated(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[GraphQLSchema] = []

    def watched(schema: GraphQLSchema, *args: Any, **options: Any) -> Any:
        asked.append(schema)
        return validate(schema, *args, **options)

    monkeypatch.setattr("gateway.engine.documents.validate", watched)
    documents = Documents(COMPOSED.schema, COMPOSED.graph, Limits())
    documents.get("query($id: ID!) { order(id: $id) { total lines { number } } }")
    assert not asked
    documents.get("{ __schema { queryType { name } } }")
    assert len(asked) == 1
