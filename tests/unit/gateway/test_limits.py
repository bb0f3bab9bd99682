"""Hostile documents: refused before they cost, by counts of work and not of time."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from graphql import FragmentDefinitionNode, OperationDefinitionNode, get_introspection_query, parse

from benchmarks.hostile import DOCUMENTS, VARIABLES, below, bomb, each, fragments, largest, nested_bomb
from gateway.engine.documents import MERGE_STEPS, Documents
from gateway.engine.limits import MAX_INTROSPECTION_DEPTH, MAX_OPERATIONS, MAX_VALUES, Limits, Measured, Size, check
from gateway.engine.merging import MergeCheck
from gateway.errors import RequestError, TooComplexError
from projections.store.memory import MemoryStore
from tests.serving import COMPOSED, gateway

LIMITS = Limits()


def documents(limits: Limits = LIMITS) -> Documents:
    return Documents(COMPOSED.schema, COMPOSED.graph, limits, max_kept=0, max_refused=0)


def refusal(text: str, limits: Limits = LIMITS) -> RequestError:
    with pytest.raises(RequestError) as caught:
        documents(limits).get(text)
    return caught.value


def told(found: Documents, text: str) -> list[dict[str, Any]]:
    """The errors of a document; none when it is taken."""
    try:
        found.get(text)
    except RequestError as error:
        return error.errors
    return []


class Calls:
    """How many functions were called."""

    count = 0


@contextmanager
def counted() -> Iterator[Calls]:
    """Counts calls of functions in Python and in C: work, whatever the machine."""
    calls = Calls()
    before = sys.getprofile()

    def look(_frame: Any, event: str, _arg: Any) -> None:
        calls.count += event in ("call", "c_call")

    sys.setprofile(look)
    try:
        yield calls
    finally:
        sys.setprofile(before)


def size(text: str) -> Size:
    [found] = Measured(parse(text)).operations
    return found


def test_counts_are_of_what_an_operation_comes_to() -> None:
    text = """query($a: Int @x) @x { one { a: two { ...f } ...f } ...g @x }
              fragment f on T @x { b: three @x { four } }
              fragment g on Query { one { two { three { four { five } } } } }"""
    assert size(text) == Size(fields=11, aliases=3, directives=7, root_fields=2, depth=5, introspection_depth=0)


def test_introspection_has_a_depth_of_its_own() -> None:
    found = size(
        "{ __schema { types { ...f } } one { two } } fragment f on __Type { fields { type { ofType { name } } } }"
    )
    assert (found.depth, found.introspection_depth) == (2, 5)


@pytest.mark.parametrize("levels", [1, 10, 60, 100])
@pytest.mark.parametrize("make", [bomb, nested_bomb])
def test_a_bomb_is_counted_without_going_off(make: Callable[[int], str], levels: int) -> None:
    measured = Measured(parse(make(levels)))
    assert measured.operations[0].fields >= 2**levels
    assert measured.looked_at <= 20 * (levels + 1), "each fragment is looked at once"


@pytest.mark.parametrize("make", [bomb, nested_bomb])
def test_a_bomb_costs_little_more_than_its_text(make: Callable[[int], str]) -> None:
    text = make(60)
    with counted() as parsing:
        parse(text, max_tokens=LIMITS.tokens)
    found = documents()
    with counted() as calls, pytest.raises(TooComplexError, match=f"more than {LIMITS.fields} fields"):
        found.get(text)
    assert calls.count <= 1.5 * parsing.count


def test_fragments_in_a_ring_are_left_to_validation() -> None:
    error = refusal("{ ...a } fragment a on Query { ...b } fragment b on Query { ...a customers { totalCount } }")
    assert "within itself" in str(error)
    assert error.errors[0]["extensions"] == {"code": "GRAPHQL_VALIDATION_FAILED"}


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_counting_is_linear_in_the_text(name: str) -> None:
    looked = []
    for n in (40, 160):
        try:
            looked.append(Measured(parse(DOCUMENTS[name](n))).looked_at)
        except RequestError:
            raise
        except Exception:  # noqa: BLE001 - some shapes do not parse: then there is nothing to count
            return
    assert looked[1] <= 4.5 * looked[0] + 40


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_work_on_a_hostile_document_is_bounded(name: str) -> None:
    """450,000 calls are some 45 ms; graphql-core's own rules make 2.5 million of "one object, deep"."""
    shape = DOCUMENTS[name]
    texts = [largest(shape, tokens=LIMITS.tokens, characters=LIMITS.characters), shape(256 * 1024)[: 256 * 1024]]
    found = documents()
    for text in texts:
        with counted() as calls:
            errors = told(found, text)
        assert all(len(error["message"]) <= 200 for error in errors)
        assert calls.count <= 450_000


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (below(each(600, lambda i: f"a{i}:id")), f"more than {LIMITS.aliases} aliases"),
        (below("id " * 1500), f"more than {LIMITS.fields} fields"),
        ("{" + "__typename " * 21 + "}", f"more than {LIMITS.root_fields} root fields"),
        (below("id" + "@include(if:true)" * 101), f"more than {LIMITS.directives} directives"),
        ("{a" * 16 + "}" * 16, f"more than {LIMITS.depth} levels"),
        (each(51, lambda i: f"query q{i}{{__typename}}"), f"more than {MAX_OPERATIONS} operations"),
        (f"{{nodes(ids:[{'1 ' * 500}]){{id}}}}", f"more than {MAX_VALUES} values"),
        ("{__schema{queryType" + "{ofType" * 30 + "{name}" + "}" * 32, f"more than {MAX_INTROSPECTION_DEPTH} levels"),
    ],
)
def test_each_count_is_refused_before_validation(text: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("validated")

    monkeypatch.setattr("gateway.engine.documents.validate", never)
    error = refusal(text)
    assert isinstance(error, TooComplexError)
    assert told in str(error)


def test_what_is_at_the_limit_is_taken() -> None:
    ok = documents()
    ok.get(below(each(LIMITS.aliases, lambda i: f"a{i}:id")))
    ok.get("{" + "__typename " * LIMITS.root_fields + "}")
    ok.get(below("id " * (LIMITS.fields - 2)).replace("first", ""))
    check(Measured(parse("{a" * LIMITS.depth + "}" * LIMITS.depth)), LIMITS)


@pytest.mark.parametrize(
    ("text", "told"), [("{" + "x " * 3000 + "}", "more than 2000 tokens"), ("#" * 70_000, "more than 65536 characters")]
)
def test_characters_and_tokens(text: str, told: str) -> None:
    error = refusal(text)
    assert told in str(error)


@pytest.mark.parametrize("alias", ["__slots__", "__dict__", "class", "None", "constructor", "__proto__", "f0", "self"])
def test_an_alias_may_be_any_word(alias: str) -> None:
    assert documents().get(f"{{ {alias}: orders {{ {alias}: totalCount }} }}").operation(None)


FULL = get_introspection_query(True, True, True, True, True)


@pytest.mark.parametrize("text", [get_introspection_query(), FULL, "{ __schema { types { name } } __typename }"])
def test_introspection_is_within_the_limits(text: str) -> None:
    assert documents().get(text).operation(None)


@pytest.mark.parametrize(
    "text",
    [
        "{__schema{types{fields{type{fields{name type{name}}}} x:fields{type{fields{name}}}}}}",
        "{" + each(20, lambda i: f'a{i}:__type(name:"Query"){{fields{{args{{name type{{name kind}}}}type{{name kind}}}}}}') + "}",
        FULL.replace("types {", "types { ...FullType } a: types { ...FullType } b: types {"),
    ],
)  # fmt: skip
def test_hostile_introspection_is_refused(text: str) -> None:
    assert "too much of the schema" in str(refusal(text))


def merging(text: str, budget: int = MERGE_STEPS * LIMITS.fields) -> MergeCheck:
    document = parse(text)
    parts = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    found = MergeCheck(COMPOSED.schema, parts, budget)
    for node in document.definitions:
        if isinstance(node, OperationDefinitionNode):
            assert found.conflict(node) is None
    return found


@pytest.mark.parametrize(
    "shape",
    [
        lambda n: below("id " * n),
        lambda n: below("customer{orders{nodes{id}}} " * n),
        lambda n: below(each(n, lambda i: f"...f{i}"), fragments(n, "Order", lambda i: "customer{id}")),
        lambda n: "{nodes(ids:[1]){" + "...on Order{id customer{id}} ...on Payment{id} ...on Node{id} " * n + "}}",
    ],
)  # fmt: skip
def test_merging_takes_steps_in_proportion(shape: Callable[[int], str]) -> None:
    small, large = merging(shape(50)).steps, merging(shape(200)).steps
    assert large <= 4.2 * small


def test_merging_that_would_take_long_is_refused() -> None:
    with pytest.raises(TooComplexError, match="merged"):
        merging(below("customer{id} " * 100), budget=100)


async def test_limits_are_settings() -> None:
    async with gateway(MemoryStore(), HEADRACE_MAX_ALIASES="1", HEADRACE_MAX_COST="3") as client:
        answers = [await client.ask("{ a: __typename b: __typename }"), await client.ask("{ orders { nodes { id } } }")]
    assert [answer["errors"][0]["extensions"]["code"] for answer in answers] == ["TOO_COMPLEX", "TOO_COMPLEX"]
    assert "data" not in answers[0]


@pytest.mark.parametrize("name", sorted(VARIABLES))
def test_variables_of_any_size_are_refused_in_proportion(name: str) -> None:
    calls: list[int] = []
    for n in (30_001, 60_002):
        request = VARIABLES[name](n)
        operation = documents().get(request.text).operation(None)
        with counted() as count, pytest.raises(RequestError):
            operation.read(request.variables)
        calls.append(count.count)
    assert calls[1] <= 2.2 * calls[0] + 100


def test_a_command_with_thousands_of_lines_is_refused() -> None:
    text = "mutation($i: PlaceOrderInput!) { placeOrder(input: $i) { __typename } }"
    placing = documents().get(text).operation(None)
    lines = [{"product": "p-1", "quantity": "1"}]
    assert placing.read({"i": {"customer": "c-1", "lines": lines * 1000}})
    with pytest.raises(TooComplexError, match="costs more than"):
        placing.read({"i": {"customer": "c-1", "lines": lines * 8000}})


def test_values_count_for_each_operation_that_may_come_to_them() -> None:
    text = "fragment f on Query { nodes(ids: [%s]) { __typename } }" % ("$a " * 400)
    queries = [f"query Q{number}($a: ID!) {{ ...f }}" for number in range(20)]
    with pytest.raises(TooComplexError, match="values in all its operations"):
        documents().get("\n".join([*queries, text]))
    assert documents().get("\n".join([*queries[:10], text]))


def test_a_million_ids_are_not_looked_at() -> None:
    operation = documents().get("query($ids: [ID!]!) { nodes(ids: $ids) { id } }").operation(None)
    with counted() as calls, pytest.raises(TooComplexError, match="costs more than"):
        operation.read({"ids": ["1"] * 1_000_000})
    assert calls.count < 1000
