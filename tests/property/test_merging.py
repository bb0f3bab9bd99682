"""Fields that cannot be merged are found exactly where graphql-core finds them, which compares them in pairs."""

from collections import Counter

from graphql import FragmentDefinitionNode, OperationDefinitionNode, build_schema, parse, validate
from graphql.validation import OverlappingFieldsCanBeMergedRule, specified_rules
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gateway.engine.merging import MergeCheck

SCHEMA = build_schema("""
    type Query { pet: Pet, human: Human, any: Any, all: [Any!] }
    interface Named { name: String }
    interface Pet implements Named { name: String, owner: Human, friend(n: Int, o: In): Pet, toys(n: Int): [Toy!]! }
    type Dog implements Pet & Named {
        name: String, owner: Human, friend(n: Int, o: In): Pet, toys(n: Int): [Toy!]!,
        age: Int, best: Dog
    }
    type Cat implements Pet & Named {
        name: String, owner: Human, friend(n: Int, o: In): Pet, toys(n: Int): [Toy!]!,
        age: Int!, best: Pet
    }
    type Human implements Named { name: String, pets: [Pet], any: Any, age: Int, best: [Human] }
    type Toy { name: String!, id(n: Int): ID }
    union Any = Dog | Cat | Human
    input In { a: Int, b: Int }
""")
FIELDS = {
    "Query": {"pet": "Pet", "human": "Human", "any": "Any", "all": "Any"},
    "Named": {"name": ""},
    "Pet": {"name": "", "owner": "Human", "friend": "Pet", "toys": "Toy"},
    "Dog": {"name": "", "owner": "Human", "friend": "Pet", "toys": "Toy", "age": "", "best": "Dog"},
    "Cat": {"name": "", "owner": "Human", "friend": "Pet", "toys": "Toy", "age": "", "best": "Pet"},
    "Human": {"name": "", "pets": "Pet", "any": "Any", "age": "", "best": "Human"},
    "Toy": {"name": "", "id": ""},
    "Any": {"__typename": ""},
}
MEET = {
    "Pet": ["Pet", "Dog", "Cat", "Any", "Named"],
    "Named": ["Pet", "Dog", "Cat", "Human", "Any", "Named"],
    "Any": ["Any", "Dog", "Cat", "Human", "Pet", "Named"],
    "Dog": ["Dog", "Pet", "Any", "Named"],
    "Cat": ["Cat", "Pet", "Any", "Named"],
    "Human": ["Human", "Any", "Named"],
}
ARGUMENTS = {
    "friend": ["", "(n: 1)", "(n: 2)", "(n: $v)", "(o: {a: 1, b: 2})", "(o: {b: 2, a: 1})", "(n: 1, o: {})", "(o: {}, n: 1)"],
    "toys": ["", "(n: 1)"],
    "id": ["", "(n: 1)", "(n: $v)"],
}  # fmt: skip
PARTS = ("Query", "Pet", "Human", "Dog", "Any")
RULES = [
    rule for rule in specified_rules if rule is not OverlappingFieldsCanBeMergedRule and "Unused" not in rule.__name__
]

outcomes: Counter[bool] = Counter()


@st.composite
def selections(draw: st.DrawFn, kind: str, depth: int, parts: tuple[int, ...]) -> str:
    """A selection of a type; `parts` are the fragments that may be spread."""
    found: list[str] = []
    for _ in range(draw(st.integers(1, 4))):
        way = draw(st.integers(0, 9))
        meets = MEET.get(kind, [kind])
        spread = [number for number in parts if PARTS[number] in meets]
        if way == 0 and spread:
            found.append(f"...f{draw(st.sampled_from(spread))}")
        elif way <= 3 and depth:
            other = draw(st.sampled_from(meets))
            found.append(f"... on {other} {{ {draw(selections(other, depth - 1, parts))} }}")
        else:
            leads = {name: to for name, to in FIELDS[kind].items() if depth or not to} or {"__typename": ""}
            name = draw(st.sampled_from(sorted(leads)))
            alias = draw(st.sampled_from(["", "", "", "a: ", "name: ", "best: "]))
            below = f" {{ {draw(selections(leads[name], depth - 1, parts))} }}" if leads[name] else ""
            found.append(f"{alias}{name}{draw(st.sampled_from(ARGUMENTS.get(name, [''])))}{below}")
    return " ".join(found)


@st.composite
def documents(draw: st.DrawFn) -> str:
    """An operation and fragments, each of which spreads only later ones."""
    everything = tuple(range(len(PARTS)))
    texts = [f"query($v: Int) {{ {draw(selections('Query', 4, everything))} }}"]
    for number, kind in enumerate(PARTS):
        texts.append(f"fragment f{number} on {kind} {{ {draw(selections(kind, 2, everything[number + 1 :]))} }}")
    return "\n".join(texts)


@settings(max_examples=300, deadline=None)
@given(documents())
def test_conflicts_are_those_of_graphql_core(text: str) -> None:
    document = parse(text)
    assert not validate(SCHEMA, document, RULES)
    parts = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    [operation] = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    # a fragment that nobody spreads is graphql-core's business too, and a document with one is not valid
    reached = _reached(operation, parts)
    only = parse(
        "\n".join([text.split("\n")[0], *(line for line in text.split("\n")[1:] if line.split()[1] in reached)])
    )
    wanted = validate(SCHEMA, only, [OverlappingFieldsCanBeMergedRule])
    assume(not any("aborted" in error.message for error in wanted))
    found = MergeCheck(SCHEMA, parts, 10**6).conflict(operation)
    assert bool(found) == bool(wanted), (found, wanted)
    if found:
        assert found.locations
        assert "conflict because" in found.message
    outcomes[bool(found)] += 1


def test_both_outcomes_were_met() -> None:
    """Of the examples above, when they have run."""
    assert not outcomes or min(outcomes[True], outcomes[False]) >= 20


def _reached(operation: OperationDefinitionNode, parts: dict[str, FragmentDefinitionNode]) -> set[str]:
    found: set[str] = set()
    waiting = [operation.selection_set]
    while waiting:
        for node in waiting.pop().selections:
            name = node.name.value if node.kind == "fragment_spread" else None  # type: ignore[attr-defined]
            if name is not None and name not in found:
                found.add(name)
                waiting.append(parts[name].selection_set)
            elif name is None and node.selection_set:  # type: ignore[attr-defined]
                waiting.append(node.selection_set)  # type: ignore[attr-defined]
    return found
