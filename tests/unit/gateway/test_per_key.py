"""Measures and timelines, read: what they say, in how many trips, and what a token makes of them."""

import asyncio
import time
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace as changed

from gateway.compose import compose
from gateway.consistency.requirements import Aggregate, Required, Requirements
from gateway.consistency.token import TokenCodec
from projections.contexts.activity import activity
from projections.contexts.customers import customer_docs
from projections.contexts.orders import OrderStatus, order_docs
from projections.store.change import Append, Applied, BucketChange
from projections.store.keys import Bucket, member
from projections.store.port import ReadAnswer, Wanted
from tests.reads import document_keys, list_count
from tests.serving import Client, gateway, happen, mark_built, put
from tests.shop_views import DAY_ONE, customer, fill, happening, order
from tests.unit.gateway.test_waiting import WatchedStore
from tests.unit.schema.test_per_key import CONTEXTS, SERVED, BookingView, GuestView, booking_docs, guest_docs

CODEC = TokenCodec({"t1": b"k" * 32}, "headrace")
ORDER = ("orders", "order", "o-1")
NUMBERS = '{ customer(id: "c-1") { orderCount totalSpent lastOrderAt } }'
ACTIVITY = '{ customer(id: "c-1") { activity { totalCount nodes { what } } } }'


class CountingStore(WatchedStore):
    """Remembers what was asked in each round trip."""

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
    await fill(store, orders=3)
    async with gateway(store) as found:
        yield found


def token(version: int, name: tuple[str, str, str] = ORDER, age_s: int = 0) -> str:
    return CODEC.mint(Requirements({Aggregate(*name): Required(0, version, int(time.time()) - age_s)}))


async def under(client: Client, query: str, after: str, **policy: Any) -> dict[str, Any]:
    return await client.ask(query, extensions={"consistency": {"after": after, **policy}})


async def test_what_a_customers_orders_come_to(client: Client, store: CountingStore) -> None:
    assert await client.data(NUMBERS) == {
        "customer": {"orderCount": 3, "totalSpent": "36.90", "lastOrderAt": "2026-01-04T00:00:00Z"}
    }
    await put(store, order_docs, "o-3", order(3, OrderStatus.CANCELLED), version=2)
    await put(store, order_docs, "o-2", None, version=2)
    assert (await client.data(NUMBERS))["customer"] == {
        "orderCount": 2,
        "totalSpent": "12.30",
        "lastOrderAt": "2026-01-04T00:00:00Z",
    }


async def test_nobodys_orders_come_to_nothing(client: Client, store: CountingStore) -> None:
    await put(store, customer_docs, "c-2", customer("Bob"))
    query = '{ customer(id: "c-2") { orderCount totalSpent lastOrderAt activity { totalCount nodes { what } } } }'
    assert (await client.data(query))["customer"] == {
        "orderCount": 0,
        "totalSpent": "0.00",
        "lastOrderAt": None,
        "activity": {"totalCount": 0, "nodes": []},
    }


async def test_revenue_of_a_day(client: Client) -> None:
    query = '{ a: revenue(day: "2026-01-02") b: revenue(day: "2030-01-01") }'
    assert await client.data(query) == {"a": "12.30", "b": "0.00"}
    answer = await client.ask('{ revenue(day: "yesterday") }')
    assert answer["errors"][0]["extensions"]["code"] in ("BAD_USER_INPUT", "GRAPHQL_VALIDATION_FAILED")


async def test_what_happened_newest_first_page_by_page(client: Client) -> None:
    query = """query($first: Int, $after: String) { customer(id: "c-1") { activity(first: $first, after: $after) {
      totalCount pageInfo { hasNextPage hasPreviousPage endCursor }
      edges { cursor node { what when type subject correlationId lineage { topic partition offset eventId } } } } } }"""
    first = (await client.data(query, {"first": 2}))["customer"]["activity"]
    assert first["totalCount"] == 3
    assert first["edges"][0]["node"] == {
        "what": "Placed order o-3 for 12.30",
        "when": "2026-01-04T00:00:00Z",
        "type": "shop.orders.OrderPlaced",
        "subject": "order/o-3",
        "correlationId": "corr-3",
        "lineage": {"topic": "shop.orders", "partition": 3, "offset": str(2**40 + 3), "eventId": "e-3"},
    }
    assert (first["pageInfo"]["hasNextPage"], first["pageInfo"]["hasPreviousPage"]) == (True, False)
    rest = (await client.data(query, {"after": first["pageInfo"]["endCursor"]}))["customer"]["activity"]
    assert [edge["node"]["subject"] for edge in rest["edges"]] == ["order/o-1"]
    assert not rest["pageInfo"]["hasNextPage"]


@pytest.mark.parametrize("arguments", ["first: -1", "first: 101", 'after: "x"', 'after: "ü"'])
async def test_a_page_of_a_timeline_that_cannot_be(client: Client, arguments: str) -> None:
    answer = await client.ask(f'{{ customer(id: "c-1") {{ activity({arguments}) {{ totalCount }} }} }}')
    assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_a_cursor_of_a_list_is_none_of_a_timeline(client: Client) -> None:
    data = await client.data('{ customer(id: "c-1") { orders { pageInfo { endCursor } } } }')
    cursor = data["customer"]["orders"]["pageInfo"]["endCursor"]
    query = 'query($c: String) { customer(id: "c-1") { activity(after: $c) { totalCount } } }'
    answer = await client.ask(query, {"c": cursor})
    assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_everything_of_a_level_shares_a_trip(client: Client, store: CountingStore) -> None:
    await put(store, customer_docs, "c-2", customer("Bob"))
    query = """{ revenue(day: "2026-01-02") customers { nodes { name orderCount totalSpent lastOrderAt
      orders(first: 2) { nodes { total payments { amount } } } activity(first: 1) { nodes { what } } } } }"""
    data = await client.data(query)
    assert [node["orderCount"] for node in data["customers"]["nodes"]] == [3, 0]
    assert len(store.trips) == 3, "customers and revenue | orders, measures and timelines | payments"
    assert (list_count(store.trips[1]), len(store.trips[1].measures)) == (4, 6)


async def test_a_number_that_two_fields_ask_for_is_asked_once(client: Client, store: CountingStore) -> None:
    query = '{ a: customer(id: "c-1") { orderCount } b: customer(id: "c-1") { orderCount again: orderCount } }'
    await client.data(query)
    assert [len(wanted.measures) for wanted in store.trips] == [0, 1]


async def test_types_of_all_kinds(store: CountingStore) -> None:
    at = datetime(2026, 3, 1, 23, 30, 0, 250, tzinfo=UTC)
    view = BookingView(guest_id="g-1", at=at, price=Decimal(10), nights=2, tip=Decimal("-0.5"), stays=[])
    await put(store, guest_docs, "g-1", GuestView(name="Zoe"))
    await put(store, booking_docs, "b-1", view)
    await put(store, booking_docs, "b-2", changed(view, tip=Decimal("-7.25"), price=Decimal("0.01"), nights=3))
    async with gateway(store, composed=compose(CONTEXTS, SERVED)) as client:
        query = """{ guest(id: "g-1") { bookings spent nights nightsExact lastAt bestTip byCode }
                     takings(day: "2026-03-01") staysOf(nights: 3) spentBy(guestId: "g-1") }"""
        assert await client.data(query) == {
            "guest": {
                "bookings": 2,
                "spent": "10.01",
                "nights": 5,
                "nightsExact": "5",
                "lastAt": "2026-03-01T23:30:00.000250Z",
                "bestTip": "-0.50",
                "byCode": 2,
            },
            "takings": "10.01",
            "staysOf": 1,
            "spentBy": "10.01",
        }


async def test_a_total_that_an_int_cannot_show_is_an_error(store: CountingStore) -> None:
    await put(store, guest_docs, "g-1", GuestView(name="Zoe"))
    bucket = Bucket("bookings", 1, 0)
    await mark_built(store, [booking_docs])
    await store.apply(BucketChange(bucket, deltas={"m:nights:g-1": 2**31}))
    async with gateway(store, composed=compose(CONTEXTS, SERVED)) as client:
        answer = await client.ask('{ guest(id: "g-1") { nightsExact } }')
        assert answer["data"]["guest"] == {"nightsExact": str(2**31)}
        answer = await client.ask('{ guest(id: "g-1") { nights } }')
    assert answer["errors"][0]["extensions"]["code"] == "UNREADABLE_DOCUMENT"


@pytest.mark.parametrize(
    ("entry", "path"),
    [(b'{"what": 7}', ["customer", "activity", "nodes", 3, "what"]), (b"[", ["customer", "activity", "nodes", 3])],
)
async def test_an_entry_that_is_not_one_fails_where_it_is_shown(
    client: Client, store: CountingStore, entry: bytes, path: list[Any]
) -> None:
    append = Append("c-1", "e-9", member(DAY_ONE, "e-9"), entry)
    outcome = await store.apply(
        BucketChange(Bucket("activity", activity.version, 0), appends=[append], timeline_bound=9)
    )
    assert isinstance(outcome, Applied)
    answer = await client.ask('{ customer(id: "c-1") { name activity { nodes { what } } } orders { totalCount } }')
    (error,) = answer["errors"]
    assert (error["extensions"]["code"], error["path"]) == ("UNREADABLE_DOCUMENT", path)
    assert answer["data"] == {"customer": None, "orders": {"totalCount": 3}}
    counted = await client.data('{ customer(id: "c-1") { activity { totalCount edges { cursor } } } }')
    assert counted["customer"]["activity"]["totalCount"] == 4, "nothing of the entry was asked for"


# -- under a token ----------------------------------------------------------------------------------------------------


async def test_a_measure_is_vouched_for_in_the_same_trip(client: Client, store: CountingStore) -> None:
    answer = await under(client, NUMBERS, token(1))
    assert answer["extensions"]["consistency"]["satisfied"]
    assert answer["extensions"]["consistency"]["waitedMs"] == 0
    assert len(store.trips) == 2, "the customer, then its numbers with what vouches for them"
    assert [key.id for key in document_keys(store.trips[1])] == ["o-1"]
    assert len(store.trips[1].measures) == 3


async def test_a_measure_waits_for_what_feeds_it(client: Client, store: CountingStore) -> None:
    async with asyncio.timeout(5):
        reading = asyncio.create_task(under(client, NUMBERS, token(2), maxWaitMs=2000))
        await store.listened.wait()
        await put(store, order_docs, "o-1", order(1, OrderStatus.CANCELLED), version=2)
        answer = await reading
    assert answer["extensions"]["consistency"]["satisfied"]
    assert answer["data"]["customer"]["totalSpent"] == "24.60"


async def test_a_measure_out_of_time(client: Client) -> None:
    answer = await under(client, NUMBERS, token(9), maxWaitMs=20)
    found = answer["extensions"]["consistency"]
    assert (found["satisfied"], found["unmet"][0]["reason"]) == (False, "LAG")
    answer = await under(client, NUMBERS, token(9), maxWaitMs=20, onTimeout="ERROR")
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"READ_TOO_STALE"}


async def test_a_root_measure_is_bound_too(client: Client) -> None:
    answer = await under(client, '{ revenue(day: "2026-01-02") }', token(9), maxWaitMs=20)
    assert answer["extensions"]["consistency"]["unmet"][0]["reason"] == "LAG"


async def test_nothing_vouches_for_a_timeline_and_that_is_told(client: Client, store: CountingStore) -> None:
    answer = await under(client, ACTIVITY, token(1), maxWaitMs=2000, onTimeout="ERROR")
    found = answer["extensions"]["consistency"]
    assert "errors" not in answer
    assert found["satisfied"] is False
    assert found["unmet"] == [{"id": "order/o-1", "version": 1, "seen": None, "reason": "BEST_EFFORT"}]
    assert found["waitedMs"] == 0
    assert [key.id for key in document_keys(store.trips[-1])] == ["o-1"], (
        "what its own read model has is waited for all the same"
    )


async def test_a_timeline_waits_for_the_read_model_beside_it(client: Client, store: CountingStore) -> None:
    async with asyncio.timeout(5):
        reading = asyncio.create_task(under(client, ACTIVITY, token(2), maxWaitMs=2000))
        await store.listened.wait()
        await happen(store, activity, "c-1", changed(happening(4), subject="order/o-1"))
        await put(store, order_docs, "o-1", order(1, OrderStatus.CONFIRMED), version=2)
        answer = await reading
    assert answer["data"]["customer"]["activity"]["totalCount"] == 4
    assert answer["extensions"]["consistency"]["unmet"][0]["reason"] == "BEST_EFFORT"
    late = await under(client, ACTIVITY, token(9), maxWaitMs=20)
    assert late["extensions"]["consistency"]["unmet"][0]["reason"] == "LAG", "what is known to be missing says more"


async def test_what_an_earlier_field_showed_too_old_says_more_than_best_effort(
    client: Client, store: CountingStore
) -> None:
    original = store.read

    async def read_and_catch_up(wanted: Wanted) -> ReadAnswer:
        found = await original(wanted)
        if len(store.trips) == 3:  # the projector catches up once the order has been read, and read again
            await put(store, order_docs, "o-1", order(1, OrderStatus.CONFIRMED), version=2)
        return found

    store.read = read_and_catch_up  # type: ignore[method-assign]
    query = '{ order(id: "o-1") { version customer { activity { totalCount } } } }'
    answer = await under(client, query, token(2), maxWaitMs=0)
    assert answer["data"]["order"]["version"] == 1
    assert [found["reason"] for found in answer["extensions"]["consistency"]["unmet"]] == ["LAG"]


async def test_what_cannot_be_in_a_timeline_does_not_bind_it(client: Client, store: CountingStore) -> None:
    answer = await under(client, ACTIVITY, token(99, ("catalog", "product", "p-1")), maxWaitMs=2000)
    found = answer["extensions"]["consistency"]
    assert (found["satisfied"], found["unmet"], found["waitedMs"]) == (True, [], 0)


async def test_a_type_that_nobody_shows_may_be_in_it(client: Client) -> None:
    answer = await under(client, ACTIVITY, token(1, ("claims", "claim", "x-1")), maxWaitMs=2000)
    found = answer["extensions"]["consistency"]
    assert (found["unmet"][0]["id"], found["unmet"][0]["reason"], found["waitedMs"]) == ("claim/x-1", "BEST_EFFORT", 0)


async def test_a_query_without_the_timeline_is_satisfied_as_before(client: Client) -> None:
    answer = await under(client, '{ order(id: "o-1") { version } }', token(1))
    assert answer["extensions"]["consistency"]["satisfied"]
