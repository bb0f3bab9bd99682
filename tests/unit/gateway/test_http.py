"""GraphQL over HTTP: shapes, media types, statuses, pages."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from projections.store.memory import MemoryStore
from tests.serving import COMPOSED, Client, gateway
from tests.shop_views import fill

JSON = {"content-type": "application/json"}
GRAPHQL = "application/graphql-response+json"


@pytest.fixture
async def client() -> AsyncGenerator[Client]:
    store = MemoryStore()
    await fill(store)
    async with gateway(store) as found:
        yield found


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"null", 400),
        (b"1", 400),
        (b'"x"', 400),
        (b"[]", 400),
        (b'[{"query": "{ __typename }"}]', 400),
        (b"{}", 400),
        (b'{"query": null}', 400),
        (b'{"query": 7}', 400),
        (b'{"query": "{ __typename }", "variables": []}', 400),
        (b'{"query": "{ __typename }", "variables": "x"}', 400),
        (b'{"query": "{ __typename }", "operationName": {}}', 400),
        (b'{"query": "{ __typename }", "extensions": 1}', 400),
        (b'{"query": "\xff"}', 400),
        (b'{"query": "{ __typename }", "variables": {"a": NaN}}', 400),
        (b'{"query": "\\ud800"}', 400),
        (b"[" * 100_000, 400),
        (b'{"variables":' * 20_000, 400),
        (b'{"query": "{ __typename }", "variables": {"a": ' + b"9" * 100_000 + b"}}", 400),
        (b"x" * (256 * 1024 + 1), 413),
    ],
)
async def test_what_is_no_request_is_refused_with_a_code(client: Client, body: bytes, status: int) -> None:
    response = await client.http.post("/graphql", content=body, headers=JSON)
    if response.status_code == 200:  # a number of any length is JSON; what matters is that nothing broke
        assert response.json() == {"data": {"__typename": "Query"}}
        return
    assert response.status_code == status
    (error,) = response.json()["errors"]
    assert error["extensions"]["code"] == "BAD_REQUEST"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "application/json; charset=utf-16"},
        JSON | {"content-encoding": "gzip"},
    ],
)
async def test_other_content_types_are_refused(client: Client, headers: dict[str, str]) -> None:
    response = await client.http.post("/graphql", content=b'{"query": "{ __typename }"}', headers=headers)
    assert response.status_code == 415


@pytest.mark.parametrize("accept", [None, "application/json", "*/*", GRAPHQL, f"{GRAPHQL}, application/json;q=0.9"])
async def test_media_types(client: Client, accept: str | None) -> None:
    headers = {"accept": accept} if accept else {}
    response = await client.http.post("/graphql", json={"query": "{ __typename }"}, headers=headers)
    assert response.status_code == 200
    wanted = GRAPHQL if accept and GRAPHQL in accept else "application/json"
    assert response.headers["content-type"] == f"{wanted}; charset=utf-8"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{ nope }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ a", "GRAPHQL_PARSE_FAILED"),
        ("", "GRAPHQL_PARSE_FAILED"),
        ("{ " + "a " * 3000 + "}", "GRAPHQL_PARSE_FAILED"),
        ("{" * 1500, "GRAPHQL_PARSE_FAILED"),
        ("fragment F on Query { __typename }", "GRAPHQL_VALIDATION_FAILED"),
    ],
)
async def test_documents_that_do_not_fit(client: Client, query: str, code: str) -> None:
    for accept, status in (("application/json", 200), (GRAPHQL, 400)):
        response = await client.http.post("/graphql", json={"query": query}, headers={"accept": accept})
        assert response.status_code == status
        body = response.json()
        assert "data" not in body
        assert {error["extensions"]["code"] for error in body["errors"]} == {code}


async def test_operations_are_chosen_by_name(client: Client) -> None:
    two = 'query A { order(id: "o-1") { key } } query B { customer(id: "c-1") { key } }'
    assert (await client.ask(two))["errors"][0]["extensions"]["code"] == "BAD_REQUEST"
    assert (await client.ask(two, operationName="C"))["errors"][0]["extensions"]["code"] == "BAD_REQUEST"
    assert (await client.ask(two, operationName="B"))["data"] == {"customer": {"key": "c-1"}}


async def test_an_empty_name_is_none(client: Client) -> None:
    for query in ("{ __typename }", "query A { __typename }"):
        assert await client.ask(query, operationName="") == {"data": {"__typename": "Query"}}
        found = await client.http.get("/graphql", params={"query": query, "operationName": ""})
        assert found.json() == {"data": {"__typename": "Query"}}
    two = "query A { __typename } query B { __typename }"
    assert (await client.ask(two, operationName=""))["errors"][0]["extensions"]["code"] == "BAD_REQUEST"


@pytest.mark.parametrize("variables", [{}, {"id": None}, {"id": []}, {"id": {"a": 1}}, {"id": True}, {"id": 1.5}])
async def test_variables_that_do_not_fit(client: Client, variables: dict[str, Any]) -> None:
    answer = await client.ask("query($id: ID!) { order(id: $id) { key } }", variables)
    assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    assert "data" not in answer


async def test_get(client: Client) -> None:
    found = await client.http.get(
        "/graphql", params={"query": "query($id: ID!) { order(id: $id) { key } }", "variables": '{"id": "o-1"}'}
    )
    assert found.json() == {"data": {"order": {"key": "o-1"}}}
    for params in ({"query": "{ __typename }", "variables": "[1]"}, {"variables": "{}"}, {"query": "{ a", "x": "y"}):
        assert "errors" in (await client.http.get("/graphql", params=params)).json()
    mutation = await client.http.get(
        "/graphql", params={"query": 'mutation { confirmOrder(input: {order: "x"}) { __typename } }'}
    )
    assert mutation.status_code == 405
    assert mutation.headers["allow"] == "POST"


async def test_a_browser_gets_graphiql_and_a_client_does_not(client: Client) -> None:
    page = await client.http.get("/graphql", headers={"accept": "text/html,application/xhtml+xml"})
    assert page.headers["content-type"].startswith("text/html")
    assert "LatestOrders" in page.text
    plain = await client.http.get("/graphql", headers={"accept": "application/json"})
    assert plain.status_code == 400


async def test_the_sdl_and_introspection(client: Client) -> None:
    assert (await client.http.get("/schema.graphql")).text == COMPOSED.sdl()
    data = await client.data('{ __schema { queryType { name } types { name } } __type(name: "Order") { kind } }')
    assert data["__type"] == {"kind": "OBJECT"}


async def test_correlation_ids_come_back_and_bad_ones_are_replaced(client: Client) -> None:
    for given, kept in (("abc-1", True), ("x" * 200, False), ("a b", False)):
        response = await client.http.post(
            "/graphql", json={"query": "{ __typename }"}, headers={"X-Correlation-Id": given}
        )
        assert (response.headers["x-correlation-id"] == given) is kept


async def test_other_methods_and_paths(client: Client) -> None:
    assert (await client.http.put("/graphql", content=b"{}")).status_code == 405
    assert (await client.http.get("/nothing")).status_code == 404


@pytest.mark.parametrize(
    ("asked", "is_shown"), [("1", True), ("true", True), ("TRUE", True), ("0", False), ("", False), ("no", False)]
)
async def test_a_plan_can_be_asked_for_by_a_header_where_that_is_allowed(asked: str, is_shown: bool) -> None:
    async with gateway(MemoryStore(), HEADRACE_SHOW_PLANS="1") as client:
        answer = await client.ask("{ __typename }", headers={"Headrace-Plan": asked})
        assert ("plan" in answer.get("extensions", {})) is is_shown
    async with gateway(MemoryStore()) as client:
        assert "extensions" not in await client.ask("{ __typename }", headers={"Headrace-Plan": asked})


async def test_graphiql_offers_the_header_where_it_does_something() -> None:
    for setting, is_offered in (("1", True), ("0", False)):
        async with gateway(MemoryStore(), HEADRACE_SHOW_PLANS=setting) as client:
            page = await client.http.get("/graphql", headers={"accept": "text/html"})
            assert ("Headrace-Plan" in page.text) is is_offered
