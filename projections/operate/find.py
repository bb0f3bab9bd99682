"""What a command names: a projection, a parked aggregate, a waiting or a loose record.

Invariants: only reads; a name that leads nowhere is an OperatorError that says what there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from projections.errors import OperatorError
from projections.operate.aside import Aside, OperatorStore, Parked, WaitingRecord, buckets_of, key_text, read_aside
from projections.quarantine import QuarantineEntry
from projections.runtime import Definition
from projections.store.keys import Bucket, bucket_of

NAMED: Final = 10
"""How many of what there is a message lists."""


@dataclass(frozen=True)
class Loose:
    """A loose record, and the bucket whose quarantine holds it."""

    bucket: Bucket
    coordinates: str
    entry: QuarantineEntry


@dataclass(frozen=True)
class Found:
    """What was named: a parked aggregate, by id or through one of its records; loose records, by coordinates or by key."""

    parked: Parked | None = None
    record: WaitingRecord | None = None
    loose: Sequence[Loose] = ()


def source_named(sources: Sequence[Definition], name: str) -> Definition:
    """The projection or timeline of that name. Raises OperatorError."""
    for source in sources:
        if source.name == name:
            return source
    there = ", ".join(source.name for source in sources)
    raise OperatorError(f"there is no projection or timeline {name!r}; there are {there}")


async def all_aside(store: OperatorStore, source: Definition, buckets: int) -> list[Aside]:
    """What is set aside, by bucket. Raises StoreError."""
    return [await read_aside(store, bucket) for bucket in await buckets_of(store, source, buckets)]


async def find(store: OperatorStore, source: Definition, buckets: int, which: str) -> Found:
    """What an id or coordinates name; coordinates first. Raises OperatorError, StoreError."""
    asides = await all_aside(store, source, buckets)
    for aside in asides:
        if which in aside.loose:
            return Found(loose=[Loose(aside.bucket, which, aside.loose[which])])
        for parked in aside.parked.values():
            for record in parked.records:
                if record.waiting.coordinates == which:
                    return Found(parked, record)
    loose = [
        Loose(aside.bucket, coordinates, entry)
        for aside in asides
        for coordinates, entry in aside.loose.items()
        if key_text(entry.key) == which
    ]
    found = Found(asides[bucket_of(which, len(asides))].parked.get(which), loose=loose)
    if found.parked is None and not loose:
        raise OperatorError(f"{source.name} has nothing set aside for {which!r}; {_there(asides)}")
    return found


def _there(asides: Sequence[Aside]) -> str:
    parked = [id for aside in asides for id in aside.parked]
    loose = [coordinates for aside in asides for coordinates in aside.loose]
    if not parked and not loose:
        return "nothing is"
    kinds = (("parked", parked), ("loose", loose))
    return "there are " + "; ".join(f"{kind} {_some(names)}" for kind, names in kinds if names)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
