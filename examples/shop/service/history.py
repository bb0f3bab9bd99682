"""Writes facts that were decided elsewhere (a migration, a public data set) as if they had happened here.

For a loader:

    from examples.shop import orders
    from examples.shop.service.database import create_tables, open_engine, writing
    from examples.shop.service.history import History, write_history

    engine = open_engine(settings.databases["orders"])
    create_tables(engine, orders.context.tables)
    with writing(engine) as connection:                      # one transaction per batch of some thousand aggregates
        write_history(connection, orders.context, [
            History("o-1", [(OrderPlaced(...), placed_at), (OrderConfirmed(...), confirmed_at)]),
        ])
    engine.dispose()

- State rows, claims and outbox rows are made by the same code that a command uses: the state is the fold of the facts,
  the version their number, so commands on the loaded aggregates work and the relay publishes the facts in order.
- A batch is all or nothing. It may be written while the service runs, also from another process: the service's relay
  looks into the outbox every 100 ms.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from examples.shop.service.aggregates import Addition, new, record
from examples.shop.service.declare import Context, Event
from examples.shop.service.outbox import Trace


@dataclass(frozen=True, slots=True)
class History:
    """A whole aggregate: its id and its facts from version 1 on, each with the (aware) time at which it happened."""

    id: str
    facts: Sequence[tuple[Event, datetime]]
    epoch: int = 0


def write_history(connection: Connection, context: Context[Any], histories: Sequence[History]) -> int:
    """Adds aggregates that are not there yet; returns the number of facts that were put into the outbox.

    Raises `sqlalchemy.exc.IntegrityError`, and writes nothing, when one of the ids or claims is taken.
    """
    additions = [Addition(new(history.id, history.epoch), history.facts) for history in histories]
    record(connection, context, additions, Trace())
    return sum(len(history.facts) for history in histories)
