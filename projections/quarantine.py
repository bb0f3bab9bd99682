"""An entry of the quarantine as JSON: the whole record that was set aside, where it was, and why.

Invariants: pure; nothing of the record is lost: the entry turns into the record again, to be decoded once more or published.
"""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from projections.record import Poison, Record
from projections.store.change import SetAside, Waiting
from projections.store.keys import queue_place


class QuarantineEntry(msgspec.Struct, frozen=True, rename="camel"):
    """What is kept of a record, bytes as base64 in JSON. `when` is when it was set aside.

    `id`, `epoch`, `version` and `event_time_ms` are there when its place in the history of its aggregate is known: it then waits
    in the aggregate's queue.
    """

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
    id: str | None = None
    epoch: int | None = None
    version: int | None = None
    event_time_ms: int | None = None

    def record(self) -> Record:
        """The record as the log gave it."""
        fault = self.detail if self.cause == "unreadable" else None
        return Record(
            self.topic, self.partition, self.offset, self.key, self.value, self.headers, self.timestamp_ms, fault
        )


_decoder = msgspec.json.Decoder(QuarantineEntry)


def coordinates(poison: Poison) -> str:
    """`<topic>/<partition>/<offset>`: one entry per place in the log, however often it is read."""
    record = poison.record
    return f"{record.topic}/{record.partition}/{record.offset}"


def set_aside(poison: Poison, now_ms: int) -> SetAside:
    """What the store keeps of a poison record."""
    record = poison.record
    has_place = poison.id is not None
    entry = QuarantineEntry(
        cause=poison.cause,
        detail=poison.detail.encode(errors="backslashreplace").decode(),  # an author's words may hold lone surrogates
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=record.key,
        value=record.value,
        headers=tuple(record.headers),
        timestamp_ms=record.timestamp_ms,
        when=datetime.fromtimestamp(now_ms / 1000, UTC),
        id=poison.id,
        epoch=poison.epoch if has_place else None,
        version=poison.version if has_place else None,
        event_time_ms=poison.time_ms if has_place else None,
    )
    return SetAside(coordinates(poison), msgspec.json.encode(entry))


def waiting(poison: Poison, now_ms: int) -> Waiting:
    """What the store keeps of a record that waits behind its aggregate."""
    kept = set_aside(poison, now_ms)
    return Waiting(queue_place(poison.epoch, poison.version), kept.coordinates, kept.entry)


def read_entry(data: bytes) -> QuarantineEntry:
    """The entry that `set_aside` wrote. Raises msgspec.DecodeError."""
    return _decoder.decode(data)
