"""An entry of the quarantine as JSON: the whole record that was set aside, where it was, and why.

Invariants: pure; nothing of the record is lost, so that it can be published or applied again.
"""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from projections.record import Poison
from projections.store.port import SetAside


class QuarantineEntry(msgspec.Struct, frozen=True, rename="camel"):
    """What is kept of a record, bytes as base64 in JSON. `when` is when it was set aside."""

    cause: str
    detail: str
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    timestamp_ms: int
    when: datetime


_decoder = msgspec.json.Decoder(QuarantineEntry)


def coordinates(poison: Poison) -> str:
    """`<topic>/<partition>/<offset>`: one entry per place in the log, however often it is read."""
    record = poison.record
    return f"{record.topic}/{record.partition}/{record.offset}"


def set_aside(poison: Poison, now_ms: int) -> SetAside:
    """What the store keeps of a poison record."""
    record = poison.record
    entry = QuarantineEntry(
        cause=poison.cause,
        detail=poison.detail.encode(errors="backslashreplace").decode(),  # an author's words may hold lone surrogates
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=record.key,
        value=record.value,
        headers=record.headers,
        timestamp_ms=record.timestamp_ms,
        when=datetime.fromtimestamp(now_ms / 1000, UTC),
    )
    return SetAside(coordinates(poison), msgspec.json.encode(entry))


def read_entry(data: bytes) -> QuarantineEntry:
    """The entry that `set_aside` wrote. Raises msgspec.DecodeError."""
    return _decoder.decode(data)
