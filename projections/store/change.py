"""What one `apply` does to a bucket, and what it can answer.

Invariants: pure values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec

from projections.log.port import Partition
from projections.store.document import Document
from projections.store.keys import Bucket


class Fence(NamedTuple):
    """Who may write: of two fences the larger one, compared as (number, owner). `owner` names a worker's start, not a host."""

    number: int
    owner: str


UNREAD: Final = b""
"""Stands for an entry that was not asked for: a thousand may wait, of a megabyte each, and few of them are due."""


class Waiting(NamedTuple):
    """A record that waits behind the document of its aggregate: `place` is `keys.queue_place` of its version.

    `entry` is the JSON that the quarantine keeps of it at `coordinates`, UNREAD where only the order was asked for.
    """

    place: str
    coordinates: str
    entry: bytes


class Change(msgspec.Struct, frozen=True, gc=False):
    """The new state of one aggregate.

    `base` is the document that it was folded from, None when there was none, of which only version and flags count: the store
    refuses the whole call with CONFLICT when it finds another one. `document` is newer than `base`, or as new when only the flags
    or the queue change. `queued` go into the aggregate's queue and the quarantine, `released` (with the place and coordinates
    that they had) leave both; where others would wait on though `document` is not flagged PARKED, they came after the queue was
    read, and that is a CONFLICT, too.
    """

    id: str
    base: Document | None
    document: Document
    queued: Sequence[Waiting] = ()
    released: Sequence[Waiting] = ()


class SetAside(NamedTuple):
    """A record for the quarantine. `entry` is JSON, by coordinates `<topic>/<partition>/<offset>`."""

    coordinates: str
    entry: bytes


class Append(NamedTuple):
    """An entry of a timeline. An event id that the timeline has already changes nothing.

    `member` orders it: the text of the event's time, NUL, the event id.
    """

    key: str
    event_id: str
    member: bytes
    entry: bytes


class Advance(NamedTuple):
    """A position: where the caller believes it stands (0 when never set), and where it goes.

    `identity` is that of the log in which `next` counts, stored beside it; None leaves what is stored.
    """

    expected: int
    next: int
    identity: str | None = None


@dataclass(frozen=True)
class BucketChange:
    """All that one `apply` does to one bucket.

    Args:
        changes: at most one per aggregate.
        removed, added: members by name of their list (`keys.index_list`, `keys.measure_list`); what an aggregate's old view had
            and its new one has not, and the reverse.
        deltas: what is added to each measure's number, by its name (`keys.measure_list`).
        appends: entries of timelines; of each the newest `timeline_bound` are kept.
        set_aside: records for the quarantine that belong to no aggregate's queue.
        cleared: coordinates of such records that leave the quarantine; those that are not there change nothing.
        positions: of the partitions that the change came from.
        fence: the caller's, held against what is stored for each partition of `positions`; None: only documents guard the change
            (an operator's command).
        caught_up, partitions: partitions that were read to their end, and all that there are: once all of them were, the bucket
            gets its `built` mark.
    """

    bucket: Bucket
    changes: Sequence[Change] = ()
    set_aside: Sequence[SetAside] = ()
    cleared: Sequence[str] = ()
    positions: Mapping[Partition, Advance] = field(default_factory=dict[Partition, Advance])
    removed: Mapping[str, Sequence[bytes]] = field(default_factory=dict[str, Sequence[bytes]])
    added: Mapping[str, Sequence[bytes]] = field(default_factory=dict[str, Sequence[bytes]])
    deltas: Mapping[str, int] = field(default_factory=dict[str, int])
    appends: Sequence[Append] = ()
    timeline_bound: int = 0
    fence: Fence | None = None
    caught_up: Sequence[Partition] = ()
    partitions: Sequence[Partition] = ()


@dataclass(frozen=True)
class Applied:
    """Written: documents, records set aside for no queue, records queued, entries that timelines did not have."""

    applied: int
    set_aside: int = 0
    queued: int = 0
    appended: int = 0


@dataclass(frozen=True)
class Fenced:
    """Nothing written: somebody raised a larger fence for one of the partitions."""

    fence: Fence


@dataclass(frozen=True)
class Regressed:
    """Nothing written: a stored position is not the expected one, or the caller's fence is not there any more: the store has gone
    back. `positions` are those stored, of the partitions asked.
    """

    positions: Mapping[Partition, int]


@dataclass(frozen=True)
class Conflict:
    """Nothing written: the documents of `ids` are not the ones that the change was folded from. Read and fold again."""

    ids: Sequence[str]


@dataclass(frozen=True)
class Full:
    """Nothing written: the quarantine would exceed its bound, or the queue of the aggregate `id` its own."""

    size: int
    id: str | None = None


@dataclass(frozen=True)
class Overflow:
    """Nothing written: these numbers (`keys.measure_list`) would leave the 63 bits and a sign that a measure has."""

    measures: Sequence[str]


ApplyOutcome = Applied | Fenced | Regressed | Conflict | Full | Overflow


@dataclass(frozen=True)
class Standing:
    """Where a bucket stands: the offset to read next and the log's identity by partition, partitions read to their end once,
    and whether all of them were.
    """

    positions: Mapping[Partition, int]
    identities: Mapping[Partition, str]
    caught_up: frozenset[Partition]
    is_built: bool
