"""Changes to what was set aside, through the projector's own fold and an `apply` without a fence.

Invariants: a change is folded from what was just read and is refused when that has changed; it is then read and folded again.
Nothing leaves the quarantine but in the change that uses it, counts its version as ignored, or was asked to drop it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from projections.errors import StoreError
from projections.operate.aside import OperatorStore, Parked, read_parked
from projections.operate.find import Loose
from projections.project import ChangeSet
from projections.quarantine import QuarantineEntry, coordinates, set_aside
from projections.record import Outcome
from projections.runtime import Definition, runtime_of
from projections.store.change import Applied, BucketChange, Change, Conflict, Full, Overflow
from projections.store.document import PARKED, Document
from projections.store.keys import Bucket

TRIES: Final = 20
"""A worker that goes on with the same aggregate may change it in between, again and again; hardly so often."""


class Mender:
    """Folds records of one projection or timeline again. All methods raise StoreError."""

    def __init__(self, store: OperatorStore, source: Definition) -> None:
        self.source = source
        self._store = store
        self._runtime = runtime_of(source)

    def decode(self, entry: QuarantineEntry) -> Outcome:
        """What a record is to the code as it is now."""
        return self._runtime.decode(entry.record())

    async def look(self, bucket: Bucket, id: str) -> tuple[Document | None, Parked | None]:
        """An aggregate's document, and what waits behind it."""
        [document] = await self._store.documents(bucket, [id])
        return document, await read_parked(self._store, bucket, id)

    async def fold(
        self, bucket: Bucket, id: str, outcomes_for: Callable[[Document | None, Parked | None], Sequence[Outcome]]
    ) -> ChangeSet:
        """Folds outcomes onto one aggregate, and what waits behind it as far as it goes.

        `outcomes_for` is asked again when the aggregate has changed meanwhile; what it raises ends it with nothing written.
        """
        for _ in range(TRIES):
            document, parked = await self.look(bucket, id)
            result = self._project(outcomes_for(document, parked), {id: document}, parked)
            if await self._write(self._change(bucket, result)):
                return result
        raise _keeps_changing(bucket, id)

    async def fold_loose(self, loose: Loose, outcome: Outcome, home: Bucket, id: str | None) -> bool:
        """Folds a loose record as one that came again. Returns whether it is used, or known already, and so cleared.

        `home` is the bucket that it is for, `id` its aggregate, None when the outcome has none.
        """
        for _ in range(TRIES):
            document, parked = (None, None) if id is None else await self.look(home, id)
            result = self._project([outcome], {} if id is None else {id: document}, parked)
            stays = [*(item.coordinates for change in result.changes for item in change.queued)]
            stays += [coordinates(poison) for poison in result.set_aside]
            is_here = home == loose.bucket
            is_used = loose.coordinates not in stays
            cleared = (loose.coordinates,) if is_here and is_used else ()
            if await self._write(self._change(home, result, cleared)):
                if not is_here:
                    await self.clear(loose)
                return is_used
        raise _keeps_changing(home, id or loose.coordinates)

    async def take_out(self, bucket: Bucket, id: str, at: str) -> bool:
        """Takes the record of these coordinates out of an aggregate's queue. False when it is not in it."""
        for _ in range(TRIES):
            document, parked = await self.look(bucket, id)
            released = [item.waiting for item in parked.records if item.waiting.coordinates == at] if parked else []
            if parked is None or document is None or not released:
                return False
            flags = document.flags if len(parked.records) > 1 else document.flags & ~PARKED
            change = Change(id, document, document._replace(flags=flags), released=released)
            if await self._write(BucketChange(bucket, changes=[change])):
                return True
        raise _keeps_changing(bucket, id)

    async def clear(self, loose: Loose) -> None:
        """Takes a loose record out of the quarantine."""
        await self._write(BucketChange(loose.bucket, cleared=[loose.coordinates]))

    def _project(
        self, outcomes: Sequence[Outcome], documents: Mapping[str, Document | None], parked: Parked | None
    ) -> ChangeSet:
        queues = {parked.id: [record.waiting for record in parked.records]} if parked else {}
        return self._runtime.project(outcomes, documents, queues, _now_ms())

    def _change(self, bucket: Bucket, result: ChangeSet, cleared: Sequence[str] = ()) -> BucketChange:
        now_ms = _now_ms()
        return BucketChange(
            bucket,
            changes=result.changes,
            set_aside=[set_aside(poison, now_ms) for poison in result.set_aside],
            cleared=cleared,
            removed=result.removed,
            added=result.added,
            deltas=result.deltas,
            appends=result.appends,
            timeline_bound=self._runtime.timeline_bound,
        )

    async def _write(self, change: BucketChange) -> bool:
        """False when documents have changed meanwhile. Raises StoreError for any other refusal."""
        match await self._store.apply(change):
            case Applied():
                return True
            case Conflict():
                return False
            case Overflow(measures=measures):
                self._runtime.close_off({name: 1 if change.deltas[name] > 0 else -1 for name in measures})
                return False
            case Full(size=size, id=None):
                raise StoreError(f"the quarantine is full: {size} records; drop some, or raise HEADRACE_QUARANTINE_MAX")
            case Full(size=size, id=id):
                raise StoreError(f"the queue of {id!r} is full: {size} records; drop some, or raise HEADRACE_QUEUE_MAX")
            case refusal:
                raise StoreError(f"the change was refused: {refusal}")


def _keeps_changing(bucket: Bucket, id: str) -> StoreError:
    return StoreError(f"{id!r} of {bucket.tag} keeps changing: try again")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
