"""Event types that are no longer published, and state topics whose records are ordered by an attribute of their own."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec
import pytest

from projections import Event
from projections.decode import Decoder
from projections.errors import DefinitionError
from projections.record import Decoded, Poison, Record
from tests.unit.projections.samples import CartState, Opened, cart_states, carts, record


class OpenedV1(Event):
    event_type = "shop.carts.OpenedV1"
    first: str
    last: str
    at: str


class OpenedV0(Event):
    event_type = "shop.carts.OpenedV0"
    name: str


def from_v0(event: OpenedV0) -> OpenedV1:
    first, _, last = event.name.partition(" ")
    return OpenedV1(first=first, last=last, at="2024-05-01T12:00:00Z")


def from_v1(event: OpenedV1) -> Opened:
    if not event.last:
        raise ValueError("half a name")
    return Opened(owner=f"{event.first} {event.last}", at=datetime.fromisoformat(event.at), items=[])


upcast_carts = replace(carts, upcasts=[from_v0, from_v1])
decode = Decoder(upcast_carts).decode


def test_an_old_type_becomes_an_event_of_today() -> None:
    data = {"first": "Ann", "last": "Lee", "at": "2024-05-01T12:00:00Z", "unknown": 1}
    found = decode(record(kind="shop.carts.OpenedV1", data=data))
    assert isinstance(found, Decoded)
    assert isinstance(found.event, Opened)
    assert found.event.owner == "Ann Lee"


def test_upcasts_are_chained() -> None:
    found = decode(record(kind="shop.carts.OpenedV0", data={"name": "Ann Lee"}))
    assert isinstance(found, Decoded)
    assert isinstance(found.event, Opened)
    assert found.event.owner == "Ann Lee"


@pytest.mark.parametrize("data", [{"name": "Ann"}, {}, b"{"])
def test_an_upcast_that_fails_parks_at_its_version(data: object) -> None:
    found = decode(record(kind="shop.carts.OpenedV0", version=3, data=data))
    assert isinstance(found, Poison)
    assert (found.cause, found.id, found.version) == ("body", "c-1", 3)


def test_what_an_upcast_returns_is_checked_like_what_is_published() -> None:
    data = {"first": "Ann", "last": "Lee", "at": "2024-05-01T12:00:00"}
    found = decode(record(kind="shop.carts.OpenedV1", data=data))
    assert isinstance(found, Poison)
    assert (found.cause, found.id) == ("wire", "c-1")


def test_today_s_types_are_read_as_ever() -> None:
    assert isinstance(decode(record()), Decoded)


def liar(event: OpenedV1) -> Opened:
    return event  # type: ignore[return-value]


def test_an_upcast_that_returns_something_else_is_found_out() -> None:
    found = Decoder(replace(carts, upcasts=[liar])).decode(
        record(kind="shop.carts.OpenedV1", data={"first": "a", "last": "b", "at": "c"})
    )
    assert isinstance(found, Poison)
    assert "liar returned OpenedV1" in found.detail


class Loop(Event):
    pass


class Back(Event):
    pass


def unannotated(event):  # type: ignore[no-untyped-def]
    return event


def to_loop(event: Back) -> Loop:
    return Loop()


def to_back(event: Loop) -> Back:
    return Back()


def from_today(event: Opened) -> OpenedV1:
    return OpenedV1(first="", last="", at="")


def from_text(event: str) -> Opened:
    raise AssertionError


def also_from_v1(event: OpenedV1) -> Opened:
    raise AssertionError


async def later(event: OpenedV1) -> Opened:
    raise AssertionError


@pytest.mark.parametrize(
    ("upcasts", "words"),
    [
        ([from_v0], "ends in OpenedV1"),
        ([to_loop, to_back], "circle"),
        ([unannotated], "not annotated"),
        ([from_today], "not an old type"),
        ([from_text], "from an Event to an Event"),
        ([from_v1, also_from_v1], "two upcasts of type"),
        ([later], "not a plain function"),
        (["from_v1"], "not a plain function"),
    ],
)
def test_upcasts_that_do_not_fit_are_refused(upcasts: Any, words: str) -> None:
    with pytest.raises(DefinitionError, match=words):
        replace(carts, upcasts=upcasts)


ordered = replace(cart_states, version_of="lsn")
timed = replace(cart_states, version_of="time")


def at(value: str | None, projection: Any = ordered) -> Any:
    source = record(version="nonsense", kind="CartState", data={"owner": "ann"}, epoch="nonsense")
    name = f"ce_{projection.version_of}"
    headers = tuple((key, item) for key, item in source.headers if key != name)
    if value is not None:
        headers = (*headers, (name, value.encode()))
    return Decoder(projection).decode(msgspec.structs.replace(source, headers=headers))


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ("1", (0, 1)),
        (str(2**31 - 1), (0, 2**31 - 1)),
        (str(2**31), (1, 0)),
        (str(2**62 - 1), (2**31 - 1, 2**31 - 1)),
        ("123456789012345", divmod(123456789012345, 2**31)),
    ],
)
def test_a_number_orders(value: str, place: tuple[int, int]) -> None:
    found = at(value)
    assert isinstance(found, Decoded)
    assert (found.epoch, found.version, found.event) == (*place, CartState(owner="ann"))


def test_a_time_orders_to_the_microsecond() -> None:
    first, second = at("2024-05-01T12:00:00.000001Z", timed), at("2024-05-01T14:00:00.000002+02:00", timed)
    assert (first.epoch, first.version) < (second.epoch, second.version)
    assert second.epoch * 2**31 + second.version == 1_714_564_800_000_002
    assert first.time_ms == 1_714_564_800_000


@pytest.mark.parametrize(
    "value", [None, "", "0", "-1", "1.0", "00", str(2**62), "9" * 30, "yesterday", "2024-05-01T12:00:00"]
)
def test_what_does_not_order_is_loose(value: str | None) -> None:
    for found in (at(value), at("1969-12-31T23:59:59Z", timed)):
        assert isinstance(found, Poison)
        assert (found.cause, found.id) == ("version", None)


@pytest.mark.parametrize(
    ("definition", "changes", "words"),
    [
        (carts, {"version_of": "lsn"}, "fold"),
        (cart_states, {"version_of": "ce_lsn"}, "no attribute"),
        (cart_states, {"version_of": ""}, "no attribute"),
    ],
)
def test_an_order_that_does_not_fit_is_refused(definition: Any, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(DefinitionError, match=words):
        replace(definition, **changes)


def structured(attributes: dict[str, Any], data: object) -> Record:
    value = msgspec.json.encode({**attributes, "data": data})
    return Record("t", 0, 0, b"c-1", value, (("Content-Type", b"Application/CloudEvents+JSON"),), 1)


def test_an_extension_orders_in_structured_mode_too() -> None:
    attributes = {"type": "CartState", "subject": "cart/c-1", "lsn": 2**40}
    found = Decoder(ordered).decode(structured(attributes, {"owner": "ann"}))
    assert isinstance(found, Decoded)
    assert found.epoch * 2**31 + found.version == 2**40
