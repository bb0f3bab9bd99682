"""What an operator asks of the projections: where each stands, and what was set aside. Read from the store alone.

Invariants: `progress` and `set_aside_in` only read; the tables are for people, the JSON for programs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from projections.declare import Projection
from projections.lag import read_report
from projections.quarantine import QuarantineEntry, read_entry
from projections.store.keys import Bucket
from projections.store.redis import RedisStore


class Progress(msgspec.Struct, frozen=True, rename="camel"):
    """One partition of a bucket, and how many of its records are in the quarantine.

    `end`, `lag` and `polled_ms` are as last reported, None when the projector never did.
    """

    projection: str
    generation: int
    bucket: int
    partition: str
    position: int
    end: int | None
    lag: int | None
    polled_ms: int | None
    event_time_ms: int | None
    set_aside: int = 0


def buckets_of(projection: Projection[Any, Any], buckets: int) -> list[Bucket]:
    """The buckets of a projection's generation."""
    return [Bucket(projection.name, projection.version, number) for number in range(buckets)]


async def progress(store: RedisStore, projections: Sequence[Projection[Any, Any]], buckets: int) -> list[Progress]:
    """Where each projection stands, per bucket and partition. Raises StoreError."""
    found: list[Progress] = []
    for projection in projections:
        places = buckets_of(projection, buckets)
        reports = await store.reports(places)
        for bucket, report in zip(places, reports, strict=True):
            lags = read_report(report)
            stored = await store.positions(bucket)
            aside = Counter(place.rpartition("/")[0] for place in await store.quarantined(bucket))
            for at in sorted(lags.keys() | stored.keys()):
                lag = lags.get(at)
                position = stored.get(at, 0)
                found.append(
                    Progress(
                        projection=projection.name,
                        generation=projection.version,
                        bucket=bucket.number,
                        partition=str(at),
                        position=position,
                        end=lag.end if lag else None,
                        lag=None if lag is None or lag.end is None else max(0, lag.end - position),
                        polled_ms=lag.polled_ms if lag else None,
                        event_time_ms=lag.event_time_ms if lag else None,
                        set_aside=aside[str(at)],
                    )
                )
    return found


async def set_aside_in(
    store: RedisStore, projections: Sequence[Projection[Any, Any]], buckets: int
) -> list[tuple[str, QuarantineEntry]]:
    """What was set aside, with the projection's name, in the order of the logs. Raises StoreError."""
    found: list[tuple[str, QuarantineEntry]] = []
    for projection in projections:
        for bucket in buckets_of(projection, buckets):
            entries = await store.quarantined(bucket)
            found += [(projection.name, read_entry(entry)) for entry in entries.values()]
    return sorted(found, key=lambda row: (row[0], row[1].topic, row[1].partition, row[1].offset))


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns, padded; None as a dash."""
    cells = [header, *[["-" if cell is None else str(cell) for cell in row] for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
    return "\n".join(line.rstrip() for line in lines)


def progress_table(rows: Sequence[Progress], now_ms: int) -> str:
    """One line per partition, with the time since the projector last asked the log."""
    header = ("projection", "generation", "bucket", "partition", "position", "end", "lag", "aside", "polled")
    return table(
        header,
        [
            (
                row.projection,
                row.generation,
                row.bucket,
                row.partition,
                row.position,
                row.end,
                row.lag,
                row.set_aside,
                _ago(row, now_ms),
            )
            for row in rows
        ],
    )


def quarantine_table(rows: Sequence[tuple[str, QuarantineEntry]]) -> str:
    """One line per record: where it is in the log, and why it was set aside."""
    header = ("projection", "coordinates", "cause", "detail", "key", "when")
    return table(
        header,
        [
            (
                name,
                f"{entry.topic}/{entry.partition}/{entry.offset}",
                entry.cause,
                entry.detail.splitlines()[0] if entry.detail else None,
                None if entry.key is None else ascii(entry.key.decode(errors="replace"))[1:-1],
                entry.when.isoformat(timespec="seconds"),
            )
            for name, entry in rows
        ],
    )


def _ago(row: Progress, now_ms: int) -> str | None:
    return None if row.polled_ms is None else f"{max(0, now_ms - row.polled_ms) / 1000:.1f} s ago"
