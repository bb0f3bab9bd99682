"""Timelines: what becomes an entry, what is kept out, and what is set aside."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from projections import Entry, Event, Timeline
from projections.contexts.activity import activity
from projections.errors import DefinitionError
from projections.happenings import MAX_WORDS
from projections.record import Foreign, Heartbeat, Moment, Poison, Record
from projections.runtime import runtime_of
from projections.store.keys import member
from tests.unit.projections.samples import record

AT = datetime(2024, 5, 1, 12, tzinfo=UTC)
TIME = "2024-05-01T14:00:00+02:00"


class Opened(Event):
    owner: str | None = None


class Closed(Event):
    event_type = "shop.carts.Closed"
    owner: str


def entry(event: Opened | Closed, id: str) -> Entry | None:
    if event.owner == "nobody":
        raise LookupError(event.owner)
    return None if event.owner is None else Entry(key=event.owner, what=f"{type(event).__name__} {id}")


carts = Timeline(name="carts_activity", version=1, topics=["shop.carts"], entry=entry, bound=3)
runtime = runtime_of(carts)


def happened(owner: str | None = "ann", *, kind: str = "shop.carts.Opened", time: str = TIME, **more: Any) -> Record:
    data = more.pop("data", {"owner": owner})
    return record(kind=kind, data=data, time=time, **more)


def changed(source: Record, **headers: bytes | None) -> Record:
    kept = {**dict(source.headers), **headers}
    return msgspec.structs.replace(
        source, headers=tuple((name, value) for name, value in kept.items() if value != b"-")
    )


def test_an_entry_says_what_when_by_which_event_and_where_from() -> None:
    source = changed(happened(offset=2**40, version=7), ce_correlationid=b"cmd-1")
    found = runtime.decode(source)
    assert isinstance(found, Moment)
    assert (found.key, found.event_id, found.time_ms) == ("ann", "/carts c-1-7", 1_714_564_800_000)
    assert found.member == member(AT, "/carts c-1-7")
    assert json.loads(found.entry) == {
        "what": "Opened c-1",
        "at": "2024-05-01T12:00:00Z",
        "type": "shop.carts.Opened",
        "subject": "cart/c-1",
        "eventId": "c-1-7",
        "correlationId": "cmd-1",
        "topic": "shop.carts",
        "partition": 0,
        "offset": str(2**40),
    }


def test_no_version_is_needed() -> None:
    assert isinstance(runtime.decode(changed(happened(), ce_aggregateversion=b"-")), Moment)


def test_ids_are_unique_within_their_source() -> None:
    first, other = runtime.decode(happened()), runtime.decode(changed(happened(), ce_source=b"/other"))
    alone = runtime.decode(changed(happened(), ce_source=b"-"))
    assert isinstance(alone, Moment)
    assert alone.event_id == "c-1-1"
    assert first.event_id != other.event_id  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "source",
    [
        happened(None),
        happened(data={}),
        happened(data=None),
        happened(kind="shop.carts.Renamed", data=b"anything"),
        happened(kind="other.Closed", data=b"{"),
    ],
)
def test_what_is_not_in_it(source: Record) -> None:
    assert runtime.decode(source) == Foreign(source)


def test_a_heartbeat() -> None:
    beat = Record("t", 0, 0, None, None, (("ce_type", b"headrace.heartbeat"), ("ce_time", TIME.encode())), 0)
    assert runtime.decode(beat) == Heartbeat(1_714_564_800_000, beat)


BROKEN: list[tuple[str, Record]] = [
    ("headers", changed(happened(), ce_type=b"-")),
    ("headers", changed(happened(), ce_id=b"-")),
    ("headers", changed(happened(), ce_id=b"a\0b")),
    ("headers", changed(happened(), ce_id=b"x" * 256)),
    ("headers", changed(happened(), ce_source=b"a\nb")),
    ("headers", changed(happened(), ce_time=b"-")),
    ("headers", happened(time="yesterday")),
    ("headers", happened(time="2024-05-01T12:00:00")),
    ("headers", changed(happened(), ce_tenant=None)),
    ("subject", changed(happened(), ce_subject=b"cart")),
    ("subject", changed(happened(), ce_subject=b"cart/c-2")),
    ("body", happened(data=b"{")),
    ("body", happened(data={"owner": 1})),
    ("evolve", happened("nobody")),
    ("evolve", happened("a\0b")),
    ("evolve", happened("")),
    ("evolve", happened("x" * 256)),
    ("unreadable", msgspec.structs.replace(happened(), fault="torn")),
]


@pytest.mark.parametrize(("cause", "source"), BROKEN)
def test_what_cannot_be_used_is_set_aside_and_parks_nobody(cause: str, source: Record) -> None:
    found = runtime.decode(source)
    assert isinstance(found, Poison)
    assert (found.cause, found.id, found.record) == (cause, None, source)
    result = runtime.project([found], {}, {})
    assert (result.set_aside, result.changes, result.appends) == ([found], [], [])


@pytest.mark.parametrize(
    ("key", "what", "fits"),
    [
        ("k", "w" * MAX_WORDS, True),
        ("k", "w" * (MAX_WORDS + 1), False),
        ("", "w", False),
        ("k", 7, False),
        (7, "w", False),
    ],
)
def test_an_entry_is_bounded_and_of_texts(key: Any, what: Any, fits: bool) -> None:
    def told(event: Opened | Closed, id: str) -> Entry | None:
        return Entry(key=key, what=what)

    found = runtime_of(replace(carts, entry=told)).decode(happened())
    if fits:
        assert isinstance(found, Moment)
        assert json.loads(found.entry)["what"] == what
    else:
        assert isinstance(found, Poison)
        assert found.cause == "evolve"


def test_a_structured_event_without_data_is_set_aside() -> None:
    value = {"type": "shop.carts.Opened", "subject": "cart/c-1", "id": "e-1", "time": TIME}
    headers = (("content-type", b"application/cloudevents+json"),)
    found = runtime.decode(Record("t", 0, 0, b"c-1", json.dumps(value).encode(), headers, 1))
    assert isinstance(found, Poison)
    assert found.cause == "body"


def test_a_batch_becomes_appends_each_event_once() -> None:
    outcomes = [runtime.decode(happened(version=n, offset=n)) for n in (1, 2, 1)]
    outcomes.append(runtime.decode(happened("bob", id="c-2", kind="shop.carts.Closed", offset=9)))
    result = runtime.project(outcomes, {}, {})
    assert [(item.key, item.event_id) for item in result.appends] == [
        ("ann", "/carts c-1-1"),
        ("ann", "/carts c-1-2"),
        ("bob", "/carts c-2-1"),
    ]
    assert (result.duplicates, result.changes, runtime.ids_to_read(outcomes), runtime.timeline_bound) == (1, [], [], 3)


@pytest.mark.parametrize(
    ("subject", "kind", "data", "key", "what"),
    [
        (
            "customer/c-1",
            "shop.customers.CustomerState",
            {"name": "Ann", "email": None},
            "c-1",
            "Registered, or changed their contact",
        ),
        (
            "order/o-1",
            "shop.orders.OrderPlaced",
            {"customerId": "c-1", "total": "3.50"},
            "c-1",
            "Placed order o-1 for 3.50",
        ),
        ("order/o-1", "shop.orders.OrderCompleted", {"customerId": "c-1"}, "c-1", "Order o-1 was completed"),
        (
            "payment/p-1",
            "shop.payments.PaymentRefunded",
            {"amount": "1.00", "customerId": "c-1"},
            "c-1",
            "Payment p-1: 1.00 was refunded",
        ),
        (
            "shipment/s-1",
            "shop.shipments.ShipmentDelivered",
            {"customerId": "c-1"},
            "c-1",
            "Shipment s-1 was delivered",
        ),
        ("order/o-1", "shop.orders.OrderConfirmed", {}, None, ""),
        ("product/p-1", "shop.products.ProductState", {}, None, ""),
    ],
)
def test_the_shop_s_activity(subject: str, kind: str, data: dict[str, Any], key: str | None, what: str) -> None:
    aggregate, _, id = subject.partition("/")
    found = runtime_of(activity).decode(record(id=id, kind=kind, data=data, aggregate=aggregate))
    if key is None:
        assert isinstance(found, Foreign)
        return
    assert isinstance(found, Moment)
    assert (found.key, json.loads(found.entry)["what"]) == (key, what)


def numbered(event: Opened | Closed, id: int) -> Entry | None:
    raise AssertionError


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": 7}, "name is 7, an int"),
        ({"version": "1"}, "version is '1', a str"),
        ({"bound": "5"}, "bound is '5', a str"),
        ({"bound": True}, "bound is True, a bool"),
        ({"entry": numbered}, "'id' of numbered is not a str"),
    ],
)
def test_arguments_of_other_types_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(DefinitionError, match=words) as caught:
        replace(carts, **changes)
    assert "Timeline" in caught.value.where
    assert caught.value.mend
