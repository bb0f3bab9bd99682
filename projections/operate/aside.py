"""What was set aside in a bucket: aggregates that are parked with what waits behind them, and loose records.

Invariants: only reads; every record in the quarantine is shown once, in a queue or loose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

import msgspec

from projections.errors import StoreMisconfiguredError
from projections.quarantine import QuarantineEntry, read_entry
from projections.runtime import Definition
from projections.store.change import Waiting
from projections.store.document import Document
from projections.store.keys import Bucket
from projections.store.port import ProjectorStore, ReaderStore
from projections.timeline import Timeline

QUEUES_AT_ONCE: Final = 100
"""Queues of one call: it is one function of the store, behind which all reads of others wait."""


class OperatorStore(ProjectorStore, ReaderStore, Protocol):
    """Both ports of one store."""


class Gap(NamedTuple):
    """Versions of an epoch that have not been seen, from the first to the last."""

    epoch: int
    first: int
    last: int

    @property
    def size(self) -> int:
        """How many they are."""
        return self.last - self.first + 1


@dataclass(frozen=True)
class WaitingRecord:
    """A record in an aggregate's queue: its place in the history, and what the quarantine keeps of it."""

    epoch: int
    version: int
    waiting: Waiting
    entry: QuarantineEntry


@dataclass(frozen=True)
class Parked:
    """An aggregate that is parked, with what waits behind it, lowest version first; never empty."""

    bucket: Bucket
    id: str
    records: Sequence[WaitingRecord]

    @property
    def head(self) -> WaitingRecord:
        """The record that is due next, or would be if nothing were missing."""
        return self.records[0]


@dataclass(frozen=True)
class Aside:
    """All that is set aside in a bucket: parked aggregates by id, loose records by coordinates."""

    bucket: Bucket
    parked: Mapping[str, Parked]
    loose: Mapping[str, QuarantineEntry]


async def buckets_of(store: OperatorStore, source: Definition, buckets: int) -> list[Bucket]:
    """The buckets of a generation: as many as it was built with, `buckets` before its first run. Raises StoreError."""
    recorded = await store.bucket_count(source.name, source.version)
    return [Bucket(source.name, source.version, number) for number in range(recorded or buckets)]


async def read_aside(store: OperatorStore, bucket: Bucket, limit: int | None = None) -> Aside:
    """What is set aside in a bucket; with a limit what some so many records of its quarantine belong to. Raises StoreError."""
    kept = await store.quarantined(bucket, limit)
    entries = {at: read_kept(bucket, data) for at, data in kept.items()}
    ids = sorted({entry.id for entry in entries.values() if entry.id is not None})
    parked: dict[str, Parked] = {}
    for first in range(0, len(ids), QUEUES_AT_ONCE):
        some = ids[first : first + QUEUES_AT_ONCE]
        for id, waiting in zip(some, await store.queued(bucket, some), strict=True):
            if waiting:
                parked[id] = _parked(bucket, id, waiting)
    queued = {record.waiting.coordinates for one in parked.values() for record in one.records}
    return Aside(bucket, parked, {at: entry for at, entry in entries.items() if at not in queued})


async def read_parked(store: OperatorStore, bucket: Bucket, id: str) -> Parked | None:
    """An aggregate with what waits behind it by now; None when nothing does. Raises StoreError."""
    [waiting] = await store.queued(bucket, [id])
    return _parked(bucket, id, waiting) if waiting else None


def _parked(bucket: Bucket, id: str, waiting: Sequence[Waiting]) -> Parked:
    records: list[WaitingRecord] = []
    for item in waiting:
        epoch, _, version = item.place.partition(":")
        records.append(WaitingRecord(int(epoch), int(version), item, read_kept(bucket, item.entry)))
    return Parked(bucket, id, sorted(records, key=lambda record: (record.epoch, record.version)))


def gap_before(source: Definition, document: Document | None, parked: Parked) -> Gap | None:
    """The versions that are missing before the first waiting record; None when it is that record itself that cannot be used."""
    if isinstance(source, Timeline) or source.state:
        return None
    epoch, version = document.at if document else (0, 0)
    first = version + 1 if parked.head.epoch == epoch else 1
    last = parked.head.version - 1
    return Gap(parked.head.epoch, first, last) if first <= last else None


def key_text(key: bytes | None) -> str | None:
    """The id that a record's key names, if it can be one."""
    try:
        return None if key is None else key.decode()
    except UnicodeDecodeError:
        return None


def place(entry: QuarantineEntry) -> str:
    """`<topic>/<partition>/<offset>`."""
    return f"{entry.topic}/{entry.partition}/{entry.offset}"


def read_kept(bucket: Bucket, data: bytes) -> QuarantineEntry:
    """An entry of a bucket's quarantine. Raises StoreMisconfiguredError."""
    try:
        return read_entry(data)
    except msgspec.DecodeError:
        raise StoreMisconfiguredError(f"in {bucket.quarantine!r} is something that Headrace did not write") from None
