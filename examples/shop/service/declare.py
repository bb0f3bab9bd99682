"""What a bounded context of the shop declares: its facts, its state, its commands, and whom it listens to.

All of these are frozen values; the functions in them are plain and know no I/O, except `lookup` and `react`, which
get a connection inside the running transaction and may read or write this service's own database only.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar, dataclass_transform

import msgspec
from sqlalchemy import Connection, MetaData


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Value(msgspec.Struct, frozen=True, rename="camel"):
    """A frozen record; camelCase in JSON, Decimal as a string, timestamps in UTC ending in `Z`."""


class Event(Value):
    """A business fact of one aggregate. Its class name ends the CloudEvents type, its fields are the data."""


class Tombstone(Event):
    """The fact that an aggregate of a state topic is gone: published with a null value, its version in the header."""


class Input(Value):
    """The body of a command."""


StateT = TypeVar("StateT", bound=Value)
InputT = TypeVar("InputT", bound=Input)
KnownT = TypeVar("KnownT")


@dataclass(frozen=True)
class Topic:
    """A topic and who owns it. `compacted`: each record is the aggregate's full state, the last one is kept."""

    name: str
    aggregate: str
    compacted: bool = False

    def event_type(self, event: type[Event]) -> str:
        """The CloudEvents type of a fact on this topic, `shop.orders.OrderPlaced`."""
        return f"{self.name}.{event.__name__}"


def nothing(connection: Connection, command: Input) -> None:
    """The lookup of a command whose rule needs to know nothing beside its input."""
    del connection, command


@dataclass(frozen=True)
class Creation(Generic[InputT, KnownT]):
    """A command that makes a new aggregate.

    `decide(input, known, now)` returns the facts, or raises `RefusedError`; `known` is what `lookup` read from this
    service's own database in the same transaction.
    """

    path: str
    input: type[InputT]
    decide: Callable[[InputT, KnownT, datetime], Sequence[Event]]
    lookup: Callable[[Connection, InputT], KnownT]


@dataclass(frozen=True)
class Change(Generic[StateT, InputT]):
    """A command to an aggregate that exists; the one placeholder of `path` is its id (`/orders/{order}/cancel`).

    `decide(state, input, now)` returns the facts (none: nothing had to change), or raises `RefusedError`.
    """

    path: str
    input: type[InputT]
    decide: Callable[[StateT, InputT, datetime], Sequence[Event]]


Command = Creation[Any, Any] | Change[Any, Any]


@dataclass(frozen=True)
class Heard:
    """A fact of another service, decoded; `event` is None for a tombstone and for a type that nobody asked for."""

    id: str
    epoch: int
    version: int
    event: Event | None
    removed: bool = False


@dataclass(frozen=True)
class Listening(Generic[StateT]):
    """A topic that a service listens to (event-carried state), and what it keeps of it.

    `events` maps CloudEvents types to the part of them that this service reads; other types only move the version.
    `remember(kept, event)` is a pure fold: what to keep of that aggregate, None to forget it. `react` sees the new
    facts of a batch (never a duplicate) in the transaction that keeps them, and says whether it recorded facts of its
    own; it must be a function of what the database holds, not of the batch's borders.
    """

    topic: Topic
    events: Mapping[str, type[Event]]
    kept: type[StateT]
    remember: Callable[[StateT | None, Any], StateT | None]
    react: Callable[[Connection, Sequence[Heard], datetime], bool] | None = None


def no_claims(state: Any) -> frozenset[str]:
    """The claims of an aggregate that needs no name for itself."""
    del state
    return frozenset()


@dataclass(frozen=True)
class Context(Generic[StateT]):
    """One write service.

    `evolve(state, event)` folds a fact into the state; None means the aggregate is gone (its version stays).
    `claims(state)` are the names that at most one aggregate may hold at a time (`sku:P-1`): a unique constraint that
    follows from the state. `tables` are the context's own, beside the kit's.
    """

    name: str
    topic: Topic
    id_prefix: str
    state: type[StateT]
    evolve: Callable[[StateT | None, Any], StateT | None]
    commands: Sequence[Command]
    claims: Callable[[StateT], frozenset[str]] = no_claims
    listens: Sequence[Listening[Any]] = ()
    tables: MetaData | None = None

    @property
    def aggregate(self) -> str:
        """The aggregate's type as it is in `ce_subject`: `order`."""
        return self.topic.aggregate
