"""Decimals in the wire form: never with an exponent, of no other type than Decimal, and everything around them as ever."""

from __future__ import annotations

import dataclasses
from datetime import date, datetime
from decimal import Decimal
from enum import Enum

import msgspec
import pytest

from projections import Event, Index, Measure, Part, Projection, View, replace
from projections.decode import Decoder
from projections.entries import Entries
from projections.errors import WireError
from projections.project import Projector
from projections.store.document import Document
from projections.store.keys import sort_value
from projections.wire import Codec, encode_plain
from schema.scalars import write_decimal
from tests.unit.projections.samples import record
from tests.unit.projections.test_wire import EAST, WEST, Booked, BookedView, booked, booked_event


class Size(Enum):
    LARGE = "L"


class Fee(Part):
    name: str
    rate: Decimal | None = Decimal("2E-7")


class RatedView(View):
    rate: Decimal
    text: str = ""
    fee: Fee | None = None
    fees: tuple[Fee, ...] = ()
    rates: tuple[Decimal | None, ...] = ()
    least: Decimal = Decimal("1E-18")
    at: datetime | None = None
    day: date | None = None
    size: Size | None = None
    ratio: float | None = None


PLAIN = [
    ("1E-7", "0.0000001"),
    ("-1.50E-7", "-0.000000150"),
    ("9.99E-18", "0.00000000000000000999"),
    ("1E+3", "1000"),
    ("-1.5E+23", "-150000000000000000000000"),
    ("0E-7", "0.0000000"),
    ("-0E-18", "-0.000000000000000000"),
    ("0E-19", "0"),
    ("0E+3", "0"),
    ("0E-99999999999", "0"),
    ("0E+99999999999", "0"),
    ("0.000001", "0.000001"),
    ("12.30", "12.30"),
]


@pytest.mark.parametrize(("given", "shown"), PLAIN)
def test_a_decimal_is_stored_without_an_exponent_wherever_it_is(given: str, shown: str) -> None:
    value, codec = Decimal(given), Codec(RatedView)
    fees = (Fee(name="g"), Fee(name="h", rate=value))
    view = RatedView(rate=value, fee=fees[1], fees=fees, rates=(None, value), least=value)
    stored = msgspec.json.decode(codec.encode(view))
    assert (stored["rate"], stored["fee"]["rate"], stored["least"]) == (shown, shown, shown)
    assert (stored["rates"], [fee["rate"] for fee in stored["fees"]]) == ([None, shown], ["0.0000002", shown])
    assert codec.encode(codec.decode(codec.encode(view))) == codec.encode(view)


def test_a_small_decimal_of_the_stored_view_or_the_event_is_written_as_it_was() -> None:
    codec = Codec(BookedView)
    event = Codec(Booked).decode(b'{"at":"2026-01-01T09:00:00Z","price":1e-7,"stays":[]}')
    first = codec.encode_next(booked(price=event.price), None, event)
    assert b'"price":"0.0000001"' in first
    old = codec.decode_stored(first)
    assert b'"price":"0.0000001"' in codec.encode_next(replace(old, days=(WEST,)), old, booked_event())


SMALL = b'{"at":"2026-01-01T09:00:00Z","price":"-4.0E-7","stays":[]}'


@pytest.mark.parametrize(
    "data", [SMALL, SMALL.replace(b'"-4.0E-7"', b"-4.0e-7"), SMALL.replace(b"-4.0E-7", b"-0.00000040")]
)
@pytest.mark.parametrize("is_stored", [False, True])
def test_an_author_meets_a_decimal_of_no_other_type(data: bytes, is_stored: bool) -> None:
    codec = Codec(Booked)
    event = codec.decode_stored(data) if is_stored else codec.decode(data)
    assert (type(event.price), event.price) == (Decimal, Decimal("-4.0E-7"))
    view = msgspec.convert(event, BookedView, from_attributes=True)
    assert view == BookedView(at=WEST, price=Decimal("-4.0E-7"), stays=())
    assert encode_plain(event) == Codec(BookedView).encode(view) == codec.encode(event)
    assert msgspec.json.decode(msgspec.json.encode(event), type=Booked) == event
    assert msgspec.to_builtins(event)["price"] == "-4.0E-7"


@pytest.mark.parametrize(("given", "shown"), PLAIN)
def test_what_was_stored_with_an_exponent_becomes_plain_when_it_is_carried_over(given: str, shown: str) -> None:
    codec = Codec(RatedView)
    data = (
        b'{"rate":"1","text":"1E-7","fee":{"name":"f","rate":"X"},"fees":[{"name":"g","rate":"X"}],"rates":[null,"X"]}'
    )
    old = codec.decode_stored(data.replace(b"X", given.encode()))
    found = codec.encode_next(replace(old, rate=Decimal(2)), old, booked_event())
    stored = msgspec.json.decode(found)
    assert (stored["fee"]["rate"], stored["fees"][0]["rate"], stored["rates"]) == (shown, shown, [None, shown])
    assert (stored["rate"], stored["text"], stored["least"]) == ("2", "1E-7", "0.000000000000000001")
    event = booked_event(price=Decimal(given))
    first = Codec(BookedView).encode_next(booked(price=event.price), None, event)
    assert msgspec.json.decode(first)["price"] == shown


def test_what_was_stored_out_of_bounds_is_refused_when_it_would_have_to_be_written_anew() -> None:
    codec = Codec(BookedView)
    old = codec.decode_stored(b'{"at":"2026-01-01T09:00:00Z","price":"1E+99999999999","stays":[]}')
    with pytest.raises(WireError):
        codec.encode_next(replace(old, days=(WEST,)), old, booked_event())


class Deep(Part, omit_defaults=True):
    unit_price: Decimal = Decimal("2E-7")
    sizes: list[Size | None] = msgspec.field(default_factory=list[Size | None])
    named: str | None = msgspec.field(default=None, name="Called")


class SparseView(View, omit_defaults=True, tag="sparse"):
    z_last: int
    a_first: Decimal
    least: Decimal = Decimal("1E-18")
    is_open: bool = True
    parts: tuple[Deep | None, ...] = ()
    deep: Deep | None = None
    texts: list[str] = msgspec.field(default_factory=list[str])
    at: datetime | None = None
    days: tuple[date, ...] = ()
    ratio: float = 0.5


SPARSE = SparseView(z_last=1, a_first=Decimal("12.30"))
FULL = SparseView(
    z_last=-(2**31),
    a_first=Decimal("12.30"),
    least=Decimal("-1.0"),
    is_open=False,
    parts=(None, Deep(), Deep(unit_price=Decimal(-3), sizes=[Size.LARGE, None], named='"1E-7"\u2028\x00é')),
    deep=Deep(named="d"),
    texts=["", "1E-7", "\\1E+7"],
    at=EAST.replace(microsecond=1200),
    days=(date(1, 1, 1),),
    ratio=1e-17,
)


@pytest.mark.parametrize("view", [SPARSE, FULL])
def test_nothing_else_is_written_otherwise_because_of_an_exponent(view: SparseView) -> None:
    codec, event = Codec(SparseView), booked_event()
    small = replace(view, a_first=Decimal("1E-7"))
    plainly = msgspec.json.encode(view)
    found = codec.encode_next(replace(small), small, event)
    assert found.replace(b'"0.0000001"', b'"12.30"', 1) == plainly
    assert b"0.0000002" not in found, "the default of a part, which is left out"
    assert codec.encode(small).replace(b'"0.0000001"', b'"12.30"', 1) == codec.encode(view)


@pytest.mark.parametrize("text", ["1E-7", "SALE-17", '"1E-7"', "1E+3", "E-1"])
def test_a_text_that_looks_like_a_decimal_stays_as_it_is(text: str) -> None:
    codec = Codec(RatedView)
    for rate in (Decimal("1E-7"), Decimal("12.30")):
        view = RatedView(rate=rate, text=text, at=WEST, day=date(2026, 1, 31), size=Size.LARGE, ratio=1e-7)
        found = codec.encode(view)
        assert codec.decode(found) == view
        assert found.replace(b"0.0000001", b"12.30") == codec.encode(replace(view, rate=Decimal("12.30")))


class Priced(Event):
    shop: str
    price: Decimal


class PriceView(View):
    shop: str
    price: Decimal


def take(view: PriceView | None, event: Priced) -> PriceView | None:
    return PriceView(shop=event.shop, price=event.price)


prices = Projection(
    name="prices",
    version=1,
    topics=["t"],
    aggregate="cart",
    evolve=take,
    indexes=[Index[PriceView]("by_price", sort="price")],
    measures=[
        Measure[PriceView]("lowest", "least", by="shop", of="price"),
        Measure[PriceView]("sum", "total", by="shop", of="price", places=6),
    ],
)


@pytest.mark.parametrize(("given", "shown"), [("4E-7", "0.0000004"), ("4.0E-12", "0.0000000000040"), ("2E+3", "2000")])
def test_the_way_of_a_decimal_through_projector_index_and_extreme(given: str, shown: str) -> None:
    only_listed = dataclasses.replace(prices, measures=prices.measures[:1])
    found = Decoder(only_listed).decode(record(kind="Priced", data={"shop": "s", "price": given}))
    result = Projector(only_listed).project([found], {"c-1": None}, {}, 0)
    assert [change.document.view for change in result.changes] == [b'{"shop":"s","price":"%b"}' % shown.encode()]
    members = [member for listed in result.added.values() for member in listed]
    values = [sort_value(Decimal, member.partition(b"\0")[0]) for member in members]
    assert [write_decimal(value) for value in values] == [write_decimal(Decimal(given).normalize())] * 2


def take_converted(view: PriceView | None, event: Priced) -> PriceView | None:
    return msgspec.convert(event, PriceView, from_attributes=True)


@pytest.mark.parametrize("given", ["0.0000001", "1E-7", 1e-7])
def test_an_evolve_that_converts_what_it_is_given_stores_a_small_decimal(given: object) -> None:
    converted = dataclasses.replace(prices, evolve=take_converted, measures=prices.measures[:1])
    projector, decoder = Projector(converted), Decoder(converted)
    records = [record(version=n, kind="Priced", data={"shop": "s", "price": given}) for n in (1, 2)]
    documents: dict[str, Document | None] = {"c-1": None}
    for found in records:
        result = projector.project([decoder.decode(found)], documents, {}, 0)
        assert result.parked == []
        [change] = result.changes
        assert change.document.view == b'{"shop":"s","price":"0.0000001"}'
        documents = {"c-1": change.document}


def test_a_total_adds_up_what_has_an_exponent() -> None:
    view = PriceView(shop="s", price=Decimal("2E+3"))
    assert list(Entries(prices).numbers(view).values()) == [2000 * 10**6]


@pytest.mark.parametrize(("given", "shown"), [("1E-7", "0.0000001"), ("1E+3", "1000"), ("12.30", "12.30")])
def test_what_has_no_codec_is_written_in_the_same_way(given: str, shown: str) -> None:
    number, text = Decimal(given), given
    assert encode_plain(number) == b'"%b"' % shown.encode()
    view = RatedView(rate=number, text=text, fees=(Fee(name="f", rate=number),), least=number, at=WEST, size=Size.LARGE)
    assert encode_plain(view) == Codec(RatedView).encode(view)
    assert msgspec.json.decode(encode_plain({"a": [number, None], "b": text})) == {"a": [shown, None], "b": text}


def test_what_has_no_codec_and_no_bounds_is_refused() -> None:
    assert encode_plain([Decimal("0E-99999999999")]) == b'["0"]'
    for odd in ("NaN", "1E+99999999999"):
        with pytest.raises(WireError):
            encode_plain([Decimal(odd)])


def test_what_is_no_field_of_a_view_is_refused() -> None:
    with pytest.raises(TypeError):
        Codec(RatedView).encode(RatedView(rate=Decimal(1), text=object()))  # type: ignore[arg-type]
