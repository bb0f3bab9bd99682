"""What one bad thing may not do to the rest: a strange message, a failing store, a slow or chatty service, an odd name."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import httpx
import pytest

from gateway.commands.forward import Call, CommandForwarder, Unknown
from gateway.compose import compose
from gateway.consistency.requirements import Aggregate, Required, Requirements
from gateway.consistency.token import TokenCodec
from projections import Event, Projection, View
from projections.store.keys import Bucket
from projections.store.memory import MemoryStore
from projections.store.port import ReadAnswer, Wanted
from schema import BoundedContext, entity, get
from tests.serving import gateway, put
from tests.shop_views import fill

CODEC = TokenCodec({"t1": b"k" * 32}, "headrace")
READ = '{ order(id: "o-1") { version } }'


def token(version: int, name: Aggregate = Aggregate("orders", "order", "o-1")) -> str:  # noqa: B008 - immutable
    return CODEC.mint(Requirements({name: Required(0, version, int(time.time()))}))


class Garbled(MemoryStore):
    """Its change channels bring what no build of Headrace sends."""

    def __init__(self) -> None:
        super().__init__()
        self.subscribed = 0

    @contextlib.asynccontextmanager
    async def changes(self, bucket: Bucket) -> AsyncGenerator[AsyncIterator[Any]]:
        self.subscribed += 1

        async def garbage() -> AsyncGenerator[Any]:
            raise ValueError("a later build's notice")
            yield ()  # type: ignore[unreachable] # makes it a generator

        yield garbage()


async def test_a_strange_notice_leaves_reads_and_waits_as_they_are() -> None:
    store = Garbled()
    await fill(store)
    async with gateway(store) as client, asyncio.timeout(10):
        for _ in range(3):
            answer = await client.ask(READ, extensions={"consistency": {"after": token(9), "maxWaitMs": 40}})
            assert answer["extensions"]["consistency"]["satisfied"] is False
        assert store.subscribed
        assert (await client.data(READ))["order"] == {"version": 1}


class Defective(MemoryStore):
    """Raises what nobody planned."""

    broken = False

    async def read(self, wanted: Wanted) -> ReadAnswer:
        if self.broken:
            raise ValueError("a defect")
        return await super().read(wanted)


@pytest.mark.parametrize("query", [READ, "{ orders { totalCount } }"])
async def test_a_read_that_broke_satisfies_nothing(query: str) -> None:
    store = Defective()
    await fill(store)
    async with gateway(store) as client:
        store.broken = True
        answer = await client.ask(query, extensions={"consistency": {"after": token(1)}})
        assert answer["errors"][0]["extensions"]["code"] == "INTERNAL"
        assert "defect" not in str(answer)
        found = answer["extensions"]["consistency"]
        assert (found["satisfied"], found["unmet"][0]["reason"]) == (False, "UNAVAILABLE")
        store.broken = False
        assert (await client.data(READ))["order"] == {"version": 1}


class FirmState(Event):
    entity: str


class FirmView(View):
    entity: str


def evolve(view: FirmView | None, event: FirmState) -> FirmView:
    return FirmView(entity=event.entity)


firm_docs = Projection(name="firms", version=1, topics=["firms"], aggregate="firm", state=True, evolve=evolve)


@entity(firm_docs, owner="registry")
class Firm:
    entity: str


class FirmQuery:
    firm: Firm | None = get(firm_docs)


reporting = BoundedContext("reporting", entities=[Firm], query=FirmQuery)


async def test_a_stored_field_may_have_any_name_and_a_token_goes_by_the_owner() -> None:
    store = MemoryStore()
    await put(store, firm_docs, "f-1", FirmView(entity="ACME GmbH"))
    async with gateway(store, composed=compose([reporting], [firm_docs])) as client:
        query = '{ firm(id: "f-1") { __typename entity } }'
        after = token(5, Aggregate("registry", "firm", "f-1"))
        answer = await client.ask(query, extensions={"consistency": {"after": after, "maxWaitMs": 20}})
    assert answer["data"]["firm"] == {"__typename": "Firm", "entity": "ACME GmbH"}
    assert answer["extensions"]["consistency"]["satisfied"] is False


async def test_a_service_that_drips_is_cut_off_at_the_deadline() -> None:
    async def drip() -> AsyncGenerator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.01)

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"Aggregate-Version": '"order/o-1";v=2'}, content=drip())

    call = Call("orders", "/orders", b"{}", "c-1", None, "x")
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client, asyncio.timeout(5):
        reply = await CommandForwarder(client, {"orders": "http://orders.test"}, timeout_s=0.2).send(call)
    assert isinstance(reply, Unknown)


async def test_cookies_do_not_cross_callers() -> None:
    store = MemoryStore()
    await fill(store)
    seen: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("cookie"))
        return httpx.Response(409, headers={"Set-Cookie": "session=ALICE"}, json={"title": "no"})

    async with gateway(store, answer) as client:
        for _ in range(2):
            await client.ask('mutation { confirmOrder(input: {order: "o-1"}) { __typename } }')
    assert seen == [None, None]


async def test_many_mutations_share_one_wait() -> None:
    store = MemoryStore()
    await fill(store)

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"Aggregate-Version": '"order/o-1";v=9'})

    fields = " ".join(
        f'm{n}: confirmOrder(input: {{order: "o-1"}}) {{ ... on ConfirmOrderAccepted {{ order {{ version }} }} }}'
        for n in range(10)
    )
    async with gateway(store, answer) as client:
        found = await client.ask(f"mutation {{ {fields} }}", extensions={"consistency": {"maxWaitMs": 100}})
    assert found["extensions"]["consistency"]["waitedMs"] < 500, "not ten times a hundred"
    assert found["extensions"]["consistency"]["satisfied"] is False


@pytest.mark.parametrize(
    "query",
    ["{ " + "x" * 100_000 + " }", "query($" + "v" * 100_000 + ": ID!) { order(id: $" + "v" * 100_000 + ") { id } }"],
)
async def test_no_long_echo(query: str) -> None:
    async with gateway(MemoryStore()) as client:
        response = await client.http.post("/graphql", json={"query": query})
    assert "errors" in response.json()
    assert len(response.text) < 5_000
