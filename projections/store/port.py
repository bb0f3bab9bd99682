"""The ports to the store of read models: one for the projector, one for readers.

Invariants: `apply` is atomic per bucket, and changes no byte when it is refused; whatever `read` returns in one answer was read on
one connection to a server, documents before pages, so that a document in the answer vouches for what a page in the same answer
shows.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeAlias

from projections.errors import StoreError
from projections.log.port import Partition
from projections.store.change import ApplyOutcome, BucketChange, Fence, Standing, Waiting
from projections.store.document import Document
from projections.store.keys import Bucket

_NONE: Final[Mapping[Any, Any]] = MappingProxyType({})


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

    async def raise_fence(self, bucket: Bucket, partitions: Sequence[Partition], owner: str, now_ms: int) -> Fence:
        """Raises the fence of these partitions of a bucket to (max(largest stored + 1, now_ms), owner), and returns it.

        From then on a change under a smaller one is refused. Whoever raised it proves that the partitions are still its own
        before it writes. Raises StoreUnavailableError (outcome unknown: raise again).
        """
        ...

    async def standing(self, bucket: Bucket) -> Standing:
        """Where to resume, read at one instant."""
        ...

    async def documents(self, bucket: Bucket, ids: Sequence[str]) -> list[Document | None]:
        """Stored documents of a bucket in the order of ids. One round trip."""
        ...

    async def queued(self, bucket: Bucket, ids: Sequence[str]) -> list[list[Waiting]]:
        """What waits behind each of these aggregates, lowest version first. One round trip."""
        ...

    async def queue_places(self, bucket: Bucket, ids: Sequence[str]) -> list[list[Waiting]]:
        """The same with all entries UNREAD, also of places whose record is gone."""
        ...

    async def entries(self, bucket: Bucket, coordinates: Sequence[str]) -> list[bytes | None]:
        """What the quarantine keeps at these coordinates; None where it keeps nothing. One round trip."""
        ...

    async def apply(self, change: BucketChange) -> ApplyOutcome:
        """Writes all or nothing; on success publishes the changed (id, epoch, version) on the bucket's channel.

        A call that was cut off may be sent again: it is then refused with REGRESSED or CONFLICT if it was done. Cancellation
        leaves it done or not done. Raises StoreUnavailableError (outcome unknown: read the standing before going on).
        """
        ...

    async def report(self, bucket: Bucket, live: Mapping[str, bytes]) -> None:
        """Sets fields of a bucket's report, one per partition; those that other workers set stay."""
        ...

    async def quarantined(self, bucket: Bucket, limit: int | None = None) -> dict[str, bytes]:
        """What was set aside, by coordinates: all, or some `limit` records of it. Read in pages.

        What comes or goes meanwhile is in it or not.
        """
        ...

    async def quarantine_sizes(self, buckets: Sequence[Bucket]) -> list[int]:
        """How many records were set aside in each. One round trip."""
        ...

    async def close(self) -> None:
        """Lets go of all connections. Idempotent."""
        ...


class DocumentKey(NamedTuple):
    """Names one document."""

    bucket: Bucket
    id: str


class Listing(NamedTuple):
    """Lists of one index, of each of which the first rows are read, when nobody wants to know how many there are.

    Args:
        projection, generation, buckets: which ones; a list is gathered over all its buckets.
        index_name: the index; a list of it is named as `keys.index_list` does.
        limit: rows wanted, 1 to 1000.
        descending: the declared order of the lists runs from the largest member to the smallest.
    """

    projection: str
    generation: int
    buckets: int
    index_name: str
    limit: int
    descending: bool


class PageQuery(NamedTuple):
    """A page of an index of one projection, gathered over all its buckets.

    Args:
        projection, generation, buckets: which ones.
        index_name, values: the list, values as `keys.filter_text` writes them (None left out -> `*`).
        limit: rows wanted, 0 to 1000.
        descending: the declared order of the list runs from the largest member to the smallest.
        after, before: exclusive bounds in the declared order, members of the list (need not be present any more).
        backward: take the last `limit` rows before `before` instead of the first after `after`; still in declared order.
        timeline: the list is the timeline of this key (`index_name` and `values` are not looked at); what a row names is the event,
            by its id, and is stored as a document of version 1 with the entry as its view.
    """

    projection: str
    generation: int
    buckets: int
    index_name: str
    values: tuple[str, ...]
    limit: int
    descending: bool = False
    after: bytes | None = None
    before: bytes | None = None
    backward: bool = False
    timeline: str | None = None


class MeasureQuery(NamedTuple):
    """A measure of one projection, gathered over all its buckets.

    Args:
        projection, generation, buckets: which ones.
        measure, value: its name, and what it is kept by, as `keys.filter_text` writes it.
        extreme: -1 for the least of the contributions, 1 for the largest, 0 for the number that counts or adds them up.
    """

    projection: str
    generation: int
    buckets: int
    measure: str
    value: str
    extreme: Literal[-1, 0, 1] = 0


Stored: TypeAlias = bytes
"""A document as it is stored: `document.unpack` reads it, and says whether Headrace wrote it."""


class Page(NamedTuple):
    """Rows in the declared order: their members of the list (`keys.member_id` has the id in one), and what these name, read at the
    same instant; None for what is gone.

    `total` is not told (0) of a list that nobody counts. `has_previous`/`has_next`: whether the list has rows before the
    first/after the last one; for an empty page, whether there are rows on the other side of the bound that was given.
    """

    members: Sequence[bytes]
    stored: Sequence[Stored | None]
    total: int
    has_previous: bool
    has_next: bool


Number: TypeAlias = int | bytes | None
"""A measure as it is stored: a whole number, or of an extreme its `keys.sort_text`, None without any."""


class Wanted(NamedTuple):
    """What is read together: documents by their ids in a bucket, lists by their names in a listing, pages, measures."""

    documents: Mapping[Bucket, Sequence[str]] = _NONE
    lists: Mapping[Listing, Sequence[str]] = _NONE
    pages: Sequence[PageQuery] = ()
    measures: Sequence[MeasureQuery] = ()


class ReadAnswer(NamedTuple):
    """What `ReaderStore.read` answers, in the order of what was asked. A measure is a whole number, or of an extreme its
    `keys.sort_text`, None without any.
    """

    documents: Mapping[Bucket, Sequence[Stored | StoreError | None]] = _NONE
    lists: Mapping[Listing, Sequence[Page | StoreError]] = _NONE
    pages: Sequence[Page | StoreError] = ()
    measures: Sequence[int | bytes | StoreError | None] = ()


class Notice(NamedTuple):
    """An aggregate's document changed to this version."""

    id: str
    epoch: int
    version: int


class ReaderStore(Protocol):
    """What the gateway needs."""

    def read(self, wanted: Wanted) -> Awaitable[ReadAnswer]:
        """Answers all of it in one round trip (one per node of a cluster). Nothing may be asked for twice.

        What is wrong with a single item (a key of another type) is the answer to that item, as an error that is returned and not
        raised. So is a document that is missing from a bucket without its `built` mark, and a list, a page or a measure over such
        a bucket: RebuildingError. What is stored is handed on as it is. Raises StoreUnavailableError, StoreMisconfiguredError for
        what concerns the whole trip.
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
