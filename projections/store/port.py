"""The ports to the store of read models: one for the projector, one for readers.

Invariants: `apply` is atomic per bucket; whatever `read` returns in one answer was read on one connection, documents before pages,
so that a document in the answer vouches for what a page in the same answer shows.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from projections.errors import StoreError
from projections.log.port import Partition
from projections.store.document import Document
from projections.store.keys import Bucket, Entry


class Change(NamedTuple):
    """The new state of one aggregate.

    `base` is the (epoch, version) of the document that it was folded from, None when there was none: the store refuses the whole
    call with CONFLICT when it finds another one that is older than `document`, and skips this item as a duplicate when it
    finds one as new. `removed` and `added` are the old and new index entries.
    """

    id: str
    base: tuple[int, int] | None
    document: Document
    removed: frozenset[Entry] = frozenset()
    added: frozenset[Entry] = frozenset()


class SetAside(NamedTuple):
    """A record for the quarantine. `entry` is JSON, by coordinates `<topic>/<partition>/<offset>`."""

    coordinates: str
    entry: bytes


class Advance(NamedTuple):
    """A position: where the caller believes it stands (0 when never set), and where it goes."""

    expected: int
    next: int


@dataclass(frozen=True)
class BucketChange:
    """All that one `apply` does to one bucket."""

    bucket: Bucket
    changes: Sequence[Change] = ()
    set_aside: Sequence[SetAside] = ()
    positions: Mapping[Partition, Advance] = field(default_factory=dict[Partition, Advance])


@dataclass(frozen=True)
class Applied:
    """Written. `duplicates` items were as old as what is stored, or older, and were skipped."""

    applied: int
    duplicates: int
    set_aside: int


@dataclass(frozen=True)
class Regressed:
    """Nothing written: a stored position is not the expected one. `positions` are those stored, of the partitions asked."""

    positions: Mapping[Partition, int]


@dataclass(frozen=True)
class Conflict:
    """Nothing written: the documents of `ids` are not the ones that the change was folded from. Read and fold again."""

    ids: Sequence[str]


@dataclass(frozen=True)
class Full:
    """Nothing written: the quarantine would exceed its bound."""

    size: int


ApplyOutcome = Applied | Regressed | Conflict | Full


class ProjectorStore(Protocol):
    """What the projector needs."""

    async def check(self) -> None:
        """Raises StoreMisconfiguredError when the store may evict or lacks functions, StoreUnavailableError when away."""
        ...

    async def claim_buckets(self, projection: str, generation: int, buckets: int) -> int:
        """Records how many buckets a generation has, unless a number is recorded. Returns the recorded one. Idempotent.

        Another number than the caller's means that documents are where the caller would not look for them.
        """
        ...

    async def positions(self, bucket: Bucket) -> dict[Partition, int]:
        """Where to resume, per partition that was ever advanced."""
        ...

    async def documents(self, bucket: Bucket, ids: Sequence[str]) -> list[Document | None]:
        """Stored documents of a bucket in the order of ids. One round trip."""
        ...

    async def apply(self, change: BucketChange) -> ApplyOutcome:
        """Writes all or nothing; on success publishes the changed (id, epoch, version) on the bucket's channel.

        Idempotent through versions and positions: a call that was cut off may be sent again. Cancellation leaves it done or
        not done. Raises StoreUnavailableError (outcome unknown: read positions before going on).
        """
        ...

    async def report(self, bucket: Bucket, live: Mapping[str, bytes]) -> None:
        """Replaces the projector's report (hash fields) of a bucket."""
        ...

    async def quarantined(self, bucket: Bucket) -> dict[str, bytes]:
        """What was set aside, by coordinates."""
        ...

    async def close(self) -> None:
        """Lets go of all connections. Idempotent."""
        ...


class DocumentKey(NamedTuple):
    """Names one document."""

    bucket: Bucket
    id: str


@dataclass(frozen=True)
class PageQuery:
    """A page of an index of one projection, gathered over all its buckets.

    Args:
        projection, generation, buckets: which ones.
        index, values: the list, values as `keys.filter_text` writes them (None left out -> `*`).
        limit: rows wanted, 0 to 1000.
        descending: the declared order of the list runs from the largest member to the smallest.
        after, before: exclusive bounds in the declared order, members of the list (need not be present any more).
        backward: take the last `limit` rows before `before` instead of the first after `after`; still in declared order.
    """

    projection: str
    generation: int
    buckets: int
    index: str
    values: tuple[str, ...]
    limit: int
    descending: bool = False
    after: bytes | None = None
    before: bytes | None = None
    backward: bool = False


class PageRow(NamedTuple):
    """A row of a page: its place in the list and the document it names, read at the same instant."""

    member: bytes
    id: str
    document: Document | None


@dataclass(frozen=True)
class Page:
    """Rows in the declared order; `has_previous`/`has_next`: whether the list has rows before the first/after the last one.

    For an empty page they tell whether there are rows on the other side of the bound that was given.
    """

    rows: Sequence[PageRow]
    total: int
    has_previous: bool
    has_next: bool


class Notice(NamedTuple):
    """An aggregate's document changed to this version."""

    id: str
    epoch: int
    version: int


class ReaderStore(Protocol):
    """What the gateway needs."""

    async def read(
        self, documents: Sequence[DocumentKey], pages: Sequence[PageQuery]
    ) -> tuple[list[Document | StoreError | None], list[Page | StoreError]]:
        """Answers all of it in one round trip (one per node of a cluster), in the order of what was asked.

        What is wrong with a single item (bytes that Headrace did not write, a key of another type) is the answer to that item, as
        an error that is returned and not raised; a page with such a document in it is such an error as a whole. Raises
        StoreUnavailableError, StoreMisconfiguredError for what concerns the whole trip.
        """
        ...

    async def bucket_count(self, projection: str, generation: int) -> int | None:
        """How many buckets the projector recorded for a generation; None when it never ran. Raises StoreError."""
        ...

    def changes(self, bucket: Bucket) -> AbstractAsyncContextManager[AsyncIterator[Sequence[Notice]]]:
        """The bucket's change channel: entering returns once the subscription holds; then batches as they are published.

        Notices may be lost while the connection is away. The iterator raises StoreUnavailableError when it goes.
        """
        ...

    async def reports(self, buckets: Sequence[Bucket]) -> list[dict[str, bytes]]:
        """The projector's last report of each bucket; empty when it never reported."""
        ...

    async def ping(self) -> None:
        """Raises StoreUnavailableError."""
        ...

    async def close(self) -> None:
        """Lets go of all connections. Idempotent."""
        ...
