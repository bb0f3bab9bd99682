"""Mutations: what goes to the write service, and what each of its answers becomes."""

import json
from collections.abc import AsyncGenerator, Callable
from typing import Any

import httpx
import pytest

from gateway.commands.forward import path_of
from gateway.commands.versions import ChangedAggregate, parse_versions
from gateway.consistency.requirements import Aggregate
from gateway.consistency.token import TokenCodec
from projections.contexts.orders import OrderStatus, order_docs
from projections.store.memory import MemoryStore
from projections.store.port import ReadAnswer, Wanted
from tests.serving import Client, gateway, put
from tests.shop_views import fill, order

CODEC = TokenCodec({"t1": b"k" * 32}, "headrace")

CONFIRM = """mutation($input: ConfirmOrderInput!) { confirmOrder(input: $input) {
  __typename
  ... on ConfirmOrderAccepted { receipt { commandId token versions { id version } } order { id status version } }
  ... on CommandRefused { commandId code title detail fields { path message } }
  ... on VersionConflict { commandId expectedVersion currentVersion current { id ... on Order { version } } }
  ... on OutcomeUnknown { commandId reason } } }"""

Answer = Callable[[httpx.Request], httpx.Response]


class Service:
    """The write services, as the test wants them to answer."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.answer: Answer = lambda request: httpx.Response(500)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self.answer(request)

    def replies(self, status: int, versions: str | None = None, **problem: Any) -> None:
        headers = {"Aggregate-Version": versions} if versions else {}
        self.answer = lambda request: httpx.Response(status, headers=headers, json=problem)

    def raises(self, error: type[httpx.TransportError]) -> None:
        def answer(request: httpx.Request) -> httpx.Response:
            raise error("broken", request=request)

        self.answer = answer


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
async def store() -> MemoryStore:
    found = MemoryStore()
    await fill(found)
    return found


@pytest.fixture
async def client(store: MemoryStore, service: Service) -> AsyncGenerator[Client]:
    async with gateway(store, service) as found:
        yield found


async def confirm(client: Client, **fields: Any) -> dict[str, Any]:
    answer = await client.ask(CONFIRM, {"input": {"order": "Order:o-1"} | fields})
    assert "errors" not in answer, answer
    found: dict[str, Any] = answer["data"]["confirmOrder"]
    return found


async def test_what_is_sent(client: Client, service: Service) -> None:
    service.replies(201, '"order/o-9";v=1')
    query = """mutation($input: PlaceOrderInput!) { placeOrder(input: $input) { __typename } }"""
    lines = [{"product": "Product:p-1", "quantity": "2.50"}, {"product": "p-2", "quantity": 3}]
    traceparent = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    data = await client.ask(
        query,
        {"input": {"commandId": "cmd-1", "customer": "Customer:c-1", "lines": lines}},
        headers={"X-Correlation-Id": "corr-1", "traceparent": traceparent},
    )
    assert data["data"]["placeOrder"] == {"__typename": "PlaceOrderAccepted"}
    (request,) = service.requests
    assert (request.method, str(request.url)) == ("POST", "http://orders.test/orders")
    assert json.loads(request.content) == {
        "customer": "c-1",
        "lines": [{"product": "p-1", "quantity": "2.50"}, {"product": "p-2", "quantity": "3"}],
    }
    assert request.headers["idempotency-key"] == "cmd-1"
    assert request.headers["x-correlation-id"] == "corr-1"
    assert request.headers["traceparent"] == traceparent
    assert int(request.headers["x-request-timeout-ms"]) == 5000
    assert "if-match" not in request.headers


async def test_absent_and_null_are_told_apart(client: Client, service: Service) -> None:
    service.replies(200, '"customer/c-1";v=2')
    query = "mutation($input: ChangeContactInput!) { changeContact(input: $input) { __typename } }"
    await client.data(query, {"input": {"customer": "c-1", "email": None, "expectedVersion": 1}})
    (request,) = service.requests
    assert json.loads(request.content) == {"customer": "c-1", "email": None}
    assert request.headers["if-match"] == '"1"'
    assert request.url.path == "/customers/c-1/contact"


async def test_accepted_reads_itself(client: Client, service: Service, store: MemoryStore) -> None:
    service.replies(200, '"order/o-1";v=2')
    await put(store, order_docs, "o-1", order(1, OrderStatus.CONFIRMED), version=2)
    answer = await client.http.post("/graphql", json={"query": CONFIRM, "variables": {"input": {"order": "o-1"}}})
    found = answer.json()["data"]["confirmOrder"]
    assert found["__typename"] == "ConfirmOrderAccepted"
    assert found["order"] == {"id": "Order:o-1", "status": "CONFIRMED", "version": 2}
    assert found["receipt"]["versions"] == [{"id": "Order:o-1", "version": 2}]
    minted = CODEC.read(found["receipt"]["token"])
    assert minted.of[Aggregate("orders", "order", "o-1")].version == 2
    assert CODEC.read(answer.headers["headrace-token"]) == minted
    assert answer.json()["extensions"]["consistency"]["satisfied"]
    assert found["receipt"]["commandId"] == service.requests[0].headers["idempotency-key"]


async def test_a_payload_that_is_behind_says_so(client: Client, service: Service) -> None:
    service.replies(200, '"order/o-1";v=7')
    answer = await client.ask(CONFIRM, {"input": {"order": "o-1"}}, extensions={"consistency": {"maxWaitMs": 20}})
    assert answer["data"]["confirmOrder"]["order"]["version"] == 1
    assert answer["extensions"]["consistency"]["unmet"][0]["version"] == 7


async def test_two_commands_in_one_request_each_read_their_own_write(
    client: Client, service: Service, store: MemoryStore
) -> None:
    statuses = iter([(OrderStatus.CONFIRMED, 2), (OrderStatus.CANCELLED, 3)])
    query = """mutation {
      a: confirmOrder(input: {order: "o-1"}) { ... on ConfirmOrderAccepted { order { status version } } }
      b: cancelOrder(input: {order: "o-1"}) { ... on CancelOrderAccepted { order { status version } } } }"""

    pending: list[tuple[OrderStatus, int]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        pending.append(next(statuses))
        return httpx.Response(200, headers={"Aggregate-Version": f'"order/o-1";v={pending[-1][1]}'})

    service.answer = answer
    original = store.read

    async def read(wanted: Wanted) -> ReadAnswer:  # the projector catches up just before each read
        for status, version in pending:
            await put(store, order_docs, "o-1", order(1, status), version=version)
        pending.clear()
        return await original(wanted)

    store.read = read  # type: ignore[method-assign]
    data = await client.data(query)
    assert data["a"]["order"] == {"status": "CONFIRMED", "version": 2}
    assert data["b"]["order"] == {"status": "CANCELLED", "version": 3}


@pytest.mark.parametrize("status", [400, 403, 404, 409, 422])
async def test_a_refusal_is_a_typed_result(client: Client, service: Service, status: int) -> None:
    service.replies(
        status,
        title="Not so",
        detail="because",
        code="NOT_SO",
        errors=[{"pointer": "#/lines/0/quantity", "detail": "above zero"}],
    )
    found = await confirm(client, commandId="cmd-2")
    assert found == {
        "__typename": "CommandRefused",
        "commandId": "cmd-2",
        "code": "NOT_SO",
        "title": "Not so",
        "detail": "because",
        "fields": [{"path": "lines.0.quantity", "message": "above zero"}],
    }


async def test_a_refusal_without_a_problem_document(client: Client, service: Service) -> None:
    service.answer = lambda request: httpx.Response(409, content=b"<html>")
    found = await confirm(client)
    assert (found["__typename"], found["code"]) == ("CommandRefused", "CONFLICT")


async def test_a_version_conflict_shows_the_current_entity(
    client: Client, service: Service, store: MemoryStore
) -> None:
    await put(store, order_docs, "o-1", order(1, OrderStatus.CONFIRMED), version=2)
    service.replies(412, '"order/o-1";v=2', title="Version")
    found = await confirm(client, expectedVersion=1, commandId="cmd-3")
    assert found == {
        "__typename": "VersionConflict",
        "commandId": "cmd-3",
        "expectedVersion": 1,
        "currentVersion": 2,
        "current": {"id": "Order:o-1", "version": 2},
    }


@pytest.mark.parametrize("error", [httpx.ReadTimeout, httpx.WriteTimeout, httpx.ReadError, httpx.RemoteProtocolError])
async def test_no_answer_is_outcome_unknown(
    client: Client, service: Service, error: type[httpx.TransportError]
) -> None:
    service.raises(error)
    found = await confirm(client, commandId="cmd-4")
    assert (found["__typename"], found["commandId"]) == ("OutcomeUnknown", "cmd-4")
    assert len(service.requests) == 1, "not sent again"


@pytest.mark.parametrize("status", [500, 502, 504, 408, 302])
async def test_a_failed_reply_is_outcome_unknown(client: Client, service: Service, status: int) -> None:
    service.answer = lambda request: httpx.Response(status, headers={"Location": "http://elsewhere.test/"})
    assert (await confirm(client))["__typename"] == "OutcomeUnknown"
    assert len(service.requests) == 1, "redirects are not followed"


async def test_a_reply_that_failed_after_the_commit_still_gives_a_token(client: Client, service: Service) -> None:
    service.replies(500, '"order/o-1";v=2')
    response = await client.http.post("/graphql", json={"query": CONFIRM, "variables": {"input": {"order": "o-1"}}})
    assert response.json()["data"]["confirmOrder"]["__typename"] == "OutcomeUnknown"
    assert CODEC.read(response.headers["headrace-token"]).of[Aggregate("orders", "order", "o-1")].version == 2


async def test_a_success_that_names_no_version_is_not_taken_for_one(client: Client, service: Service) -> None:
    service.replies(200)
    assert (await confirm(client))["__typename"] == "OutcomeUnknown"


@pytest.mark.parametrize("status", [429, 503])
async def test_a_service_that_takes_nothing_is_a_typed_error(client: Client, service: Service, status: int) -> None:
    service.replies(status)
    answer = await client.ask(CONFIRM, {"input": {"order": "o-1"}})
    assert answer["errors"][0]["extensions"]["code"] == "SERVICE_UNAVAILABLE"


async def test_a_service_that_is_down_is_a_typed_error(client: Client, service: Service) -> None:
    service.raises(httpx.ConnectError)
    answer = await client.ask(CONFIRM, {"input": {"order": "o-1"}})
    assert answer["errors"][0]["extensions"]["code"] == "SERVICE_UNAVAILABLE"
    assert answer["errors"][0]["path"] == ["confirmOrder"]


@pytest.mark.parametrize(
    "fields",
    [
        {"order": "Payment:pay-1"},
        {"order": "no such id"},
        {"order": "../../admin"},
        {"commandId": "a b"},
        {"commandId": "x" * 129},
        {"commandId": "a\r\nEvil: 1"},
        {"expectedVersion": 0},
    ],
)
async def test_bad_input_is_a_coded_error_and_nothing_is_sent(
    client: Client, service: Service, fields: dict[str, Any]
) -> None:
    service.replies(200, '"order/o-1";v=2')
    answer = await client.ask(CONFIRM, {"input": {"order": "o-1"} | fields})
    if fields == {"order": "../../admin"}:  # a key like any other: it stays one segment
        assert service.requests[0].url.raw_path == b"/orders/..%2F..%2Fadmin/confirm"
        return
    assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    assert not service.requests


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e999999999", "1_0", " 1", "", "x", 1.5, True, None, "1" * 65])
async def test_bad_decimals_are_client_errors(client: Client, service: Service, value: Any) -> None:
    query = 'mutation($amount: Decimal!) { capturePayment(input: {payment: "pay-1", amount: $amount}) { __typename } }'
    answer = await client.ask(query, {"amount": value})
    assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    assert not service.requests


def test_a_value_never_leaves_its_segment() -> None:
    assert path_of("/orders/{order}/confirm", {"order": "a/b?c#d%e"}) == "/orders/a%2Fb%3Fc%23d%25e/confirm"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('"order/o-1";v=3', [("order", "o-1", 0, 3)]),
        ('"order/o-1";v=3;e=2 , "stock/a,b";v=1', [("order", "o-1", 2, 3), ("stock", "a,b", 0, 1)]),
        ('"order/o\\"1";v=3', [("order", 'o"1', 0, 3)]),
        ('"order/o-1"; v=3; note', [("order", "o-1", 0, 3)]),
    ],
)
def test_versions(header: str, expected: list[tuple[str, str, int, int]]) -> None:
    assert parse_versions(header) == [ChangedAggregate(*item) for item in expected]


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "order/o-1;v=3",
        '"order/o-1"',
        '"order/o-1";v=0',
        '"order/o-1";v=2147483648',
        '"order/o-1";v=-1',
        '"order";v=1',
        '"order/o-1";v=1, "broken',
        '"order/o-1";v=1 "x/y";v=2',
        "x" * 10_000,
    ],
)
def test_versions_that_are_none(header: str | None) -> None:
    assert parse_versions(header) is None
