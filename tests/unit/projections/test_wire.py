"""The wire form of numbers and times: whole numbers of 32 bits, decimals without exponents, times in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from projections import Event, Part, Projection, View
from projections.checks import check_of
from projections.decode import Decoder
from projections.errors import WireError
from projections.project import Projector
from projections.record import Poison
from projections.wire import _SCALARS, Codec
from tests.unit.projections.samples import CartState, record


class Line(Part):
    quantity: int


class Counted(Event):
    count: int
    doubled: bool = False
    lines: tuple[Line, ...] = ()
    numbers: tuple[int | None, ...] = ()


class CountView(View):
    count: int | None


def evolve(view: CountView | None, event: Counted) -> CountView | None:
    return CountView(count=event.count * 2 if event.doubled else event.count)


counts = Projection(name="counts", version=1, topics=["t"], aggregate="cart", evolve=evolve)


@pytest.mark.parametrize("number", [0, -(2**31), 2**31 - 1])
def test_32_bits_signed(number: int) -> None:
    data = {"count": number, "lines": [{"quantity": number}], "numbers": [number, None]}
    found = Decoder(counts).decode(record(kind="Counted", data=data))
    [change] = Projector(counts).project([found], {"c-1": None}, {}, 0).changes
    assert change.document.view == b'{"count":%d}' % number


@pytest.mark.parametrize("number", [-(2**31) - 1, 2**31, 2**63, 10**30])
@pytest.mark.parametrize("place", ["count", "lines", "numbers"])
def test_an_event_with_more_is_poison(number: int, place: str) -> None:
    value = {"count": number, "lines": [{"quantity": 1}, {"quantity": number}], "numbers": [None, number]}[place]
    found = Decoder(counts).decode(record(kind="Counted", data={"count": 1, place: value}))
    assert isinstance(found, Poison)
    assert found.cause in ("wire", "body")
    assert number > 2**64 or found.cause == "wire"


def test_a_view_with_more_is_poison() -> None:
    event = Decoder(counts).decode(record(kind="Counted", data={"count": 2**30, "doubled": True}))
    [poison] = Projector(counts).project([event], {"c-1": None}, {}, 0).parked
    assert poison.cause == "evolve"
    assert "32 bits" in poison.detail
    with pytest.raises(WireError):
        Codec(CountView).decode(b'{"count":2147483648}')


def test_a_struct_without_numbers_pays_nothing() -> None:
    assert check_of(CartState, _SCALARS) is None


class Stay(Part):
    nights: int
    since: datetime | None = None


class Booked(Event):
    at: datetime
    price: Decimal
    stays: tuple[Stay, ...]
    days: tuple[datetime | None, ...] = ()
    ratio: float | None = None


class BookedView(View):
    at: datetime
    price: Decimal
    stays: tuple[Stay, ...]
    days: tuple[datetime | None, ...] = ()
    ratio: float | None = None


EAST = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=3)))
WEST = datetime(2026, 1, 1, 9, tzinfo=UTC)


def booked(**more: Any) -> BookedView:
    fields: dict[str, Any] = {"at": WEST, "price": Decimal("1.50"), "stays": (Stay(nights=1),)}
    return BookedView(**(fields | more))


def test_every_field_comes_into_its_form_also_inside_parts_and_lists() -> None:
    view = booked(
        at=EAST, price=Decimal("1E+3"), stays=(Stay(nights=1), Stay(nights=2, since=EAST)), days=(None, EAST, WEST)
    )
    normal = booked(price=Decimal(1000), stays=(Stay(nights=1), Stay(nights=2, since=WEST)), days=(None, WEST, WEST))
    codec = Codec(BookedView)
    assert codec.encode(view) == msgspec.json.encode(normal)
    found = codec.decode(codec.encode(view))
    assert (found, found.days[1].tzinfo, str(found.price)) == (normal, UTC, "1000")  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "odd",
    [
        {"at": datetime(2026, 1, 1)},
        {"price": Decimal("NaN")},
        {"price": Decimal("-Infinity")},
        {"price": Decimal("1E+24")},
        {"price": Decimal("1E-19")},
        {"stays": (Stay(nights=1), Stay(nights=2**31))},
        {"days": (WEST, datetime(2026, 1, 1))},
        {"ratio": float("nan")},
        {"ratio": float("inf")},
    ],
)
def test_what_has_no_form_is_refused_wherever_it_is(odd: dict[str, Any]) -> None:
    with pytest.raises(WireError):
        Codec(BookedView).encode(booked(**odd))
    codec = Codec(BookedView)
    event = Booked(at=WEST, price=Decimal(1), stays=())
    for old in (None, booked()):
        with pytest.raises(WireError):
            codec.encode_next(booked(**odd), old, event)


def test_the_very_field_of_the_old_view_or_the_event_is_not_looked_at_and_an_equal_one_is() -> None:
    codec, equal = Codec(BookedView), EAST.replace()
    event, old = Booked(at=EAST, price=Decimal(1), stays=()), booked(at=EAST)
    assert b'"at":"2026-01-01T12:00:00+03:00"' in codec.encode_next(booked(at=EAST), None, event)
    assert b'"at":"2026-01-01T12:00:00+03:00"' in codec.encode_next(booked(at=EAST), old, booked_event(at=WEST))
    assert b'"at":"2026-01-01T09:00:00Z"' in codec.encode_next(booked(at=equal), old, event)
    assert b'"at":"2026-01-01T09:00:00Z"' in codec.encode_next(booked(at=EAST.replace()), None, event)


def booked_event(**more: Any) -> Booked:
    fields: dict[str, Any] = {"at": WEST, "price": Decimal(1), "stays": ()}
    return Booked(**(fields | more))
