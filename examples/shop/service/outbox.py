"""The outbox: facts wait here, in the transaction that made them true, until the broker has acknowledged them.

- Rows are published in the order of `seq` and removed one by one, never "everything up to": under PostgreSQL a row
  with a smaller `seq` may be committed later (of another aggregate; those of one aggregate are ordered by its lock).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, bindparam, delete, insert, select

from examples.shop.service.declare import Context, Event, Tombstone
from examples.shop.service.tables import outbox


@dataclass(frozen=True, slots=True)
class Trace:
    """What a fact carries of the command that caused it."""

    correlation_id: str | None = None
    causation_id: str | None = None
    traceparent: str | None = None


class OutboxRow(NamedTuple):
    """A fact that is not yet published. `time` is RFC 3339 in UTC, `data` JSON or None for a tombstone."""

    seq: int
    aggregate: str
    key: str
    epoch: int
    version: int
    type: str
    time: str
    data: bytes | None
    correlation_id: str | None = None
    causation_id: str | None = None
    traceparent: str | None = None


_PENDING = select(*(outbox.c[name] for name in OutboxRow._fields)).order_by(outbox.c.seq).limit(bindparam("limit"))
_ADD = insert(outbox)
_PUBLISHED = delete(outbox).where(outbox.c.seq.in_(bindparam("seqs", expanding=True)))
# SQLite takes 32,766 parameters in one statement, PostgreSQL 65,535; long lists are slow to render before that.
_DELETED_AT_ONCE = 1_000


def row(context: Context[Any], key: str, epoch: int, version: int, event: Event, at: datetime) -> dict[str, Any]:
    """A fact as a row to add."""
    return {
        "aggregate": context.aggregate,
        "key": key,
        "epoch": epoch,
        "version": version,
        "type": context.topic.event_type(type(event)),
        "time": timestamp(at),
        "data": None if isinstance(event, Tombstone) else msgspec.json.encode(event),
    }


def add(connection: Connection, rows: Sequence[dict[str, Any]], trace: Trace) -> None:
    """Adds facts behind those that are there."""
    carried = {
        "correlation_id": trace.correlation_id,
        "causation_id": trace.causation_id,
        "traceparent": trace.traceparent,
    }
    connection.execute(_ADD, [fact | carried for fact in rows])


def pending(connection: Connection, limit: int) -> list[OutboxRow]:
    """The oldest rows, at most `limit`, in the order of publication."""
    return [OutboxRow._make(found) for found in connection.execute(_PENDING, {"limit": limit})]


def published(connection: Connection, seqs: Sequence[int]) -> None:
    """Removes rows that the broker has acknowledged."""
    for start in range(0, len(seqs), _DELETED_AT_ONCE):
        connection.execute(_PUBLISHED, {"seqs": seqs[start : start + _DELETED_AT_ONCE]})


def timestamp(at: datetime) -> str:
    """RFC 3339 in UTC, ending in `Z`. `at` is aware."""
    return at.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"
