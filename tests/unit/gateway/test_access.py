"""Scopes, tags and row rules: who may read what, by the engine and by the plain executor alike."""

from collections.abc import AsyncGenerator
from decimal import Decimal
from typing import Any

import pytest
import strawberry

from gateway.compose import compose
from gateway.http.request import Headers
from projections import Entry, Event, Index, Measure, Projection, Timeline, View
from projections.store.memory import MemoryStore
from schema import (
    Activity,
    BoundedContext,
    Connection,
    RowRule,
    computed,
    entity,
    extension,
    field,
    find,
    get,
    many,
    measure,
    one,
    timeline,
)
from schema.errors import CompositionError
from schema.ports import Principal
from tests.serving import Client, gateway, mark_built, put


class ShopState(Event):
    name: str


class ShopView(View):
    name: str


def evolve_shop(view: ShopView | None, event: ShopState) -> ShopView:
    return ShopView(name=event.name)


class NoteState(Event):
    tenant: str
    shop_id: str
    text: str
    rank: int
    price: Decimal


class NoteView(View):
    tenant: str
    shop_id: str
    text: str
    rank: int
    price: Decimal


def evolve_note(view: NoteView | None, event: NoteState) -> NoteView:
    return NoteView(tenant=event.tenant, shop_id=event.shop_id, text=event.text, rank=event.rank, price=event.price)


def enter(event: NoteState, id: str) -> Entry | None:
    return Entry(key=event.shop_id, what=event.text)


by_tenant = Index[NoteView]("by_tenant", filters=("tenant",), sort="text")
by_shop = Index[NoteView]("by_shop", filters=("shop_id", "tenant?", "rank?"), sort="text")
everything = Index[NoteView]("everything", sort="text")
per_tenant = Measure[NoteView]("per_tenant", kind="count", by="tenant")
per_shop = Measure[NoteView]("per_shop", kind="count", by="shop_id")
shop_docs = Projection(name="shops", version=1, topics=["shops"], aggregate="shop", state=True, evolve=evolve_shop)
note_docs = Projection(
    name="notes",
    version=1,
    topics=["notes"],
    aggregate="note",
    state=True,
    evolve=evolve_note,
    indexes=[by_tenant, by_shop, everything],
    measures=[per_tenant, per_shop],
)
SERVED: tuple[Projection[Any, Any], ...] = (shop_docs, note_docs)


@entity(shop_docs)
class Shop:
    name: str = field(tags=["partner"])


@entity(note_docs, rows=RowRule("tenant", claim="tenant"))
class Note:
    tenant: str
    text: str
    rank: int = field(scope="ranks:read")
    price: Decimal = field(scope="prices:read")
    doubled: Decimal = computed(lambda price: price * 2, needs=("price",))
    shop: Shop | None = one(shop_docs, via="shop_id")

    @strawberry.field(description="With code, so that the plain executor answers.")  # type: ignore[untyped-decorator]
    def shouted(self) -> str:
        return self.text.upper()


@extension(Shop)
class ShopNotes:
    notes: Connection[Note] = many(note_docs, by_shop, via="shop_id")
    note_list: list[Note] = many(note_docs, by_shop, via="shop_id")


class Query:
    shop: Shop | None = get(shop_docs)
    note: Note | None = get(note_docs)
    notes: Connection[Note] = find(note_docs, by_tenant)
    note_count: int = measure(note_docs, per_tenant)


COMPOSED = compose(
    [
        BoundedContext("shops", entities=[Shop]),
        BoundedContext("notes", entities=[Note], query=Query, extensions=[ShopNotes]),
    ],
    SERVED,
)


def principal_of(headers: Headers) -> Principal:
    """The principal that a test names in headers."""
    tenant, scopes, tags = (headers.get(name, b"").decode() for name in (b"x-tenant", b"x-scopes", b"x-tags"))
    return Principal(
        "somebody",
        frozenset(scopes.split()),
        {"tenant": tenant} if tenant else {},
        frozenset(tags.split()) if tags else None,
    )


@pytest.fixture
async def client() -> AsyncGenerator[Client]:
    store = MemoryStore()
    await mark_built(store, SERVED)
    await put(store, shop_docs, "s-1", ShopView(name="Corner"))
    for number, tenant in enumerate(("red", "red", "blue"), 1):
        view = NoteView(tenant=tenant, shop_id="s-1", text=f"note {number}", rank=number, price=Decimal("1.50"))
        await put(store, note_docs, f"n-{number}", view)
    async with gateway(store, composed=COMPOSED, principal_of=principal_of) as found:
        yield found


ROWS = """{
  mine: note(id: "n-1") { text FIELD }
  other: note(id: "n-3") { text FIELD }
  byId: nodes(ids: ["Note:n-2", "Note:n-3"]) { id }
  notes { totalCount nodes { text FIELD } }
  shop(id: "s-1") { notes { totalCount edges { node { text } } } noteList { text } }
  red: noteCount(tenant: "red")
  blue: noteCount(tenant: "blue")
}"""


@pytest.mark.parametrize("text", [ROWS.replace("FIELD", ""), ROWS.replace("FIELD", "shouted")])
async def test_rows_of_others_are_not_there_nor_counted(client: Client, text: str) -> None:
    answer = await client.ask(text, headers={"x-tenant": "red"})
    data = answer["data"]
    assert data["mine"]["text"] == "note 1"
    assert data["other"] is None
    assert data["byId"] == [{"id": "Note:n-2"}, None]
    assert data["notes"]["totalCount"] == 2
    assert [note["text"] for note in data["notes"]["nodes"]] == ["note 1", "note 2"]
    assert data["shop"]["notes"]["totalCount"] == 2
    assert [note["text"] for note in data["shop"]["noteList"]] == ["note 1", "note 2"]
    assert (data["red"], data["blue"]) == (2, 0)
    assert "errors" not in answer


@pytest.mark.parametrize("text", [ROWS.replace("FIELD", ""), ROWS.replace("FIELD", "shouted")])
async def test_without_the_claim_there_is_nothing(client: Client, text: str) -> None:
    answer = await client.ask(text)
    assert answer["data"] == {
        "mine": None,
        "other": None,
        "byId": [None, None],
        "notes": {"totalCount": 0, "nodes": []},
        "shop": {"notes": {"totalCount": 0, "edges": []}, "noteList": []},
        "red": 0,
        "blue": 0,
    }


async def test_the_same_operation_of_two_principals_in_one_tick_is_not_shared(client: Client) -> None:
    import asyncio

    asked = [client.ask("{ notes { totalCount } }", headers={"x-tenant": tenant}) for tenant in ("red", "blue") * 10]
    counts = [answer["data"]["notes"]["totalCount"] for answer in await asyncio.gather(*asked)]
    assert counts == [2, 1] * 10


def test_the_filter_of_the_rule_is_not_the_client_s_to_give() -> None:
    assert "tenant" not in COMPOSED.sdl().partition("notes(")[2].partition(")")[0]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('{ note(id: "n-1") { price } }', "Note.price"),
        ('{ note(id: "n-1") { ...F } } fragment F on Note { a: price }', "Note.price"),
        ('{ node(id: "Note:n-1") { id ... on Note { price shouted } } }', "Note.price"),
        ('{ note(id: "n-1") { doubled } }', "Note.doubled"),
        ('{ shop(id: "s-1") { notes(rank: 2) { totalCount } } }', "Note.rank"),
        ('{ nodes(ids: ["Shop:s-1"]) { ... on Shop { notes { edges { node { price } } } } } }', "Note.price"),
    ],
)
async def test_a_scope_that_is_missing_refuses_the_whole(client: Client, text: str, named: str) -> None:
    refused = await client.ask(text, headers={"x-tenant": "red"})
    assert "data" not in refused
    [error] = refused["errors"]
    assert error["extensions"]["code"] == "FORBIDDEN"
    assert named in error["message"]
    allowed = await client.ask(text, headers={"x-tenant": "red", "x-scopes": "prices:read ranks:read"})
    assert "errors" not in allowed


async def test_what_is_left_out_by_a_directive_is_not_asked_about(client: Client) -> None:
    text = 'query($p: Boolean!) { note(id: "n-1") { text price @include(if: $p) } }'
    assert "errors" not in await client.ask(text, {"p": False}, headers={"x-tenant": "red"})
    assert (await client.ask(text, {"p": True}, headers={"x-tenant": "red"}))["errors"]


async def test_tags_are_for_those_who_see_them(client: Client) -> None:
    text = '{ shop(id: "s-1") { name } }'
    assert (await client.ask(text))["data"] == {"shop": {"name": "Corner"}}
    assert (await client.ask(text, headers={"x-tags": "partner other"}))["data"] == {"shop": {"name": "Corner"}}
    refused = await client.ask(text, headers={"x-tags": "other"})
    assert refused["errors"][0]["extensions"]["code"] == "FORBIDDEN"


async def test_an_id_of_any_type_asks_nothing_of_the_types_that_are_not_looked_into(client: Client) -> None:
    text = '{ node(id: "Note:n-1") { id __typename ... on Note { text } } }'
    headers = {"x-tenant": "red", "x-tags": "other"}
    assert (await client.ask(text, headers=headers))["data"]["node"]["text"] == "note 1"
    refused = await client.ask(text.replace("... on Note { text }", "... on Shop { name }"), headers=headers)
    assert "Shop.name" in refused["errors"][0]["message"]


def test_a_timeline_of_what_a_row_rule_hides_is_refused() -> None:
    note_log = Timeline(name="log", version=1, topics=["notes"], entry=enter)

    @extension(Shop)
    class ShopLog:
        log: Connection[Activity] = timeline(note_log)

    ShopLog.__annotations__ = {"log": Connection[Activity]}
    contexts = [
        BoundedContext("shops", entities=[Shop]),
        BoundedContext("notes", entities=[Note], query=Query, extensions=[ShopNotes, ShopLog]),
    ]
    with pytest.raises(CompositionError, match="'log' tells of the topics of Note"):
        compose(contexts, [*SERVED, note_log])


def test_a_list_that_would_count_what_is_hidden_is_refused() -> None:
    class Everything:
        all_notes: Connection[Note] = find(note_docs, everything)

    class Counted:
        in_shop: int = measure(note_docs, per_shop)

    for query, name in ((Everything, "'everything'"), (Counted, "'per_shop'")):
        contexts = [BoundedContext("shops", entities=[Shop]), BoundedContext("notes", entities=[Note], query=query)]
        with pytest.raises(CompositionError, match=name) as raised:
            compose(contexts, SERVED)
        assert "tenant" in str(raised.value)
        assert raised.value.mend
