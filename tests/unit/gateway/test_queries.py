"""Composed reads over the in-memory store: what the graph answers, and in how many trips."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from projections.contexts.customers import customer_docs
from projections.contexts.orders import OrderStatus, order_docs
from projections.contexts.payments import payment_docs
from projections.store.change import Applied, BucketChange, Change
from projections.store.document import Document
from projections.store.keys import Bucket
from projections.store.memory import MemoryStore
from projections.store.port import ReadAnswer, Wanted
from tests.reads import document_keys, list_count
from tests.serving import Client, gateway, put
from tests.shop_views import fill, order, payment


class CountingStore(MemoryStore):
    """Counts round trips, and remembers what was asked in each."""

    def __init__(self) -> None:
        super().__init__()
        self.trips: list[Wanted] = []

    async def read(self, wanted: Wanted) -> ReadAnswer:
        self.trips.append(wanted)
        return await super().read(wanted)


@pytest.fixture
def store() -> CountingStore:
    return CountingStore()


@pytest.fixture
async def client(store: CountingStore) -> AsyncGenerator[Client]:
    await fill(store, orders=5)
    async with gateway(store) as found:
        yield found


ORDER_PAGE = """query($id: ID!) { order(id: $id) {
  id key version status placedAt total
  customer { name }
  lines { number product { title price } quantity amount discount tax }
  payments { id status amount captured }
  shipments { id status carrier lineNumbers createdAt dispatchedAt }
} }"""


async def test_one_order_over_five_contexts(client: Client, store: CountingStore) -> None:
    data = await client.data(ORDER_PAGE, {"id": "o-1"})
    assert data["order"] == {
        "id": "Order:o-1",
        "key": "o-1",
        "version": 1,
        "status": "PLACED",
        "placedAt": "2026-01-02T00:00:00Z",
        "total": "12.30",
        "customer": {"name": "Ada"},
        "lines": [
            {
                "number": number,
                "product": {"title": f"Bolt {number}", "price": "1.20"},
                "quantity": "2",
                "amount": "2.40",
                "discount": "0.00",
                "tax": "0.00",
            }
            for number in (1, 2)
        ],
        "payments": [{"id": "Payment:pay-1", "status": "AUTHORIZED", "amount": "12.30", "captured": "0.00"}],
        "shipments": [
            {
                "id": "Shipment:s-1",
                "status": "CREATED",
                "carrier": "RAIL",
                "lineNumbers": [1, 2],
                "createdAt": "2026-01-01T00:00:00Z",
                "dispatchedAt": None,
            }
        ],
    }
    assert len(store.trips) == 2, "the order, then everything it names"


async def test_one_trip_per_level_whatever_the_width(client: Client, store: CountingStore) -> None:
    query = """{ orders(first: 5) { nodes { customer { name orders(first: 2) { nodes { id payments { id } } } }
                 lines { product { title } } payments { id order { id } } shipments { id } } } }"""
    data = await client.data(query)
    assert len(data["orders"]["nodes"]) == 5
    # orders page | customer, products, payments, shipments | customer's orders, payments' orders | payments
    assert len(store.trips) == 4
    second = document_keys(store.trips[1])
    assert len(second) == len(set(second)) == 3, "one customer and two products, asked once each"
    assert list_count(store.trips[1]) == 10


async def test_requests_of_one_tick_share_trips(client: Client, store: CountingStore) -> None:
    answers = await asyncio.gather(*(client.data(ORDER_PAGE, {"id": f"o-{n}"}) for n in (1, 2, 1, 3)))
    assert [answer["order"]["key"] for answer in answers] == ["o-1", "o-2", "o-1", "o-3"]
    assert len(store.trips) < 8
    assert max(len(document_keys(wanted)) for wanted in store.trips) >= 3


async def test_unknown_ids_are_null(client: Client) -> None:
    query = '{ order(id: "o-99") { id } customer(id: "Customer:nobody") { id } node(id: "Payment:x") { id } }'
    assert await client.data(query) == {"order": None, "customer": None, "node": None}


async def test_node_and_nodes(client: Client) -> None:
    query = """{ node(id: "Order:o-2") { __typename id ... on Order { status } }
                 nodes(ids: ["Payment:pay-1", "Order:o-77", "Customer:c-1"]) { __typename id } }"""
    assert await client.data(query) == {
        "node": {"__typename": "Order", "id": "Order:o-2", "status": "PLACED"},
        "nodes": [
            {"__typename": "Payment", "id": "Payment:pay-1"},
            None,
            {"__typename": "Customer", "id": "Customer:c-1"},
        ],
    }


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ('{ order(id: "Customer:c-1") { id } }', ["order"]),
        ('{ order(id: "Nope:o-1") { id } }', ["order"]),
        ('{ order(id: "") { id } }', ["order"]),
        ('{ order(id: "Order:") { id } }', ["order"]),
        ('{ order(id: "o 1") { id } }', ["order"]),
        ('{ order(id: "..") { id } }', ["order"]),
        ('{ order(id: "' + "x" * 256 + '") { id } }', ["order"]),
        ('{ node(id: "o-1") { id } }', ["node"]),
        ('{ nodes(ids: ["Order:o-1", "o-1"]) { id } }', ["nodes", 1]),
        ("{ orders(first: -1) { totalCount } }", ["orders"]),
        ("{ orders(first: 101) { totalCount } }", ["orders"]),
        ("{ orders(first: 1, last: 1) { totalCount } }", ["orders"]),
        ('{ orders(last: 1, after: "x") { totalCount } }', ["orders"]),
        ('{ orders(after: "x") { totalCount } }', ["orders"]),
        ('{ orders(after: "not base64 at all!") { totalCount } }', ["orders"]),
        ('{ orders(after: "ü") { totalCount } }', ["orders"]),
    ],
)
async def test_bad_arguments_are_coded_client_errors(client: Client, query: str, path: list[Any]) -> None:
    answer = await client.ask(query)
    (error,) = answer["errors"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert error["path"] == path
    assert len(error["message"]) < 200, "no long echo of what was sent"


async def test_a_bad_id_leaves_the_rest_of_the_answer(client: Client) -> None:
    answer = await client.ask('{ nodes(ids: ["Order:o-1", "bad id"]) { id } order(id: "o-1") { id } }')
    assert answer["data"] == {"nodes": [{"id": "Order:o-1"}, None], "order": {"id": "Order:o-1"}}
    assert [error["path"] for error in answer["errors"]] == [["nodes", 1]]


PAGE = """query($first: Int, $after: String, $last: Int, $before: String, $status: OrderStatus) {
  orders(first: $first, after: $after, last: $last, before: $before, status: $status) {
    totalCount edges { cursor node { key } } nodes { key }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""


async def page(client: Client, **variables: Any) -> dict[str, Any]:
    found: dict[str, Any] = (await client.data(PAGE, variables))["orders"]
    assert [edge["node"]["key"] for edge in found["edges"]] == [node["key"] for node in found["nodes"]]
    return found


def keys(found: dict[str, Any]) -> list[str]:
    return [node["key"] for node in found["nodes"]]


async def test_pages_forward_and_backward(client: Client) -> None:
    first = await page(client, first=2)
    assert keys(first) == ["o-5", "o-4"], "newest first"
    assert first["totalCount"] == 5
    info = first["pageInfo"]
    assert (info["hasNextPage"], info["hasPreviousPage"]) == (True, False)
    assert info["startCursor"] == first["edges"][0]["cursor"]
    second = await page(client, first=2, after=info["endCursor"])
    assert keys(second) == ["o-3", "o-2"]
    assert second["pageInfo"]["hasPreviousPage"]
    third = await page(client, first=2, after=second["pageInfo"]["endCursor"])
    assert keys(third) == ["o-1"]
    assert not third["pageInfo"]["hasNextPage"]
    last = await page(client, last=2)
    assert keys(last) == ["o-2", "o-1"], "in the list's order, from its end"
    before = await page(client, last=2, before=last["pageInfo"]["startCursor"])
    assert keys(before) == ["o-4", "o-3"]
    assert keys(await page(client, first=0)) == []


async def test_cursors_survive_new_rows(client: Client, store: CountingStore) -> None:
    first = await page(client, first=2)
    await put(store, order_docs, "o-9", order(9))
    assert keys(await page(client, first=2, after=first["pageInfo"]["endCursor"])) == ["o-3", "o-2"]


async def test_a_cursor_of_another_list_is_refused(client: Client) -> None:
    cursor = (await page(client, first=1))["pageInfo"]["endCursor"]
    answer = await client.ask(
        'query($c: String) { customer(id: "c-1") { orders(after: $c) { totalCount } } }', {"c": cursor}
    )
    assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_filters_follow_the_row(client: Client, store: CountingStore) -> None:
    await put(store, order_docs, "o-2", order(2, OrderStatus.CONFIRMED), version=2)
    assert keys(await page(client, status="CONFIRMED")) == ["o-2"]
    assert keys(await page(client, status="PLACED")) == ["o-5", "o-4", "o-3", "o-1"]
    query = '{ customer(id: "c-1") { orders(status: CONFIRMED) { totalCount nodes { key } } } }'
    assert (await client.data(query))["customer"]["orders"] == {"totalCount": 1, "nodes": [{"key": "o-2"}]}


async def test_a_store_that_is_away_is_a_typed_error_per_field_and_comes_back(
    client: Client, store: CountingStore
) -> None:
    store.available = False
    answer = await client.ask('{ order(id: "o-1") { id } customer(id: "c-1") { id } }')
    assert answer["data"] == {"order": None, "customer": None}
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["READ_MODEL_UNAVAILABLE"] * 2
    assert "switched off" not in str(answer), "the store's own words name addresses: they are for the log"
    readiness = await client.http.get("/readyz")
    assert readiness.status_code == 503
    assert "switched off" not in readiness.text
    assert (await client.http.get("/livez")).status_code == 200
    store.available = True
    assert (await client.data('{ order(id: "o-1") { id } }'))["order"] == {"id": "Order:o-1"}
    assert (await client.http.get("/readyz")).status_code == 200


async def test_a_document_that_is_no_object_is_told_apart(client: Client, store: CountingStore) -> None:
    bucket = Bucket("orders", order_docs.version, 0)
    (old,) = await store.documents(bucket, ["o-1"])
    broken = Change("o-1", old, Document(0, 2, 0, b'["customerId"]'))
    assert isinstance(await store.apply(BucketChange(bucket, [broken])), Applied)
    answer = await client.ask('{ order(id: "o-1") { id } customer(id: "c-1") { name } }')
    assert answer["errors"][0]["extensions"]["code"] == "UNREADABLE_DOCUMENT"
    assert answer["data"] == {"order": None, "customer": {"name": "Ada"}}


async def test_one_corrupt_document_fails_no_other(client: Client, store: CountingStore) -> None:
    store.buckets[Bucket("customers", customer_docs.version, 0)].corrupt.add("c-1")
    answer = await client.ask('{ customer(id: "c-1") { name } order(id: "o-1") { key } }')
    assert answer["data"] == {"customer": None, "order": {"key": "o-1"}}
    assert answer["errors"][0]["extensions"]["code"] == "READ_MODEL_UNAVAILABLE"


async def test_another_number_of_buckets_is_not_ready(client: Client, store: CountingStore) -> None:
    await store.claim_buckets("orders", order_docs.version, 4)
    response = await client.http.get("/readyz")
    assert response.status_code == 503
    assert response.json()["buckets"] == {"orders": {"here": 1, "stored": 4}}


async def test_a_list_that_is_too_long_is_refused_not_cut(client: Client, store: CountingStore) -> None:
    for number in range(101):
        await put(store, payment_docs, f"many-{number}", payment("o-1"))
    answer = await client.ask('{ order(id: "o-1") { payments { id } } }')
    assert answer["errors"][0]["extensions"]["code"] == "TOO_MANY_ROWS"
