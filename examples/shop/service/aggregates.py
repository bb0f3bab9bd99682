"""Aggregates: their state, their version, and the one way in which either changes.

- The version grows by one per fact and is kept after the aggregate is gone.
- `record` writes state, version, claims and outbox in the caller's transaction; there is no other way to change them.
- `load` locks what it returns until the transaction ends (SQLite: the whole database is locked for writing anyway).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic

import msgspec
from sqlalchemy import Connection, bindparam, delete, insert, select, update

from examples.shop.service import outbox
from examples.shop.service.declare import Context, Event, StateT
from examples.shop.service.outbox import Trace
from examples.shop.service.tables import aggregates, claims

_FIND = select(aggregates).where(aggregates.c.id.in_(bindparam("ids", expanding=True)))
# In the order of their ids: two transactions that lock the same rows never wait for each other in a circle.
_LOCK = _FIND.order_by(aggregates.c.id).with_for_update()
_CHANGE = (
    update(aggregates)
    .where(aggregates.c.id == bindparam("of_id"))
    .values(version=bindparam("new_version"), state=bindparam("new_state"))
)
_CREATE = insert(aggregates)
_CLAIM = insert(claims)
_RELEASE = delete(claims).where(claims.c.name.in_(bindparam("names", expanding=True)))
_HOLDERS = select(claims.c.name, claims.c.aggregate_id).where(claims.c.name.in_(bindparam("names", expanding=True)))


@dataclass(frozen=True, slots=True)
class Stored(Generic[StateT]):
    """An aggregate as its row has it. `state` is None before the first fact (version 0) and after a tombstone."""

    id: str
    epoch: int
    version: int
    state: StateT | None


@dataclass(frozen=True, slots=True)
class Addition(Generic[StateT]):
    """Facts to add to an aggregate, each with the time at which it became true."""

    before: Stored[StateT]
    facts: Sequence[tuple[Event, datetime]]


def new(key: str, epoch: int = 0) -> Stored[Any]:
    """An aggregate that is not there yet."""
    return Stored(key, epoch, 0, None)


def load(connection: Connection, context: Context[StateT], keys: Collection[str]) -> dict[str, Stored[StateT]]:
    """The aggregates with these ids that exist or once did, locked for this transaction."""
    return _rows(connection, context, _LOCK, keys)


def look(connection: Connection, context: Context[StateT], key: str) -> Stored[StateT] | None:
    """One aggregate, without a lock; None if it never existed."""
    return _rows(connection, context, _FIND, [key]).get(key)


def holders(connection: Connection, names: Collection[str]) -> dict[str, str]:
    """Which of these claims are held, and by which aggregate."""
    found = connection.execute(_HOLDERS, {"names": list(names)})
    return {row.name: row.aggregate_id for row in found}


def record(
    connection: Connection, context: Context[StateT], additions: Sequence[Addition[StateT]], trace: Trace
) -> list[Stored[StateT]]:
    """Adds facts to aggregates and returns them as they are then.

    Raises `sqlalchemy.exc.IntegrityError` when a new aggregate's id or claim is taken.
    """
    after = [_fold(context, addition) for addition in additions]
    pairs = [(addition.before, stored) for addition, stored in zip(additions, after, strict=True) if addition.facts]
    _write_states(connection, pairs)
    _write_claims(connection, context, pairs)
    facts = [fact for addition in additions for fact in _outbox_rows(context, addition)]
    if facts:
        outbox.add(connection, facts, trace)
    return after


def _rows(connection: Connection, context: Context[StateT], query: Any, keys: Collection[str]) -> dict[str, Any]:
    found = connection.execute(query, {"ids": list(keys)})
    return {key: Stored(key, epoch, version, _decode(context, state)) for key, epoch, version, state in found}


def _decode(context: Context[StateT], state: bytes | None) -> StateT | None:
    return None if state is None else msgspec.json.decode(state, type=context.state)


def _encode(state: StateT | None) -> bytes | None:
    return None if state is None else msgspec.json.encode(state)


def _fold(context: Context[StateT], addition: Addition[StateT]) -> Stored[StateT]:
    state = addition.before.state
    for event, _ in addition.facts:
        state = context.evolve(state, event)
    before = addition.before
    return Stored(before.id, before.epoch, before.version + len(addition.facts), state)


def _outbox_rows(context: Context[StateT], addition: Addition[StateT]) -> list[dict[str, Any]]:
    before = addition.before
    return [
        outbox.row(context, before.id, before.epoch, version, event, at)
        for version, (event, at) in enumerate(addition.facts, before.version + 1)
    ]


def _write_states(connection: Connection, pairs: Sequence[tuple[Stored[Any], Stored[Any]]]) -> None:
    created = [
        {"id": after.id, "epoch": after.epoch, "version": after.version, "state": _encode(after.state)}
        for before, after in pairs
        if before.version == 0
    ]
    changed = [
        {"of_id": after.id, "new_version": after.version, "new_state": _encode(after.state)}
        for before, after in pairs
        if before.version > 0
    ]
    if created:
        connection.execute(_CREATE, created)
    if changed:
        connection.execute(_CHANGE, changed)


def _write_claims(
    connection: Connection, context: Context[Any], pairs: Sequence[tuple[Stored[Any], Stored[Any]]]
) -> None:
    released: list[str] = []
    taken: list[dict[str, str]] = []
    for before, after in pairs:
        held = _claims(context, before)
        wanted = _claims(context, after)
        released.extend(held - wanted)
        taken.extend({"name": name, "aggregate_id": after.id} for name in sorted(wanted - held))
    if released:
        connection.execute(_RELEASE, {"names": released})
    if taken:
        connection.execute(_CLAIM, taken)


def _claims(context: Context[Any], stored: Stored[Any]) -> frozenset[str]:
    return frozenset() if stored.state is None else context.claims(stored.state)
