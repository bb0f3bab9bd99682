"""How far a projection is behind its log: what the projector reports, and what a reader makes of it.

Invariants: pure; times are milliseconds since 1970 by the projector's clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from projections.log.port import Partition

STOPPED: Final = "stopped: "
"""How the state of a partition begins that waits for a person; the reason follows."""


class PartitionLag(msgspec.Struct, frozen=True, rename="camel"):
    """The report of one partition.

    `next` is the offset to read next, `end` the one after the log's last record (None before the first answer), `polled_ms` when
    the log last answered, `event_time_ms` the time of the last event that was applied (None before the first). `rate` is records
    per second since the report before, `state` "running", "rebuilding" or "stopped: <why>", `owner` the worker's fence.
    """

    next: int
    end: int | None
    polled_ms: int
    event_time_ms: int | None = None
    rate: float | None = None
    state: str = "running"
    owner: str | None = None

    @property
    def records(self) -> int | None:
        """Records behind; None while the end is not known."""
        return None if self.end is None else max(0, self.end - self.next)


@dataclass(frozen=True)
class Lag:
    """How far a projection is behind, over all its partitions and buckets.

    `records` is None while an end is not known; `polled_ms` is the oldest of all partitions; `event_time_ms` the newest;
    `is_stopped`: one of them waits for a person (a full quarantine, a burst of failures).
    """

    records: int | None
    polled_ms: int
    event_time_ms: int | None
    is_stopped: bool = False

    def staleness_ms(self, now_ms: int) -> int | None:
        """0 when caught up and polling, else how old what is shown may be; None when nothing tells.

        Behind, it is the age of the last applied event; caught up, the time since the log last answered.
        """
        if self.records == 0:
            return max(0, now_ms - self.polled_ms)
        return None if self.event_time_ms is None else max(0, now_ms - self.event_time_ms)


_decoder = msgspec.json.Decoder(PartitionLag)


def write_report(partitions: Mapping[Partition, PartitionLag]) -> dict[str, bytes]:
    """What `ProjectorStore.report` keeps."""
    return {str(at): msgspec.json.encode(lag) for at, lag in partitions.items()}


def read_report(report: Mapping[str, bytes]) -> dict[Partition, PartitionLag]:
    """The partitions of a bucket's report. Raises msgspec.DecodeError."""
    found: dict[Partition, PartitionLag] = {}
    for name, data in report.items():
        topic, _, number = name.rpartition("/")
        found[Partition(topic, int(number))] = _decoder.decode(data)
    return found


def lag_of(reports: Sequence[Mapping[str, bytes]]) -> Lag | None:
    """The lag of a projection from the reports of its buckets; None when one of them never reported.

    A partition counts once, as far behind as its last bucket. Raises msgspec.DecodeError.
    """
    buckets = [read_report(report) for report in reports]
    if not buckets or not all(buckets):
        return None
    slowest: dict[Partition, PartitionLag] = {}
    for bucket in buckets:
        for at, lag in bucket.items():
            if at not in slowest or lag.next < slowest[at].next:
                slowest[at] = lag
    behind = [lag.records for lag in slowest.values()]
    times = [lag.event_time_ms for bucket in buckets for lag in bucket.values() if lag.event_time_ms is not None]
    return Lag(
        records=None if None in behind else sum(records for records in behind if records is not None),
        polled_ms=min(lag.polled_ms for bucket in buckets for lag in bucket.values()),
        event_time_ms=max(times, default=None),
        is_stopped=any(lag.state.startswith(STOPPED) for bucket in buckets for lag in bucket.values()),
    )
