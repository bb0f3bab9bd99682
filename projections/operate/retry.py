"""`quarantine retry`: decodes and folds what was set aside again, with the code as it is now.

Invariants: whatever still cannot be used stays where it is, as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from projections.operate.aside import Gap, Parked, gap_before
from projections.operate.find import Loose
from projections.operate.mend import Mender
from projections.record import Decoded, Ignored, Moment, Poison
from projections.store.document import Document
from projections.store.keys import Bucket, bucket_of

_OLDER_THAN_ALL: Final = (0, 0, 0)
"""Epoch, version and time of an outcome that changes nothing itself: folding it has what waits looked at."""


@dataclass(frozen=True)
class Told:
    """What became of an aggregate or a record, for a person, and whether something of it is still set aside."""

    text: str
    remains: bool


async def retry_parked(mender: Mender, parked: Parked) -> Told:
    """Folds what waits behind an aggregate as far as it goes. Raises StoreError."""

    def nudge(document: Document | None, now: Parked | None) -> Sequence[Ignored]:
        return [Ignored(parked.id, *_OLDER_THAN_ALL, parked.head.entry.record())] if now else []

    result = await mender.fold(parked.bucket, parked.id, nudge)
    return await told(mender, parked.bucket, parked.id, result.released)


async def told(mender: Mender, bucket: Bucket, id: str, folded: int) -> Told:
    """How an aggregate stands after `folded` records left its queue. Raises StoreError."""
    document, parked = await mender.look(bucket, id)
    version = _version(document)
    if parked is None:
        return Told(f"{id}: {_records(folded)} taken, now at version {version}, not parked any more", remains=False)
    why = blocked_by(gap_before(mender.source, document, parked), parked)
    waiting = _records(len(parked.records))
    return Told(
        f"{id}: {_records(folded)} taken, now at version {version}, still parked: {why}; {waiting} waiting",
        remains=True,
    )


def blocked_by(gap: Gap | None, parked: Parked) -> str:
    """What an aggregate waits for, in words."""
    if gap is not None and gap.size == 1:
        return f"version {gap.first} is missing"
    if gap is not None:
        return f"versions {gap.first} to {gap.last} are missing"
    entry = parked.head.entry
    detail = entry.detail.splitlines()[0] if entry.detail else ""
    return f"version {parked.head.version} cannot be used ({entry.cause}{': ' if detail else ''}{detail})"


async def retry_loose(mender: Mender, loose: Loose, buckets: int) -> Told:
    """Takes a loose record as one that came again, if it can be used by now. Raises StoreError."""
    at = loose.coordinates
    outcome = mender.decode(loose.entry)
    match outcome:
        case Poison(id=None):
            return Told(f"{at}: still cannot be used ({outcome.cause}: {outcome.detail})", remains=True)
        case Decoded() | Ignored() | Poison(id=str()):
            id, key = outcome.id, outcome.id or ""
        case Moment():
            id, key = None, outcome.key
        case _:
            await mender.clear(loose)
            return Told(f"{at}: of no concern to {mender.source.name}, removed", remains=False)
    home = Bucket(mender.source.name, mender.source.version, bucket_of(key, buckets))
    if await mender.fold_loose(loose, outcome, home, id):
        return Told(f"{at}: taken", remains=False)
    return Told(f"{at}: now waits behind {key!r}", remains=True)


def _version(document: Document | None) -> str:
    if document is None:
        return "0"
    return f"{document.version} of epoch {document.epoch}" if document.epoch else str(document.version)


def _records(count: int) -> str:
    return "1 record" if count == 1 else f"{count} records"
