"""Parked aggregates and records as people and programs see them.

Invariants: pure; nothing of a record is lost: what is no text is base64.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from projections.operate.aside import Gap, Parked, WaitingRecord, key_text, place
from projections.operate.screen import table
from projections.quarantine import QuarantineEntry
from projections.store.document import Document
from projections.store.keys import Bucket


class ParkedRow(msgspec.Struct, frozen=True, rename="camel"):
    """An aggregate that is parked.

    `epoch` and `version` are what readers see of it, both 0 before its first record. `depth` records wait, the first of them with
    `first_epoch` and `first_version` at `coordinates`. From `missing_from` to `missing_to` versions have not been seen; None when
    it is the first record itself that cannot be used, for `cause`. `since` is when the first of them all was set aside.
    """

    projection: str
    generation: int
    bucket: int
    id: str
    epoch: int
    version: int
    depth: int
    first_epoch: int
    first_version: int
    coordinates: str
    missing_from: int | None
    missing_to: int | None
    cause: str
    detail: str
    since: datetime


class LooseRow(msgspec.Struct, frozen=True, rename="camel"):
    """A record whose place in the history of an aggregate is not known. `key` is None where it is no UTF-8."""

    projection: str
    generation: int
    bucket: int
    coordinates: str
    key: str | None
    cause: str
    detail: str
    since: datetime


class Listing(msgspec.Struct, frozen=True):
    """What `quarantine list` shows. `more` records of the quarantines were not looked at."""

    parked: Sequence[ParkedRow]
    loose: Sequence[LooseRow]
    more: int = 0


class Bytes(msgspec.Struct, frozen=True, omit_defaults=True):
    """Bytes of a record: `text` when they are UTF-8, else `base64`."""

    text: str | None = None
    base64: bytes | None = None


class ShownRecord(msgspec.Struct, frozen=True, rename="camel"):
    """A whole record. `epoch` and `version` are None for a loose one; `set_aside` is when that was, `timestamp_ms` the log's."""

    coordinates: str
    epoch: int | None
    version: int | None
    cause: str
    detail: str
    set_aside: datetime
    timestamp_ms: int
    key: Bytes | None
    headers: Sequence[tuple[str, Bytes | None]]
    value: Bytes | None


class Shown(msgspec.Struct, frozen=True):
    """What `quarantine show` and `drop` print: the aggregate if it is parked, and records, what was asked for first."""

    parked: ParkedRow | None
    records: Sequence[ShownRecord]


def parked_row(parked: Parked, document: Document | None, gap: Gap | None) -> ParkedRow:
    """The row of a parked aggregate whose document and gap these are."""
    head = parked.head
    return ParkedRow(
        projection=parked.bucket.projection,
        generation=parked.bucket.generation,
        bucket=parked.bucket.number,
        id=parked.id,
        epoch=document.epoch if document else 0,
        version=document.version if document else 0,
        depth=len(parked.records),
        first_epoch=head.epoch,
        first_version=head.version,
        coordinates=place(head.entry),
        missing_from=gap.first if gap else None,
        missing_to=gap.last if gap else None,
        cause="gap" if gap else head.entry.cause,
        detail=head.entry.detail,
        since=min(record.entry.when for record in parked.records),
    )


def loose_row(bucket: Bucket, entry: QuarantineEntry) -> LooseRow:
    """The row of a loose record."""
    return LooseRow(
        projection=bucket.projection,
        generation=bucket.generation,
        bucket=bucket.number,
        coordinates=place(entry),
        key=key_text(entry.key),
        cause=entry.cause,
        detail=entry.detail,
        since=entry.when,
    )


def shown_record(entry: QuarantineEntry, at: WaitingRecord | None = None) -> ShownRecord:
    """A record as it is shown; `at` is its place in a queue."""
    return ShownRecord(
        coordinates=place(entry),
        epoch=at.epoch if at else None,
        version=at.version if at else None,
        cause=entry.cause,
        detail=entry.detail,
        set_aside=entry.when,
        timestamp_ms=entry.timestamp_ms,
        key=_bytes(entry.key),
        headers=[(name, _bytes(value)) for name, value in entry.headers],
        value=_bytes(entry.value),
    )


def _bytes(data: bytes | None) -> Bytes | None:
    if data is None:
        return None
    try:
        return Bytes(text=data.decode())
    except UnicodeDecodeError:
        return Bytes(base64=data)


def listing_table(listing: Listing) -> str:
    """Parked aggregates, then loose records, one line each; a line for what was not looked at, or when there is nothing."""
    parts: list[str] = []
    if listing.parked:
        header: tuple[str, ...] = (
            "parked in",
            "id",
            "version",
            "waiting",
            "first",
            "missing",
            "cause",
            "since",
            "detail",
        )
        parts.append(table(header, [_parked_line(row) for row in listing.parked]))
    if listing.loose:
        header = ("loose in", "coordinates", "key", "cause", "since", "detail")
        parts.append(table(header, [_loose_line(row) for row in listing.loose]))
    if listing.more:
        parts.append(f"{listing.more} more records were not looked at: --limit")
    return "\n\n".join(parts) or "nothing is set aside"


def _parked_line(row: ParkedRow) -> tuple[object, ...]:
    missing = None
    if row.missing_from is not None:
        missing = row.missing_from if row.missing_from == row.missing_to else f"{row.missing_from}-{row.missing_to}"
    return (
        row.projection,
        row.id,
        _version(row.epoch, row.version),
        row.depth,
        _version(row.first_epoch, row.first_version),
        missing,
        row.cause,
        row.since.isoformat(timespec="seconds"),
        _first_line(row.detail),
    )


def _loose_line(row: LooseRow) -> tuple[object, ...]:
    since = row.since.isoformat(timespec="seconds")
    return (row.projection, row.coordinates, row.key, row.cause, since, _first_line(row.detail))


def _version(epoch: int, version: int) -> str:
    return f"{epoch}:{version}" if epoch else str(version)


def _first_line(detail: str) -> str | None:
    return detail.splitlines()[0] if detail else None
