"""What a service keeps of other services' aggregates: one row each, guarded by the version it was heard at.

- A fact whose (epoch, version) is not above the row's is a duplicate or a replay and changes nothing.
- A row stays when there is nothing (more) to keep, so that the guard outlives the aggregate.
"""

from collections.abc import Collection, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, delete, insert, select

from examples.shop.service.declare import Heard, Listening, StateT
from examples.shop.service.tables import replicas

_FIND = (
    select(replicas.c.id, replicas.c.epoch, replicas.c.version, replicas.c.kept)
    .where(replicas.c.aggregate == bindparam("of_aggregate"), replicas.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(replicas.c.id)
)
_FORGET = delete(replicas).where(
    replicas.c.aggregate == bindparam("of_aggregate"), replicas.c.id.in_(bindparam("ids", expanding=True))
)


def replica(connection: Connection, listening: Listening[StateT], key: str) -> StateT | None:
    """What is kept of one aggregate; None if it was never heard of, or is gone."""
    return replicas_of(connection, listening, {key}).get(key)


def replicas_of(connection: Connection, listening: Listening[StateT], keys: Collection[str]) -> dict[str, StateT]:
    """What is kept of these aggregates, those of which nothing is kept left out."""
    parameters = {"of_aggregate": listening.topic.aggregate, "ids": list(keys)}
    return {
        key: msgspec.json.decode(kept, type=listening.kept)
        for key, _, _, kept in connection.execute(_FIND, parameters)
        if kept is not None
    }


def remember(connection: Connection, listening: Listening[Any], heard: Sequence[Heard]) -> list[Heard]:
    """Folds facts into what is kept, and returns those that were news. Facts of one aggregate are in log order."""
    aggregate = listening.topic.aggregate
    keys = sorted({fact.id for fact in heard})
    found = connection.execute(_FIND.with_for_update(), {"of_aggregate": aggregate, "ids": keys})
    rows: dict[str, tuple[int, int, Any]] = {
        key: (epoch, version, None if kept is None else msgspec.json.decode(kept, type=listening.kept))
        for key, epoch, version, kept in found
    }
    known = set(rows)
    news: list[Heard] = []
    for fact in heard:
        epoch, version, kept = rows.get(fact.id, (-1, 0, None))
        if (fact.epoch, fact.version) <= (epoch, version):
            continue
        if fact.removed:
            kept = None
        elif fact.event is not None:
            kept = listening.remember(kept, fact.event)
        rows[fact.id] = (fact.epoch, fact.version, kept)
        news.append(fact)
    _replace(connection, aggregate, {fact.id for fact in news}, known, rows)
    return news


def _replace(
    connection: Connection, aggregate: str, changed: set[str], known: set[str], rows: dict[str, tuple[int, int, Any]]
) -> None:
    if stale := sorted(changed & known):
        connection.execute(_FORGET, {"of_aggregate": aggregate, "ids": stale})
    if changed:
        connection.execute(insert(replicas), [_row(aggregate, key, *rows[key]) for key in sorted(changed)])


def _row(aggregate: str, key: str, epoch: int, version: int, kept: Any) -> dict[str, Any]:
    encoded = None if kept is None else msgspec.json.encode(kept)
    return {"aggregate": aggregate, "id": key, "epoch": epoch, "version": version, "kept": encoded}
