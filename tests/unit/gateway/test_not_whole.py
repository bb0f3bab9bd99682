"""What is parked, and what is being rebuilt: said at once or waited for, and never a silent null."""

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from gateway.consistency import wait
from gateway.consistency.requirements import Aggregate, Required, Requirements
from gateway.consistency.token import TokenCodec
from gateway.errors import STORE_BUILDING
from projections.contexts.activity import activity
from projections.contexts.customers import customer_docs
from projections.contexts.orders import OrderStatus, order_docs
from projections.store.change import Applied, BucketChange, Change
from projections.store.document import PARKED, Document
from projections.store.keys import Bucket
from projections.store.memory import MemoryStore
from projections.store.port import ReadAnswer, Wanted
from tests.serving import Client, gateway, mark_built, put
from tests.shop_views import customer, fill, order
from tests.unit.gateway.test_waiting import WatchedStore

CODEC = TokenCodec({"t1": b"k" * 32}, "headrace")
READ = '{ order(id: "o-1") { status version } }'
LIST = "{ orders { totalCount nodes { key } } }"
NUMBER = '{ revenue(day: "2026-01-02") }'
TIMELINE = '{ customer(id: "c-1") { activity { totalCount } } }'
ORDERS = Bucket("orders", order_docs.version, 0)


class LookedAtStore(WatchedStore):
    """Tells when the same thing has been asked for three times in a row."""

    def __init__(self) -> None:
        super().__init__()
        self.looked_again = asyncio.Event()
        self._asked: list[object] = []

    async def read(self, wanted: Wanted) -> ReadAnswer:
        self._asked.append(wanted)
        if self._asked[-3:] == self._asked[-1:] * 3:
            self.looked_again.set()
        return await super().read(wanted)


@pytest.fixture
async def store() -> LookedAtStore:
    found = LookedAtStore()
    await fill(found)
    return found


@pytest.fixture
async def client(store: MemoryStore) -> AsyncGenerator[Client]:
    async with gateway(store) as found:
        yield found


def token(version: int, id: str = "o-1", age_s: int = 0) -> str:
    return CODEC.mint(Requirements({Aggregate("orders", "order", id): Required(0, version, int(time.time()) - age_s)}))


async def under(client: Client, query: str, after: str, **policy: Any) -> dict[str, Any]:
    return await client.ask(query, extensions={"consistency": {"after": after, **policy}})


def unmet(answer: dict[str, Any]) -> dict[str, Any]:
    (found,) = answer["extensions"]["consistency"]["unmet"]
    assert answer["extensions"]["consistency"]["satisfied"] is False
    return dict(found)


def codes(answer: dict[str, Any]) -> list[str]:
    return [error["extensions"]["code"] for error in answer.get("errors", [])]


async def park(store: MemoryStore, id: str) -> None:
    """Flags a document as the projector does when the aggregate's next event cannot be used."""
    (old,) = await store.documents(ORDERS, [id])
    document = Document(0, 0, 0, None, PARKED) if old is None else old._replace(flags=PARKED)
    assert isinstance(await store.apply(BucketChange(ORDERS, [Change(id, old, document)])), Applied)


# -- parked -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", [READ, LIST, NUMBER])
async def test_a_parked_aggregate_is_not_waited_for(client: Client, store: WatchedStore, query: str) -> None:
    await park(store, "o-1")
    answer = await under(client, query, token(2), maxWaitMs=2000)
    assert unmet(answer) == {"id": "order/o-1", "version": 2, "seen": 1, "reason": "PARKED"}
    assert answer["extensions"]["consistency"]["waitedMs"] == 0
    assert codes(answer) == []
    answer = await under(client, query, token(2), maxWaitMs=2000, onTimeout="ERROR")
    assert codes(answer) == ["READ_TOO_STALE"]
    assert not store.listened.is_set()


async def test_a_parked_aggregate_that_is_new_enough_satisfies(client: Client, store: WatchedStore) -> None:
    await park(store, "o-1")
    answer = await under(client, READ, token(1))
    assert answer["extensions"]["consistency"]["satisfied"]
    assert answer["data"]["order"]["version"] == 1
    assert (await client.data(READ))["order"]["version"] == 1, "without a token it is there, as it is"


async def test_what_was_parked_before_anything_was_stored_is_null(client: Client, store: WatchedStore) -> None:
    await park(store, "o-7")
    query = '{ order(id: "o-7") { status } }'
    assert await client.data(query) == {"order": None}
    answer = await under(client, query, token(1, "o-7"), maxWaitMs=2000)
    assert unmet(answer) == {"id": "order/o-7", "version": 1, "seen": 0, "reason": "PARKED"}


@pytest.mark.parametrize("query", [READ, LIST])
async def test_a_wait_ends_when_the_aggregate_is_parked(
    client: Client, store: WatchedStore, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wait, "RECHECK_S", 60.0)
    async with asyncio.timeout(5):
        reading = asyncio.create_task(under(client, query, token(3), maxWaitMs=2000))
        await store.listened.wait()
        await park(store, "o-1")
        answer = await reading
    assert unmet(answer)["reason"] == "PARKED"
    assert answer["extensions"]["consistency"]["waitedMs"] < 1900


# -- being rebuilt ----------------------------------------------------------------------------------------------------


def lose(store: MemoryStore, name: str) -> None:
    """Empties a read model, as a store that lost its memory does."""
    for bucket in [bucket for bucket in store.buckets if bucket.projection == name]:
        del store.buckets[bucket]


@pytest.mark.parametrize("query", [READ, LIST, NUMBER])
async def test_what_may_still_come_is_an_error_and_no_null(client: Client, store: WatchedStore, query: str) -> None:
    lose(store, "orders")
    answer = await client.ask(query)
    assert codes(answer) == ["READ_MODEL_REBUILDING"]
    assert answer["errors"][0]["message"] == STORE_BUILDING, "the store's own words are for the log"
    together = await client.ask('{ order(id: "o-1") { version } customer(id: "c-1") { name } }')
    assert together["data"] == {"order": None, "customer": {"name": "Ada"}}, "the others are there"


async def test_a_timeline_that_is_being_rebuilt(client: Client, store: WatchedStore) -> None:
    lose(store, "activity")
    answer = await client.ask(TIMELINE)
    assert codes(answer) == ["READ_MODEL_REBUILDING"]
    assert (await client.data('{ customer(id: "c-1") { name orderCount } }'))["customer"]["orderCount"] == 1


async def test_a_document_that_has_come_is_shown_before_the_rest_has(client: Client, store: WatchedStore) -> None:
    store.buckets[ORDERS].is_built = False
    assert (await client.data(READ))["order"]["version"] == 1
    assert codes(await client.ask('{ order(id: "o-2") { version } }')) == ["READ_MODEL_REBUILDING"]


@pytest.mark.parametrize("query", [READ, LIST, NUMBER])
async def test_under_a_token_the_wait_ends_and_says_so(client: Client, store: WatchedStore, query: str) -> None:
    lose(store, "orders")
    answer = await under(client, query, token(1), maxWaitMs=30)
    assert codes(answer) == ["READ_MODEL_REBUILDING"]
    assert unmet(answer) == {"id": "order/o-1", "version": 1, "seen": 0, "reason": "REBUILDING"}
    assert answer["extensions"]["consistency"]["waitedMs"] > 0
    answer = await under(client, query, token(1), maxWaitMs=30, onTimeout="ERROR")
    assert codes(answer) == ["READ_TOO_STALE"]
    assert unmet(answer)["reason"] == "REBUILDING"


@pytest.mark.parametrize("query", [READ, LIST, NUMBER])
async def test_an_old_requirement_does_not_wait_for_a_rebuild(client: Client, store: WatchedStore, query: str) -> None:
    lose(store, "orders")
    answer = await under(client, query, token(1, age_s=600), maxWaitMs=2000)
    assert unmet(answer)["reason"] == "REBUILDING"
    assert answer["extensions"]["consistency"]["waitedMs"] == 0


@pytest.mark.parametrize("query", [READ, LIST, NUMBER])
async def test_what_is_built_while_somebody_waits_satisfies(client: Client, store: WatchedStore, query: str) -> None:
    lose(store, "orders")
    async with asyncio.timeout(5):
        reading = asyncio.create_task(under(client, query, token(2), maxWaitMs=2000))
        await store.listened.wait()
        await put(store, order_docs, "o-1", order(1, OrderStatus.CONFIRMED), version=2)
        answer = await reading
    assert codes(answer) == []
    assert answer["extensions"]["consistency"]["satisfied"]
    assert (answer["data"].get("order") or {"version": 2})["version"] == 2
    assert (answer["data"].get("orders") or {"totalCount": 1})["totalCount"] == 1
    assert answer["data"].get("revenue", "12.30") == "12.30"


@pytest.mark.parametrize("query", [LIST, NUMBER])
async def test_a_list_is_waited_for_although_its_vouchers_are_there(
    client: Client, store: LookedAtStore, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wait, "RECHECK_S", 0.01)
    store.buckets[ORDERS].is_built = False
    async with asyncio.timeout(5):
        reading = asyncio.create_task(under(client, query, token(1), maxWaitMs=2000))
        await store.looked_again.wait()
        await mark_built(store)
        answer = await reading
    assert codes(answer) == []
    assert answer["extensions"]["consistency"]["satisfied"]
    assert answer["extensions"]["consistency"]["waitedMs"] > 0


@pytest.mark.parametrize("query", [LIST, NUMBER])
async def test_a_list_that_is_not_built_in_time(client: Client, store: WatchedStore, query: str) -> None:
    store.buckets[ORDERS].is_built = False
    answer = await under(client, query, token(1), maxWaitMs=30)
    assert (codes(answer), unmet(answer)["reason"]) == (["READ_MODEL_REBUILDING"], "REBUILDING")


async def test_the_wait_for_a_timeline_that_is_being_rebuilt(client: Client, store: WatchedStore) -> None:
    lose(store, "activity")
    answer = await under(client, TIMELINE, token(1), maxWaitMs=30)
    assert (codes(answer), unmet(answer)["reason"]) == (["READ_MODEL_REBUILDING"], "REBUILDING")


# -- who is told ------------------------------------------------------------------------------------------------------


async def test_readiness_says_what_is_being_rebuilt(client: Client, store: WatchedStore) -> None:
    lose(store, "orders")
    lose(store, "activity")
    response = await client.http.get("/readyz")
    assert response.status_code == 200, "the others are there"
    found = response.json()["projections"]
    assert {name for name, state in found.items() if state["rebuilding"]} == {"orders", "activity"}
    assert {"customers", "products", "payments", "shipments"} <= found.keys()


async def test_one_bucket_that_is_not_whole_is_enough() -> None:
    store = MemoryStore()
    await mark_built(store, buckets=4)
    await put(store, customer_docs, "c-1", customer(), buckets=4)
    store.buckets[Bucket("activity", activity.version, 2)].is_built = False
    async with gateway(store, HEADRACE_BUCKETS="4") as client:
        found = (await client.http.get("/readyz")).json()["projections"]
    assert {name for name, state in found.items() if state["rebuilding"]} == {"activity"}
