"""`quarantine drop`: gives up what blocks an aggregate, or a record.

Invariants: what goes is planned first, so that it can be shown, and done only if it is still the same; versions that are given up
count as ignored, so what waits behind them can go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import msgspec

from projections.errors import OperatorError
from projections.operate.aside import Gap, Parked, WaitingRecord, gap_before
from projections.operate.find import Found, Loose
from projections.operate.mend import Mender
from projections.operate.retry import Told, told
from projections.operate.shown import ShownRecord, shown_record
from projections.record import Ignored
from projections.store.document import Document

MAX_GIVEN_UP: Final = 100_000
"""More versions than this are not missing: the first waiting record lies about its version."""


class Dropped(msgspec.Struct, frozen=True, rename="camel"):
    """What `drop` prints before it does it: versions of `id` that count as ignored from now on, and the records that go."""

    projection: str
    id: str | None
    ignored_epoch: int | None
    ignored_from: int | None
    ignored_to: int | None
    records: Sequence[ShownRecord]


@dataclass(frozen=True)
class GiveUp:
    """Versions of a parked aggregate count as ignored: missing ones, or that of the record that cannot be used."""

    parked: Parked
    versions: Gap
    record: WaitingRecord | None


@dataclass(frozen=True)
class TakeOut:
    """A record leaves the queue of an aggregate; its version is then one that has not been seen."""

    parked: Parked
    record: WaitingRecord


Plan: TypeAlias = GiveUp | TakeOut | Loose


async def plan_drop(mender: Mender, found: Found, which: str) -> Plan:
    """What `which`, that was found, comes to. Raises OperatorError, StoreError."""
    parked = found.parked
    if parked is None:
        if found.loose[0].coordinates != which:
            places = ", ".join(loose.coordinates for loose in found.loose)
            told = f"{which!r} is not parked; its loose records are dropped by their coordinates: {places}"
            raise OperatorError(told)
        return found.loose[0]
    document, _ = await mender.look(parked.bucket, parked.id)
    gap, head = gap_before(mender.source, document, parked), parked.head
    is_due = document is None or (head.epoch, head.version) > document.at
    if gap is None and is_due and found.record in (None, head):
        return GiveUp(parked, Gap(head.epoch, head.version, head.version), head)
    if gap is None or found.record is not None:
        return TakeOut(parked, found.record or head)
    if gap.size > MAX_GIVEN_UP:
        raise OperatorError(
            f"{gap.size} versions of {which!r} would be missing: the waiting record has a wrong version; "
            f"drop it by its coordinates, {head.waiting.coordinates}"
        )
    return GiveUp(parked, gap, None)


def dropped(mender: Mender, plan: Plan) -> Dropped:
    """What goes, for people and programs."""
    name = mender.source.name
    match plan:
        case Loose():
            return Dropped(name, None, None, None, None, [shown_record(plan.entry)])
        case TakeOut():
            return Dropped(name, plan.parked.id, None, None, None, [shown_record(plan.record.entry, plan.record)])
        case GiveUp(versions=gap):
            records = [shown_record(plan.record.entry, plan.record)] if plan.record else []
            return Dropped(name, plan.parked.id, gap.epoch, gap.first, gap.last, records)


async def carry_out(mender: Mender, plan: Plan) -> Told:
    """Does what was planned. Raises OperatorError when that is not how things stand any more, StoreError."""
    match plan:
        case Loose():
            await mender.clear(plan)
            return Told(f"{plan.coordinates}: removed", remains=False)
        case TakeOut():
            return await _take_out(mender, plan)
        case GiveUp():
            return await _give_up(mender, plan)


async def _take_out(mender: Mender, plan: TakeOut) -> Told:
    parked, at = plan.parked, plan.record.waiting.coordinates
    if not await mender.take_out(parked.bucket, parked.id, at):
        raise _changed(parked)
    after = await told(mender, parked.bucket, parked.id, 0)
    return Told(f"{at}: removed; {after.text}", after.remains)


async def _give_up(mender: Mender, plan: GiveUp) -> Told:
    parked, versions = plan.parked, plan.versions

    def ignored(document: Document | None, now: Parked | None) -> Sequence[Ignored]:
        if now is None or now.head.waiting != parked.head.waiting:
            raise _changed(parked)
        if gap_before(mender.source, document, now) != (None if plan.record else versions):
            raise _changed(parked)
        time_ms, record = document.time_ms if document else 0, now.head.entry.record()
        return [
            Ignored(parked.id, versions.epoch, version, time_ms, record)
            for version in range(versions.first, versions.last + 1)
        ]

    result = await mender.fold(parked.bucket, parked.id, ignored)
    after = await told(mender, parked.bucket, parked.id, result.released - (1 if plan.record else 0))
    return Told(f"{_versions(versions)} given up; {after.text}", after.remains)


def _versions(gap: Gap) -> str:
    return f"version {gap.first}" if gap.size == 1 else f"versions {gap.first} to {gap.last}"


def _changed(parked: Parked) -> OperatorError:
    return OperatorError(f"{parked.id!r} has changed meanwhile, nothing more was dropped: look at it again")
