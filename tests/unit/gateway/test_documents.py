"""Documents by text: what is kept, which operation is run, and what is told of one that is refused."""

import gc
import tracemalloc
from collections.abc import Mapping
from typing import Any

import pytest
from graphql import DocumentNode, OperationType, get_introspection_query, parse
from graphql.execution import execute
from graphql.language import Token

from gateway.engine import plain
from gateway.engine.documents import TOKEN_BYTES, Document, Documents
from gateway.engine.limits import Limits
from gateway.errors import MalformedRequestError, ParseError, RequestError, TooComplexError, ValidationError, code_of
from projections.store.memory import MemoryStore
from tests.serving import COMPOSED, gateway
from tests.shop_views import fill

MOST_FRAMES = 40
"""Of what is traced: enough to see from the deepest call back to the test."""


def documents(**bounds: int) -> Documents:
    return Documents(COMPOSED.schema, COMPOSED.graph, Limits(), **bounds)


def test_a_text_is_read_once() -> None:
    kept = documents()
    first = kept.get("{ __typename }")
    assert kept.get("{ __typename }") is first
    assert kept.get("{  __typename }") is not first
    assert len(kept) == 2


def test_what_was_used_least_lately_goes_first() -> None:
    kept = documents(max_kept=2)
    first, second = kept.get("{ a: __typename }"), kept.get("{ b: __typename }")
    assert kept.get("{ a: __typename }") is first
    kept.get("{ c: __typename }")
    assert len(kept) == 2
    assert kept.get("{ a: __typename }") is first
    assert kept.get("{ b: __typename }") is not second


def test_what_is_kept_is_bounded_in_bytes() -> None:
    kept = documents(max_kept_bytes=100 * TOKEN_BYTES)
    for number in range(50):
        kept.get(f"{{ a{number}: __typename b: __typename }}")
        assert 0 < kept.kept_bytes <= 100 * TOKEN_BYTES
    assert 5 < len(kept) < 20, "ten tokens each, and their text"
    kept.get('{ node(id: "' + "x" * 60_000 + '") { id } }')
    assert len(kept) == 0, "larger than everything that may be kept"
    assert kept.kept_bytes == 0


def test_the_estimate_of_bytes_is_no_smaller_than_the_truth() -> None:
    """By the shapes with the most and the least to a character.

    Counted is what is still there and was allocated below this function: not what other threads take meanwhile, nor what the
    first text of a kind leaves in caches, nor what only waits for the collector of garbage.
    """
    for text in ("{ orders { nodes { " + "id " * 900 + "} } }", '{ node(id: "' + "x" * 60_000 + '") { id } }'):
        kept = documents()
        kept.get(f" {text}")
        known = kept.kept_bytes
        gc.collect()
        tracemalloc.start(MOST_FRAMES)
        try:
            document = kept.get(text)
            gc.collect()
            found = tracemalloc.take_snapshot()
        finally:
            tracemalloc.stop()
        assert document
        ours = found.filter_traces([tracemalloc.Filter(True, __file__, all_frames=True)])
        size = sum(trace.size for trace in ours.traces)
        assert 0.3 <= size / (kept.kept_bytes - known) <= 1.2


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("{", ParseError),
        ("{ nope }", ValidationError),
        ("{ orders { totalCount } orders: customers { totalCount } }", ValidationError),
        (
            "{ a: orders(first: 100) { nodes { customer { orders(first: 100) { nodes { id key } } } } } }",
            TooComplexError,
        ),
    ],
)
def test_a_refusal_is_remembered_as_it_was(
    text: str, kind: type[RequestError], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = documents()
    with pytest.raises(kind) as first:
        kept.get(text)

    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("parsed again")

    monkeypatch.setattr("gateway.engine.documents.parse", never)
    with pytest.raises(kind) as second:
        kept.get(text)
    assert (str(second.value), second.value.errors) == (str(first.value), first.value.errors)
    assert second.value is not first.value
    assert len(kept) == 0


def test_few_refusals_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []

    def watched(text: str, **options: Any) -> DocumentNode:
        parsed.append(text)
        return parse(text, **options)

    monkeypatch.setattr("gateway.engine.documents.parse", watched)
    kept = documents(max_refused=1)
    for text in ("{ a }", "{ a }", "{ b }", "{ a }"):
        with pytest.raises(ValidationError):
            kept.get(text)
    assert parsed == ["{ a }", "{ b }", "{ a }"]


@pytest.mark.parametrize(
    ("text", "name", "found"),
    [
        ("{ __typename }", None, None),
        ("query a { __typename }", None, "a"),
        ("query a { __typename }", "a", "a"),
        ("query a { __typename } query b { __typename }", "b", "b"),
    ],
)
def test_the_operation_that_is_meant(text: str, name: str | None, found: str | None) -> None:
    operation = documents().get(text).operation(name)
    assert (operation.name, operation.type) == (found, OperationType.QUERY)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("query a { __typename } query b { __typename }", None),
        ("query a { __typename } query b { __typename }", "c"),
        ("query a { __typename }", "b"),
        ("query a { __typename }", ""),
        ("{ __typename }", "a"),
    ],
)
def test_an_operation_that_is_not_there(text: str, name: str | None) -> None:
    with pytest.raises(MalformedRequestError, match="operationName"):
        documents().get(text).operation(name)


@pytest.mark.parametrize(
    ("text", "code", "at"),
    [
        ("{ orders {", "GRAPHQL_PARSE_FAILED", (1, 11)),
        ("{\n  nope }", "GRAPHQL_VALIDATION_FAILED", (2, 3)),
        ("{\n a: __typename\n a: orders { totalCount } }", "GRAPHQL_VALIDATION_FAILED", (2, 2)),
    ],
)
def test_a_refusal_says_where(text: str, code: str, at: tuple[int, int]) -> None:
    with pytest.raises(RequestError) as caught:
        documents().get(text)
    [error] = caught.value.errors
    assert error["extensions"] == {"code": code} == {"code": code_of(caught.value)}
    assert error["locations"][0] == {"line": at[0], "column": at[1]}


@pytest.mark.parametrize(
    "text", ["{ ordres { totalCount } }", "{ orders(frist: 1) { totalCount } }", "{ ...on Ordr { id } }"]
)
def test_nothing_is_suggested(text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        documents().get(text)
    assert not any("Did you mean" in error["message"] for error in caught.value.errors)


INTROSPECTION: Mapping[str, bool] = {
    "{ __schema { types { name } } }": True,
    '{ ...f a: __type(name: "Order") { name } } fragment f on Query { ... { __schema { types { name } } } }': True,
    "{ __schema { types { name } } orders { totalCount } }": False,
    "{ __schema { types { name } } ...f } fragment f on Query { orders { totalCount } }": False,
    "{ __typename }": False,
}


@pytest.mark.parametrize("text", INTROSPECTION)
def test_what_only_the_schema_answers_is_known(text: str) -> None:
    assert documents().get(text).operation(None).is_introspection is INTROSPECTION[text]


async def test_introspection_is_answered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []

    def watched(*args: Any, **kwargs: Any) -> Any:
        ran.append("")
        return execute(*args, **kwargs)

    monkeypatch.setattr(plain, "execute", watched)
    asked = "query($name: String!) { __type(name: $name) { name } }"
    async with gateway(MemoryStore()) as client:
        answers = [await client.data(get_introspection_query()) for _ in range(3)]
        assert len(ran) == 1
        for number in range(20):
            await client.data(f"{{ a{number}: __schema {{ queryType {{ name }} }} }}")
        assert await client.data(get_introspection_query()) == answers[0] == answers[1]
        assert len(ran) == 22, "few are kept"
        for name in ("Order", "Customer"):
            assert await client.data(asked, {"name": name}) == {"__type": {"name": name}}


async def test_variables_that_do_not_fit_are_told_with_all_their_places() -> None:
    store = MemoryStore()
    await fill(store)
    async with gateway(store) as client:
        answer = await client.ask("query($id: ID!,\n $first: Int) { order(id: $id) { orders: id } }", {"id": None})
        assert answer["errors"][0]["extensions"] == {"code": "GRAPHQL_VALIDATION_FAILED"}
        query = "query($id: ID!,\n $first: Int) { order(id: $id) { id } orders(first: $first) { totalCount } }"
        answer = await client.ask(query, {"id": None, "first": "secret"})
    assert answer == {
        "errors": [
            {
                "message": "Variable $id is null: expected ID!",
                "locations": [{"line": 1, "column": 7}],
                "extensions": {"code": "BAD_USER_INPUT"},
            },
            {
                "message": "Variable $first does not fit: expected Int",
                "locations": [{"line": 2, "column": 2}],
                "extensions": {"code": "BAD_USER_INPUT"},
            },
        ]
    }


def test_a_document_that_is_kept_has_no_tokens_and_still_says_where_things_are() -> None:
    found = documents().get("query Q { only_here: orders { nodes { key } } }")
    node = found.operation("Q").node.selection_set.selections[0]
    assert node.loc is not None
    assert (node.loc.start, node.loc.end) == (10, 45)
    assert not hasattr(node.loc, "start_token")
    held = [one for one in gc.get_objects() if isinstance(one, Token)]
    assert [token for token in held if token.value == "only_here"] == []


def test_a_document_that_goes_breaks_nothing_that_is_under_way_and_takes_its_operations_along() -> None:
    kept = documents(max_kept=1)
    operation = kept.get("query OnlyThisOnce { orders { totalCount } }").operation("OnlyThisOnce")
    gc.disable()
    try:
        kept.get("query B { orders { totalCount } }")
        assert operation.document.fragments == {}
        place = id(operation.document)
        del operation
        held = [one for one in gc.get_objects() if id(one) == place and isinstance(one, Document)]
        assert [one for one in held if one.node.definitions[0].name.value == "OnlyThisOnce"] == [], "no cycle is left"  # type: ignore[attr-defined]
    finally:
        gc.enable()
