"""A stored document that does not fit its view: each field fails by itself, and code gets typed values."""

from collections.abc import AsyncGenerator
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any

import msgspec
import pytest
import strawberry

from gateway.compose import compose
from gateway.engine.served import read_models
from gateway.engine.stored import StoredRow, attribute, readable
from gateway.errors import UnreadableDocumentError
from projections.declare import Event, Part, Projection, View
from projections.store.change import Applied, BucketChange, Change
from projections.store.document import Document
from projections.store.keys import Bucket
from projections.store.memory import MemoryStore
from schema import BoundedContext, computed, entity, get, part
from tests.serving import Client, gateway, mark_built


class Colour(Enum):
    RED = "RED"
    BLUE = "BLUE"


class Kind(Enum):
    LARGE = "large size"


class Box(Part):
    size: Decimal
    label: str | None = None


class ThingChanged(Event):
    name: str


class ThingView(View):
    name: str
    price: Decimal
    made_at: datetime
    colour: Colour
    colours: list[Colour]
    count: int
    boxes: list[Box]
    note: str | None
    strict_note: str
    tags: list[str] = msgspec.field(default_factory=list)
    weight: Decimal = Decimal("1.50")
    shade: Colour = Colour.BLUE
    kind: Kind = Kind.LARGE
    kinds: list[Kind | None] | None = None


def evolve(view: ThingView | None, event: ThingChanged) -> ThingView | None:
    return view


thing_docs = Projection(name="things", version=1, topics=["things"], aggregate="thing", evolve=evolve)


@part(Box)
class ThingBox:
    size: Decimal
    label: str | None


@entity(thing_docs)
class Thing:
    name: str
    price: Decimal
    made_at: datetime
    colour: Colour
    colours: list[Colour]
    count: int
    boxes: list[ThingBox]
    note: str | None
    strict_note: str | None
    tags: list[str]
    weight: Decimal
    shade: Colour
    kind: Kind
    kinds: list[Kind | None] | None
    double: Decimal = computed(lambda price: price * 2, needs=("price",))

    @strawberry.field
    def year(self) -> int:
        return self.made_at.year

    @strawberry.field
    def room(self) -> Decimal:
        return sum((box.size for box in self.boxes), Decimal(0))


class Query:
    thing: Thing | None = get(thing_docs)


COMPOSED = compose([BoundedContext("things", entities=[Thing], query=Query)], [thing_docs])
GOOD = (
    b'{"name":"N","price":"1.0","madeAt":"2026-01-01T00:00:00Z","colour":"RED","colours":["BLUE","RED"],"count":1,'
    b'"boxes":[{"size":"2","label":"L"},{"size":"3"}],"note":null,"strictNote":"s"}'
)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
async def client(store: MemoryStore) -> AsyncGenerator[Client]:
    await mark_built(store, [thing_docs])
    async with gateway(store, composed=COMPOSED) as found:
        yield found


async def write(store: MemoryStore, view: bytes) -> None:
    bucket = Bucket("things", 1, 0)
    change = Change("t-1", None, Document(0, 1, 0, view))
    assert isinstance(await store.apply(BucketChange(bucket, [change])), Applied)


def asking(selection: str) -> str:
    return f'{{ thing(id: "t-1") {{ {selection} }} }}'


async def failed(client: Client, selection: str) -> list[tuple[list[Any], str, str]]:
    answer = await client.ask(asking(selection))
    assert answer["data"] == {"thing": None}
    return [(error["path"][1:], error["extensions"]["code"], error["message"]) for error in answer["errors"]]


async def test_what_fits_is_shown_as_it_is_stored(client: Client, store: MemoryStore) -> None:
    await write(store, GOOD)
    everything = "name price madeAt colour colours count boxes { size label } note strictNote tags weight shade double"
    expected: dict[str, Any] = {
        "name": "N",
        "price": "1.0",
        "madeAt": "2026-01-01T00:00:00Z",
        "colour": "RED",
        "colours": ["BLUE", "RED"],
        "count": 1,
        "boxes": [{"size": "2", "label": "L"}, {"size": "3", "label": None}],
        "note": None,
        "strictNote": "s",
        "tags": [],
        "weight": "1.50",
        "shade": "BLUE",
        "double": "2.0",
    }
    assert (await client.data(asking(everything)))["thing"] == expected
    with_code = await client.data(asking(f"{everything} year room"))
    assert with_code["thing"] == expected | {"year": 2026, "room": "5"}


async def test_an_enum_is_stored_by_value_and_shown_by_name(client: Client, store: MemoryStore) -> None:
    await write(store, GOOD)
    assert (await client.data(asking("kind kinds")))["thing"] == {"kind": "LARGE", "kinds": None}


@pytest.mark.parametrize(
    ("field", "stored", "selection"),
    [
        (b'"name":"N"', b'"name":7', "name"),
        (b'"name":"N"', b'"name":null', "name"),
        (b'"name":"N"', b'"other":"N"', "name"),
        (b'"name":"N"', b'"name":"\xff"', "name"),
        (b'"price":"1.0"', b'"price":1.0', "price"),
        (b'"colour":"RED"', b'"colour":"red"', "colour"),
        (b'["BLUE","RED"]', b'["BLUE",null]', "colours"),
        (b'"count":1', b'"count":1.0', "count"),
        (b'"count":1', b'"count":2147483648', "count"),
        (b'"count":1', b'"count":true', "count"),
        (b'{"size":"3"}', b"null", "boxes { label }"),
        (b'{"size":"3"}', b'"3"', "boxes { label }"),
        (b'"note":null', b'"note":[]', "note"),
        (b',"note":null', b"", "note"),
    ],
)
async def test_a_field_that_does_not_fit_fails_alone(
    client: Client, store: MemoryStore, field: bytes, stored: bytes, selection: str
) -> None:
    assert field in GOOD
    await write(store, GOOD.replace(field, stored))
    name = selection.partition(" ")[0]
    rest = {"name", "price", "colour", "count", "note"} - {name}
    answer = await client.ask(asking(f"id {' '.join(rest)} {selection}"))
    [error] = answer["errors"]
    assert error["extensions"]["code"] == "UNREADABLE_DOCUMENT"
    assert error["path"] == ["thing", name]
    assert error["message"] == f"{name} of Thing:t-1 is stored in another shape than it is declared"
    shown = await client.data(asking(f"id {' '.join(rest)}"))
    assert shown["thing"]["id"] == "Thing:t-1"


async def test_a_part_that_does_not_fit_fails_at_its_field(client: Client, store: MemoryStore) -> None:
    await write(store, GOOD.replace(b'{"size":"3"}', b'{"label":7}'))
    assert (await client.data(asking("boxes { __typename }")))["thing"]["boxes"] == [{"__typename": "ThingBox"}] * 2
    told = "is stored in another shape than it is declared"
    assert await failed(client, "boxes { size }") == [
        (["boxes", 1, "size"], "UNREADABLE_DOCUMENT", f"size of Thing:t-1 {told}")
    ]
    answer = await client.ask(asking("boxes { label }"))
    assert answer["data"]["thing"] == {"boxes": [{"label": "L"}, {"label": None}]}
    assert [error["path"] for error in answer["errors"]] == [["thing", "boxes", 1, "label"]]


async def test_a_null_is_shown_where_the_graph_allows_it(client: Client, store: MemoryStore) -> None:
    await write(store, GOOD.replace(b'"strictNote":"s"', b'"strictNote":null'))
    assert (await client.data(asking("strictNote")))["thing"] == {"strictNote": None}


async def test_text_is_not_looked_into_but_by_code(client: Client, store: MemoryStore) -> None:
    await write(store, GOOD.replace(b'"1.0"', b'"much"').replace(b"2026-01-01", b"long ago "))
    shown = await client.data(asking("price madeAt room"))
    assert shown["thing"] == {"price": "much", "madeAt": "long ago T00:00:00Z", "room": "5"}
    for name in ("double", "year"):
        [(path, code, _)] = await failed(client, f"name {name}")
        assert (path, code) == ([name], "UNREADABLE_DOCUMENT")


@pytest.mark.parametrize("view", [b"{", b"[]", b"null", b'"x"', b"\xff", GOOD[:-1], GOOD + b"}"])
async def test_what_is_no_object_fails_where_it_would_stand(client: Client, store: MemoryStore, view: bytes) -> None:
    await write(store, view)
    told = "Thing:t-1 is stored in another shape than it is declared"
    assert await failed(client, "id") == [([], "UNREADABLE_DOCUMENT", told)]
    answer = await client.ask('{ nodes(ids: ["Thing:t-1", "Thing:t-2"]) { id } }')
    assert answer["data"] == {"nodes": [None, None]}
    assert [error["path"] for error in answer["errors"]] == [["nodes", 0]]


def test_a_row_as_code_sees_it() -> None:
    served = read_models(COMPOSED.graph, 1).projections["things"]
    row = served.row("t-1", Document(0, 3, 0, GOOD))
    assert row is not None
    assert (row.id, row.key, row.version, row.colour) == ("Thing:t-1", "t-1", 3, Colour.RED)
    assert row.boxes == [Box(size=Decimal(2), label="L"), Box(size=Decimal(3))]
    assert row.weight == Decimal("1.50")
    assert not hasattr(row, "unheard_of")
    assert StoredRow.is_of(row, "Thing")
    assert not StoredRow.is_of(row, "Other")
    assert attribute(row, "version") == 3
    broken = served.row("t-1", Document(0, 3, 0, b"{"))
    assert broken is not None
    assert isinstance(readable(broken), UnreadableDocumentError)
    with pytest.raises(UnreadableDocumentError):
        _ = broken.name
    assert served.row("t-1", Document(0, 3, 0, None)) is None
