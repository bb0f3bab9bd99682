"""What each command of an operator does with a store, and what it says.

Invariants: results go to standard output, what was done about them to standard error; nothing is asked of a log.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from projections.errors import OperatorError
from projections.operate.aside import OperatorStore, Parked, buckets_of, gap_before, read_aside
from projections.operate.drop import Dropped, GiveUp, Plan, carry_out, dropped, plan_drop
from projections.operate.find import Found, Loose, all_aside, find, source_named
from projections.operate.mend import Mender
from projections.operate.retry import Told, retry_loose, retry_parked
from projections.operate.shown import (
    Listing,
    LooseRow,
    ParkedRow,
    Shown,
    listing_table,
    loose_row,
    parked_row,
    shown_record,
)
from projections.runtime import Definition

DONE: Final = 0
REMAINS: Final = 3


@dataclass(frozen=True)
class Desk:
    """Where a command speaks: `out` for results, `told` for what it did, `ask` for a yes (None: nobody is there to ask)."""

    out: Callable[[str], None]
    told: Callable[[str], None]
    ask: Callable[[str], bool] | None = None


async def quarantine(
    asked: argparse.Namespace, store: OperatorStore, sources: Sequence[Definition], buckets: int, desk: Desk
) -> int:
    """`quarantine list | show | retry | drop`; returns the exit code. Raises OperatorError, StoreError."""
    if asked.action == "list":
        chosen = [source_named(sources, asked.projection)] if asked.projection else sources
        listing = await _listing(store, chosen, buckets, asked.limit)
        desk.out(msgspec.json.encode(listing).decode() if asked.json else listing_table(listing))
        return DONE
    source = source_named(sources, asked.projection)
    if asked.action == "show":
        found = await find(store, source, buckets, asked.which)
        desk.out(_json(await _shown(store, source, found)))
        return DONE
    if asked.action == "retry":
        return await _retry(asked, store, source, buckets, desk)
    return await _drop(asked, store, source, buckets, desk)


async def _listing(store: OperatorStore, sources: Sequence[Definition], buckets: int, limit: int) -> Listing:
    parked: list[ParkedRow] = []
    loose: list[LooseRow] = []
    more = 0
    for source in sources:
        places = await buckets_of(store, source, buckets)
        for bucket, size in zip(places, await store.quarantine_sizes(places), strict=True):
            aside = await read_aside(store, bucket, limit)
            parked += await _parked_rows(store, source, list(aside.parked.values()))
            loose += [loose_row(bucket, entry) for entry in aside.loose.values()]
            more += max(0, size - limit)
    parked.sort(key=lambda row: (row.projection, row.since, row.id))
    loose.sort(key=lambda row: (row.projection, row.since, row.coordinates))
    return Listing(parked, loose, more)


async def _parked_rows(store: OperatorStore, source: Definition, parked: Sequence[Parked]) -> list[ParkedRow]:
    if not parked:
        return []
    documents = await store.documents(parked[0].bucket, [one.id for one in parked])
    return [
        parked_row(one, document, gap_before(source, document, one))
        for one, document in zip(parked, documents, strict=True)
    ]


async def _shown(store: OperatorStore, source: Definition, found: Found) -> Shown:
    """Of an id all that waits, then loose records of that key; of a record itself, then what waits behind it."""
    if found.parked is None:
        return Shown(None, [shown_record(loose.entry) for loose in found.loose])
    records = found.parked.records
    if found.record is not None:
        records = records[records.index(found.record) :]
    [row] = await _parked_rows(store, source, [found.parked])
    waiting = [shown_record(record.entry, record) for record in records]
    return Shown(row, [*waiting, *(shown_record(loose.entry) for loose in found.loose)])


async def _retry(asked: argparse.Namespace, store: OperatorStore, source: Definition, buckets: int, desk: Desk) -> int:
    if asked.all == bool(asked.which):
        raise OperatorError("retry takes ids or coordinates, or --all for everything that was set aside")
    parked: dict[str, Parked] = {}
    loose: dict[str, Loose] = {}
    asides = await all_aside(store, source, buckets)
    if asked.all:
        parked = {id: one for aside in asides for id, one in aside.parked.items()}
        loose = {at: Loose(aside.bucket, at, entry) for aside in asides for at, entry in aside.loose.items()}
    for which in asked.which:
        found = await find(store, source, buckets, which)
        parked |= {found.parked.id: found.parked} if found.parked else {}
        loose |= {one.coordinates: one for one in found.loose}
    mender = Mender(store, source)
    remains = False
    for one in loose.values():
        remains |= _say(await retry_loose(mender, one, len(asides)), desk)
    for aggregate in parked.values():
        remains |= _say(await retry_parked(mender, aggregate), desk)
    if not parked and not loose:
        desk.told(f"{source.name} has nothing set aside")
    return REMAINS if remains else DONE


async def _drop(asked: argparse.Namespace, store: OperatorStore, source: Definition, buckets: int, desk: Desk) -> int:
    mender = Mender(store, source)
    found = await find(store, source, buckets, asked.which)
    plan = await plan_drop(mender, found, asked.which)
    if asked.all_missing and not _is_missing(plan):
        raise OperatorError(
            f"{asked.which!r} does not wait for a missing version; without --all-missing the record is dropped"
        )
    ask: Callable[[str], bool] | None = (lambda _: True) if asked.yes else desk.ask
    if ask is None:
        raise OperatorError("nothing was dropped: there is no terminal to ask at, so say --yes")
    refused = "nothing was dropped"
    while True:
        going = dropped(mender, plan)
        desk.out(_json(going))
        if not ask(_question(going)):
            desk.told(refused)
            return DONE
        told = await carry_out(mender, plan)
        _say(told, desk)
        refused = "nothing more was dropped"
        if not (asked.all_missing and told.remains):
            return DONE
        plan = await plan_drop(mender, await find(store, source, buckets, asked.which), asked.which)
        if not _is_missing(plan):
            return DONE


def _is_missing(plan: Plan) -> bool:
    return isinstance(plan, GiveUp) and plan.record is None


def _question(going: Dropped) -> str:
    if going.records:
        return f"drop the record at {going.records[0].coordinates}?"
    return f"count versions {going.ignored_from} to {going.ignored_to} of {going.id} as ignored?"


def _say(told: Told, desk: Desk) -> bool:
    desk.told(told.text)
    return told.remains


def _json(value: Shown | Dropped) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
