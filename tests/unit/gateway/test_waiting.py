"""Reads with a token: satisfied, woken by a notice, out of time, and told why."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.consistency import wait
from gateway.consistency.requirements import Aggregate, Required, Requirements
from gateway.consistency.token import TokenCodec
from projections.contexts.customers import customer_docs
from projections.contexts.orders import OrderStatus, order_docs
from projections.errors import StoreUnavailableError
from projections.store.keys import Bucket
from projections.store.memory import MemoryStore
from projections.store.port import Notice, ReadAnswer, Wanted
from tests.serving import Client, gateway, put
from tests.shop_views import customer, fill, order

CODEC = TokenCodec({"t1": b"k" * 32}, "headrace")
READ = '{ order(id: "o-1") { status version } }'
LIST = "{ orders { totalCount nodes { key version } } }"


def token(version: int, id: str = "o-1", age_s: int = 0, *, truncated: bool = False) -> str:
    wanted = {Aggregate("orders", "order", id): Required(0, version, int(time.time()) - age_s)}
    return CODEC.mint(Requirements(wanted, b"\xff" * 8 if truncated else None))


class WatchedStore(MemoryStore):
    """Tells when somebody listens."""

    def __init__(self) -> None:
        super().__init__()
        self.listened = asyncio.Event()

    @asynccontextmanager
    async def changes(self, bucket: Bucket) -> AsyncGenerator[Any]:
        async with super().changes(bucket) as notices:
            self.listened.set()
            yield notices


@pytest.fixture
async def store() -> WatchedStore:
    found = WatchedStore()
    await fill(found)
    return found


@pytest.fixture
async def client(store: MemoryStore) -> AsyncGenerator[Client]:
    async with gateway(store) as found:
        yield found


async def read(client: Client, query: str, after: str, **policy: Any) -> dict[str, Any]:
    return await client.ask(query, extensions={"consistency": {"after": after, **policy}})


async def test_satisfied_at_once(client: Client) -> None:
    answer = await read(client, READ, token(1))
    assert answer["data"]["order"] == {"status": "PLACED", "version": 1}
    found = answer["extensions"]["consistency"]
    assert (found["satisfied"], found["unmet"], found["waitedMs"]) == (True, [], 0)
    assert CODEC.read(found["token"]).of.keys() == {Aggregate("orders", "order", "o-1")}


@pytest.mark.parametrize("query", [READ, LIST])
async def test_a_waiting_read_is_woken_by_the_notice(
    client: Client, store: WatchedStore, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wait, "RECHECK_S", 60.0)
    async with asyncio.timeout(5):
        reading = asyncio.create_task(read(client, query, token(2), maxWaitMs=2000))
        await store.listened.wait()
        await put(store, order_docs, "o-1", order(1, OrderStatus.CONFIRMED), version=2)
        answer = await reading
    assert answer["extensions"]["consistency"]["satisfied"]
    row = answer["data"].get("order") or answer["data"]["orders"]["nodes"][0]
    assert row["version"] == 2


async def test_a_lost_notice_costs_one_re_check(store: MemoryStore) -> None:
    async with gateway(Deaf(store)) as client, asyncio.timeout(5):
        reading = asyncio.create_task(read(client, READ, token(2), maxWaitMs=2000))
        await asyncio.sleep(0)
        await put(store, order_docs, "o-1", order(1, OrderStatus.CONFIRMED), version=2)
        answer = await reading
    assert answer["extensions"]["consistency"]["satisfied"]


async def test_out_of_time_it_answers_and_says_why(client: Client) -> None:
    for query in (READ, LIST):
        answer = await read(client, query, token(5), maxWaitMs=30)
        assert "errors" not in answer
        found = answer["extensions"]["consistency"]
        assert found["satisfied"] is False
        assert found["unmet"] == [{"id": "order/o-1", "version": 5, "seen": 1, "reason": "LAG"}]


async def test_out_of_time_with_error(client: Client) -> None:
    for query in (READ, LIST):
        answer = await read(client, query, token(5), maxWaitMs=30, onTimeout="ERROR")
        assert [error["extensions"]["code"] for error in answer["errors"]] == ["READ_TOO_STALE"]
        assert answer["extensions"]["consistency"]["satisfied"] is False


async def test_an_old_requirement_is_checked_but_not_waited_for(client: Client) -> None:
    answer = await read(client, READ, token(5, age_s=600), maxWaitMs=2000)
    found = answer["extensions"]["consistency"]
    assert found["unmet"][0]["reason"] == "EXPIRED"
    assert found["waitedMs"] == 0
    met = await read(client, READ, token(1, age_s=600))
    assert met["extensions"]["consistency"]["satisfied"]


async def test_only_what_is_read_binds(client: Client, store: MemoryStore) -> None:
    answer = await read(client, '{ customer(id: "c-1") { name } customers { totalCount } }', token(99), maxWaitMs=2000)
    found = answer["extensions"]["consistency"]
    assert (found["satisfied"], found["waitedMs"]) == (True, 0)
    assert CODEC.read(found["token"]).of, "carried along"


async def test_what_the_token_names_but_nobody_stored_yet(client: Client) -> None:
    answer = await read(client, '{ order(id: "o-new") { id } }', token(1, "o-new"), maxWaitMs=20)
    assert answer["data"] == {"order": None}
    assert answer["extensions"]["consistency"]["unmet"][0]["seen"] == 0


async def test_a_deletion_satisfies(client: Client, store: MemoryStore) -> None:
    await put(store, order_docs, "o-1", None, version=2)
    answer = await read(client, READ, token(2))
    assert answer["data"] == {"order": None}
    assert answer["extensions"]["consistency"]["satisfied"]


async def test_what_one_field_showed_too_old_stays_reported(client: Client, store: WatchedStore) -> None:
    original = store.read

    async def read_and_catch_up(wanted: Wanted) -> ReadAnswer:
        found = await original(wanted)
        if wanted.lists:  # the projector catches up between the first level and the third
            await put(store, order_docs, "o-1", order(1, OrderStatus.CONFIRMED), version=2)
        return found

    store.read = read_and_catch_up  # type: ignore[method-assign]
    answer = await read(
        client, '{ order(id: "o-1") { version payments { order { version } } } }', token(2), maxWaitMs=0
    )
    assert answer["data"]["order"] == {"version": 1, "payments": [{"order": {"version": 2}}]}
    assert answer["extensions"]["consistency"]["satisfied"] is False


@pytest.mark.parametrize("query", [READ, LIST])
async def test_a_read_that_failed_satisfies_nothing(client: Client, store: WatchedStore, query: str) -> None:
    store.available = False
    answer = await read(client, query, token(1))
    assert answer["errors"][0]["extensions"]["code"] == "READ_MODEL_UNAVAILABLE"
    found = answer["extensions"]["consistency"]
    assert (found["satisfied"], found["unmet"][0]["reason"]) == (False, "UNAVAILABLE")


async def test_a_truncated_token_is_best_effort(client: Client) -> None:
    answer = await read(client, READ, token(1, truncated=True))
    found = answer["extensions"]["consistency"]
    assert found["satisfied"] is False
    assert found["unmet"] == [{"reason": "BEST_EFFORT"}]


async def test_header_and_extension_are_merged_and_the_header_comes_back(client: Client, store: MemoryStore) -> None:
    await put(store, customer_docs, "c-2", customer("Bob"))
    mine = CODEC.mint(Requirements({Aggregate("customers", "customer", "c-2"): Required(0, 1, int(time.time()))}))
    response = await client.http.post(
        "/graphql",
        json={"query": READ, "extensions": {"consistency": {"after": token(1)}}},
        headers={"Headrace-After": mine},
    )
    found = CODEC.read(response.headers["headrace-token"])
    assert {name.id for name in found.of} == {"o-1", "c-2"}
    assert response.json()["extensions"]["consistency"]["token"] == response.headers["headrace-token"]


async def test_no_token_no_consistency_in_the_answer(client: Client) -> None:
    response = await client.http.post("/graphql", json={"query": READ})
    assert "extensions" not in response.json()
    assert "headrace-token" not in response.headers


@pytest.mark.parametrize(
    "consistency",
    [
        {"after": "nonsense"},
        {"after": 7},
        {"maxWaitMs": -1},
        {"maxWaitMs": "soon"},
        {"onTimeout": "PANIC"},
        {"after": token(1)[:-2]},
        {"unknown": 1},
        [],
        "x",
    ],
)
async def test_bad_tokens_and_policies_are_coded_errors(client: Client, consistency: Any) -> None:
    answer = await client.ask(READ, extensions={"consistency": consistency})
    assert answer["errors"][0]["extensions"]["code"] == "BAD_TOKEN"
    assert "data" not in answer


@pytest.mark.parametrize(
    ("consistency", "message"),
    [
        ({"onTimeout": "s3cr3t"}, "extensions.consistency.onTimeout does not fit: expected STALE or ERROR"),
        (
            {"maxWaitMs": "s3cr3t"},
            "extensions.consistency.maxWaitMs does not fit: expected a whole number of milliseconds",
        ),
        ({"after": ["s3cr3t"]}, "extensions.consistency.after does not fit: expected a token"),
        ({"s3cr3t": 1}, "it is an object of after, maxWaitMs, onTimeout"),
        ({"s3cr3t - at `$.after`": 1}, "it is an object of after, maxWaitMs, onTimeout"),
        ("s3cr3t", "it is an object of after, maxWaitMs, onTimeout"),
    ],
)
async def test_a_policy_that_does_not_fit_is_told_by_its_place(client: Client, consistency: Any, message: str) -> None:
    answer = await client.ask(READ, extensions={"consistency": consistency})
    assert message in answer["errors"][0]["message"]
    assert "s3cr3t" not in str(answer)


class Behind(WatchedStore):
    """Where the order is at version 2, except for those who read lists or measures: to them it is as it was before, for now."""

    def __init__(self) -> None:
        super().__init__()
        self.before: ReadAnswer | None = None

    async def catch_up(self) -> None:
        self.before = await super().read(Wanted({Bucket("orders", order_docs.version, 0): ["o-1"]}))
        await put(self, order_docs, "o-1", order(1, OrderStatus.CONFIRMED), version=2)

    async def read(self, wanted: Wanted) -> ReadAnswer:
        found = await super().read(wanted)
        is_late = self.before and (wanted.lists or wanted.pages or wanted.measures)
        return found._replace(documents=self.before.documents) if self.before and is_late else found


@pytest.mark.parametrize("query", [LIST, '{ revenue(day: "2026-01-02") }'])
async def test_the_read_that_is_answered_from_is_the_one_that_is_judged(query: str) -> None:
    store = Behind()
    await fill(store)
    await store.catch_up()
    async with gateway(store) as client:
        stale = await read(client, query, token(2), maxWaitMs=2000)
        error = await read(client, query, token(2), maxWaitMs=2000, onTimeout="ERROR")
    assert "errors" not in stale
    assert [error["extensions"]["code"] for error in error["errors"]] == ["READ_TOO_STALE"]
    for answer in (stale, error):
        found = answer["extensions"]["consistency"]
        assert found["unmet"] == [{"id": "order/o-1", "version": 2, "seen": 1, "reason": "LAG"}]


@pytest.mark.parametrize("query", [LIST, '{ revenue(day: "2026-01-02") }'])
async def test_what_was_read_before_the_one_that_is_answered_from_is_not_held_against_it(
    query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wait, "RECHECK_S", 0.01)
    store = Behind()
    await fill(store)
    await store.catch_up()
    orders = store.buckets[Bucket("orders", order_docs.version, 0)]
    orders.is_built = False
    slept = wait.ChangeHub.until_built

    async def until_built(hub: wait.ChangeHub, again: Any, deadline_s: float) -> None:
        reads: list[bool] = []

        async def watched() -> bool:
            reads.append(await again())
            if len(reads) == 2:
                orders.is_built, store.before = True, None
            return reads[-1]

        await slept(hub, watched, deadline_s)
        assert reads == [False, False, True]

    monkeypatch.setattr(wait.ChangeHub, "until_built", until_built)
    async with gateway(store) as client, asyncio.timeout(5):
        answer = await read(client, query, token(2), maxWaitMs=2000, onTimeout="ERROR")
    assert "errors" not in answer
    assert answer["extensions"]["consistency"]["satisfied"]


async def test_the_cap_bounds_what_a_client_may_ask_for(store: MemoryStore) -> None:
    async with gateway(store, HEADRACE_MAX_WAIT_MS="20") as client, asyncio.timeout(5):
        answer = await read(client, READ, token(5), maxWaitMs=3_600_000)
    assert answer["extensions"]["consistency"]["satisfied"] is False


class Deaf:
    """The store behind a change channel that tells nothing."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    @asynccontextmanager
    async def changes(self, bucket: Bucket) -> AsyncGenerator[Any]:
        yield self._silence()

    async def _silence(self) -> AsyncGenerator[Sequence[Notice]]:
        await asyncio.Event().wait()
        yield ()


async def test_waiting_goes_on_when_the_channel_cannot_be_subscribed(store: MemoryStore) -> None:
    class Mute(Deaf):
        @asynccontextmanager
        async def changes(self, bucket: Bucket) -> AsyncGenerator[Any]:
            silence: tuple[Any, ...] = ()
            for notices in silence:
                yield notices
            raise StoreUnavailableError("no channel")

    async with gateway(Mute(store)) as client, asyncio.timeout(5):
        reading = asyncio.create_task(read(client, READ, token(2), maxWaitMs=2000))
        await asyncio.sleep(0)
        await put(store, order_docs, "o-1", order(1, OrderStatus.CONFIRMED), version=2)
        answer = await reading
    assert answer["extensions"]["consistency"]["satisfied"]
