"""The records that a projector is fed with: CloudEvents in binary mode, with the headers that the shop's relay writes.

Invariants: the same numbers give the same records; bodies differ from each other; versions of an aggregate go up by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

EVENT_BYTES: Final = 400
CUSTOMERS: Final = 1000
LINES: Final = 4
"""Of an order of the shop: as many as TPC-H's have on average."""


class Entry(NamedTuple):
    """A record before it has a place in the log."""

    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


def ids(count: int, *, first: int = 0) -> list[str]:
    """So many ids of aggregates, from a number on."""
    return [f"o-{number:08d}" for number in range(first, first + count)]


def stored_events(aggregates: Iterable[str], version: int, size: int = EVENT_BYTES) -> Iterator[Entry]:
    """An event of `stored.Stored` for each aggregate, `size` bytes of JSON."""
    for number, id in enumerate(aggregates):
        yield stored_event(id, version, number, size)


def stored_event(id: str, version: int, number: int, size: int = EVENT_BYTES) -> Entry:
    """One of them; customer, time and amounts follow from `number`."""
    return _entry("benchmark.Stored", id, version, number, body(id, version, number, size))


def body(id: str, version: int, number: int, size: int = EVENT_BYTES) -> bytes:
    """The data of an event of `stored.Stored`; at least 133 bytes."""
    fields = {
        "customerId": f"c-{number % CUSTOMERS:06d}",
        "status": ("PLACED", "CONFIRMED", "COMPLETED")[version % 3],
        "placedAt": _time(number),
        "total": f"{1000 + number % 9000}.{version % 100:02d}",
        "quantity": 10 + number % 90,
        "note": "",
    }
    bare = msgspec.json.encode(fields)
    text = f"{id} at version {version} " + "abcdefghijklmnopqrstuvwxyz " * (size // 27 + 1)
    fields["note"] = text[: size - len(bare)]
    return msgspec.json.encode(fields)


def runs(aggregates: Sequence[str], each: int) -> Iterator[Entry]:
    """`each` events of every aggregate, one behind the other: versions 1, 2, ... of the first, then of the next."""
    for id in aggregates:
        for version in range(1, each + 1):
            yield from stored_events([id], version)


def order_events(aggregates: Sequence[str]) -> Iterator[Entry]:
    """All are placed, then all are confirmed, then all are completed: three events for each order."""
    for number, id in enumerate(aggregates):
        lines = [
            {
                "number": line,
                "productId": f"p-{(number * 7 + line) % 2000:06d}",
                "quantity": str(1 + line),
                "amount": f"{10 + number % 900}.50",
                "discount": "0.05",
                "tax": "0.08",
            }
            for line in range(1, LINES + 1)
        ]
        placed = {"placedAt": _time(number), "total": f"{40 + number % 3600}.00", "lines": lines}
        yield _order("OrderPlaced", id, 1, number, **placed)
    for number, id in enumerate(aggregates):
        yield _order("OrderConfirmed", id, 2, number, confirmedAt=_time(number))
    for number, id in enumerate(aggregates):
        yield _order("OrderCompleted", id, 3, number, completedAt=_time(number))


def _order(kind: str, id: str, version: int, number: int, **fields: object) -> Entry:
    data = msgspec.json.encode({"customerId": f"c-{number % CUSTOMERS:06d}", **fields})
    return _entry(f"shop.orders.{kind}", id, version, number, data)


def _entry(kind: str, id: str, version: int, number: int, data: bytes) -> Entry:
    subject = f"order/{id}"
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", f"{subject}/0/{version}".encode()),
        ("ce_source", b"/benchmark/orders"),
        ("ce_type", kind.encode()),
        ("ce_time", _time(number).encode()),
        ("ce_subject", subject.encode()),
        ("ce_aggregateversion", b"%d" % version),
        ("content-type", b"application/json"),
        ("ce_correlationid", f"{number:032x}".encode()),
    ]
    return Entry(id.encode(), data, headers)


def _time(number: int) -> str:
    """A time of its own for each millisecond of a day."""
    seconds, ms = divmod(number, 1000)
    return f"2026-01-01T{seconds // 3600 % 24:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{ms:03d}Z"
