"""A store that holds many rows: stored through the product's own fold and `apply`, without a log.

Invariants: what is stored is what a projector would have stored of `workload.stored_events` at version 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, Final

from benchmarks.errors import BrokenRunError
from benchmarks.workload import EVENT_BYTES, Entry, stored_events
from projections.batch import MAX_ITEMS
from projections.declare import Projection
from projections.log.port import Partition
from projections.record import Record
from projections.runtime import Runtime, runtime_of
from projections.store.change import Applied, BucketChange
from projections.store.keys import Bucket
from projections.store.port import ProjectorStore

_NOWHERE: Final = Partition("filled", 0)


async def fill(
    store: ProjectorStore, projection: Projection[Any, Any], aggregates: Sequence[str], size: int = EVENT_BYTES
) -> None:
    """Stores a row of `size` bytes of JSON for each aggregate, and the mark that the bucket is built.

    Raises BrokenRunError when one is there already.
    """
    runtime, bucket = runtime_of(projection), Bucket(projection.name, projection.version, 0)
    built = BucketChange(bucket, caught_up=[_NOWHERE], partitions=[_NOWHERE])
    for changed in chain(_changes(runtime, bucket, stored_events(aggregates, 1, size)), [built]):
        outcome = await store.apply(changed)
        if not isinstance(outcome, Applied) or outcome.applied != len(changed.changes):
            raise BrokenRunError(f"rows of {projection.name} were not stored: {outcome}")


def _changes(runtime: Runtime, bucket: Bucket, entries: Iterator[Entry]) -> Iterator[BucketChange]:
    records: list[Record] = []
    for number, entry in enumerate(entries):
        records.append(Record(*_NOWHERE, number, entry.key, entry.value, tuple(entry.headers), 0))
        if len(records) == MAX_ITEMS:
            yield _change(runtime, bucket, records)
            records = []
    if records:
        yield _change(runtime, bucket, records)


def _change(runtime: Runtime, bucket: Bucket, records: Sequence[Record]) -> BucketChange:
    result = runtime.project([runtime.decode(record) for record in records], {}, {})
    if result.set_aside or result.queued:
        raise BrokenRunError("rows of the benchmark are not usable")
    return BucketChange(
        bucket, changes=result.changes, removed=result.removed, added=result.added, deltas=result.deltas
    )
