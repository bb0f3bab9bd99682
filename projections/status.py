"""Where each projection and timeline stands: per bucket and partition for programs, per partition for people.

Invariants: only reads, and from the store alone; what a worker said more than SILENT_MS ago is not taken for how things are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from projections.errors import StoreMisconfiguredError
from projections.lag import Lag, PartitionLag, read_report
from projections.log.port import Partition
from projections.operate.aside import OperatorStore, buckets_of, read_kept
from projections.operate.screen import table
from projections.runtime import Definition
from projections.store.change import Standing
from projections.store.keys import Bucket
from projections.timeline import Timeline

SILENT_MS: Final = 5_000
"""A worker reports every second; one that was silent for five is not known to be running."""
LOOKED_AT: Final = 1_000
"""Records of a bucket's quarantine: some megabytes a second for a table that is live."""
SILENT: Final = "silent"
NEVER_RAN: Final = "never ran"


class PartitionStatus(msgspec.Struct, frozen=True, rename="camel"):
    """One partition of a bucket. `partition` is `<topic>/<number>`; None, as all that follows from it, before a first run.

    `position` is what is stored, `end`, `rate` (records per second), `owner` (the worker) and `polled_ms` (when the log last
    answered) are as last reported. `lag` is in records, None while the end is not known. `state` is the worker's own word
    ("running", "rebuilding", "stopped: <why>"), "silent" when it reports no more, "never ran" when it never did. `built` and the
    counts are from the store: `parked` aggregates, `set_aside` records, those that wait behind others included. `quarantine` is
    how many records the whole bucket has set aside; of more than LOOKED_AT, `parked` and `set_aside` count only that many.
    """

    projection: str
    kind: str
    generation: int
    bucket: int
    partition: str | None
    position: int
    end: int | None
    lag: int | None
    staleness_ms: int | None
    rate: float | None
    state: str
    owner: str | None
    built: bool
    parked: int
    set_aside: int
    quarantine: int
    polled_ms: int | None
    event_time_ms: int | None


@dataclass
class _Aside:
    """What is in a bucket's quarantine: `size` records in all, and of those that were looked at what each partition has."""

    size: int
    parked: dict[Partition, set[str]] = field(default_factory=dict[Partition, set[str]])
    records: Counter[Partition] = field(default_factory=Counter[Partition])


async def read_status(
    store: OperatorStore, sources: Sequence[Definition], buckets: int, now_ms: int
) -> list[PartitionStatus]:
    """Where they stand, per bucket and partition; a generation has as many buckets as it was built with. Raises StoreError."""
    found: list[PartitionStatus] = []
    for source in sources:
        places = await buckets_of(store, source, buckets)
        sizes = await store.quarantine_sizes(places)
        for bucket, size, report in zip(places, sizes, await store.reports(places), strict=True):
            standing = await store.standing(bucket)
            aside = await _read_aside(store, source, bucket, size)
            lags = _read_report(bucket, report)
            known: list[Partition | None] = [*sorted(lags.keys() | standing.positions.keys() | aside.records.keys())]
            found += [_status(source, bucket.number, at, lags, standing, aside, now_ms) for at in known or [None]]
    return found


def _read_report(bucket: Bucket, report: Mapping[str, bytes]) -> dict[Partition, PartitionLag]:
    try:
        return read_report(report)
    except ValueError:  # msgspec.DecodeError is one
        raise StoreMisconfiguredError(f"in {bucket.live!r} is something that Headrace did not write") from None


async def _read_aside(store: OperatorStore, source: Definition, bucket: Bucket, size: int) -> _Aside:
    """Read from the entries alone: one whose place in a history is known waits in the queue of its aggregate."""
    found = _Aside(size)
    if not size:
        return found
    for data in (await store.quarantined(bucket, LOOKED_AT)).values():
        entry = read_kept(bucket, data)
        at = Partition(entry.topic, entry.partition)
        found.records[at] += 1
        if entry.id is not None and not isinstance(source, Timeline):
            found.parked.setdefault(at, set()).add(entry.id)
    return found


def _status(
    source: Definition,
    bucket: int,
    at: Partition | None,
    lags: Mapping[Partition, PartitionLag],
    standing: Standing,
    aside: _Aside,
    now_ms: int,
) -> PartitionStatus:
    lag = None if at is None else lags.get(at)
    position = 0 if at is None else standing.positions.get(at, 0)
    behind = None if lag is None or lag.end is None else max(0, lag.end - position)
    polled_ms = None if lag is None else lag.polled_ms
    return PartitionStatus(
        projection=source.name,
        kind="timeline" if isinstance(source, Timeline) else "projection",
        generation=source.version,
        bucket=bucket,
        partition=None if at is None else str(at),
        position=position,
        end=lag.end if lag else None,
        lag=behind,
        staleness_ms=Lag(behind, lag.polled_ms, lag.event_time_ms).staleness_ms(now_ms) if lag else None,
        rate=lag.rate if lag and not _is_silent(lag, now_ms) else None,
        state=_state(lag, now_ms),
        owner=lag.owner if lag else None,
        built=standing.is_built,
        parked=0 if at is None else len(aside.parked.get(at, ())),
        set_aside=0 if at is None else aside.records[at],
        quarantine=aside.size,
        polled_ms=polled_ms,
        event_time_ms=lag.event_time_ms if lag else None,
    )


def _is_silent(lag: PartitionLag, now_ms: int) -> bool:
    return now_ms - lag.polled_ms >= SILENT_MS


def _state(lag: PartitionLag | None, now_ms: int) -> str:
    """A stopped projection asks the log no more, so that it stopped is the newer word."""
    if lag is None:
        return NEVER_RAN
    if lag.state.startswith("stopped") or not _is_silent(lag, now_ms):
        return lag.state
    return SILENT


HEADER: Final = (
    "projection", "partition", "lag", "stale", "rate/s", "parked", "aside", "state", "built", "position", "end", "gen", "owner",
)  # fmt: skip
"""What is to be acted on comes first: a narrow terminal cuts the rest."""


def status_table(rows: Sequence[PartitionStatus]) -> str:
    """One line per partition over its buckets: the position furthest behind, and the sums of what was set aside.

    Those that need somebody come first, as a terminal that is too short hides the last ones.
    """
    merged: dict[tuple[str, int, str | None], list[PartitionStatus]] = {}
    for row in rows:
        merged.setdefault((row.projection, row.generation, row.partition), []).append(row)
    return table(HEADER, [_line(shares) for shares in sorted(merged.values(), key=_urgency)])


def _urgency(shares: Sequence[PartitionStatus]) -> int:
    """0 is the most urgent."""
    states = {share.state for share in shares}
    if any(state.startswith("stopped") for state in states):
        return 0
    if states & {SILENT, NEVER_RAN}:
        return 1
    return 2 if any(share.set_aside for share in shares) else 3


def _line(shares: Sequence[PartitionStatus]) -> tuple[object, ...]:
    slowest = min(shares, key=lambda share: share.position)
    built = sum(share.built for share in shares)
    more = "+" if any(share.quarantine > LOOKED_AT for share in shares) else ""
    return (
        slowest.projection,
        slowest.partition,
        slowest.lag,
        None if slowest.staleness_ms is None else _age(slowest.staleness_ms),
        None if slowest.rate is None else f"{slowest.rate:.0f}",
        f"{sum(share.parked for share in shares)}{more}",
        f"{sum(share.set_aside for share in shares)}{more}",
        slowest.state,
        "yes" if built == len(shares) else "no" if len(shares) == 1 else f"{built} of {len(shares)}",
        slowest.position,
        slowest.end,
        slowest.generation,
        slowest.owner,
    )


def _age(age_ms: int) -> str:
    """In the largest unit of which there are two: nobody reads 25402324.0 s."""
    if age_ms < 119_950:  # what is shown with one decimal must not read 120.0 s
        return f"{age_ms / 1000:.1f} s"
    minutes = (age_ms + 50) // 60_000
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // 1440} d"
