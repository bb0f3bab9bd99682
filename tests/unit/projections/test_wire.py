"""The wire form of whole numbers: a GraphQL Int is 32 bits, so nothing larger is taken or stored."""

from __future__ import annotations

import pytest

from projections import Event, Part, Projection, View
from projections.decode import Decoder
from projections.errors import WireError
from projections.project import Projector
from projections.record import Poison
from projections.wire import Codec, _struct_check
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
    assert _struct_check(CartState) is None
