"""A timeline: what happened to somebody, across topics, newest first; kept per key, without folding.

Invariants: a frozen value, checked when it is built; an event is in a timeline once, by its id, however often it comes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

from projections.arguments import check_type
from projections.declare import Event, View, check_topics
from projections.errors import DefinitionError
from projections.shape import NAME, members, struct_fields, type_hints

E = TypeVar("E", bound=Event)

MAX_BOUND: Final = 10_000


@dataclass(frozen=True)
class Entry:
    """What an author says of an event: in whose timeline it is, and what happened, in at most 1000 characters.

    A longer text, or a key that is empty or longer than 255 characters, sets the event aside with cause "evolve".
    """

    key: str
    what: str


class Happening(View):
    """An entry as it is stored: what happened, when, by which event, and where that came from.

    `offset` is a text: it may be larger than a GraphQL Int.
    """

    what: str
    at: datetime
    type: str
    subject: str
    event_id: str
    correlation_id: str | None = None
    topic: str
    partition: int
    offset: str


@dataclass(frozen=True, kw_only=True)
class Timeline(Generic[E]):
    """What happened, per key: a frozen value, given to the catalog as projections are.

    Args:
        name: unique among projections and timelines; part of every key.
        version: the generation; raise it when `entry` changes, and it is built anew.
        topics: where the records are, of any kind of aggregate.
        entry: `(event, id) -> Entry | None`, a pure total function; `id` is the aggregate's, None keeps the event out.
        bound: how many entries of a key are kept, the newest.

    Raises:
        DefinitionError: anything that does not fit.
    """

    name: str
    version: int
    topics: Sequence[str]
    entry: Callable[[E, str], Entry | None]
    bound: int = 1000
    events: Mapping[str, type[E]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        where = f"Timeline {self.name!r}"
        for label, value, kind in (
            ("name", self.name, str),
            ("version", self.version, int),
            ("bound", self.bound, int),
        ):
            check_type(value, kind, label, where)
        if not NAME.match(self.name):
            mend = "use a-z, 0-9 and _, at most 63"
            raise DefinitionError(f"name {self.name!r} is not a plain name", where=where, mend=mend)
        if not 1 <= self.version < 2**31:
            raise DefinitionError(f"version {self.version} is out of range", where=where, mend="count from 1")
        if not 1 <= self.bound <= MAX_BOUND:
            raise DefinitionError(f"a bound of {self.bound}", where=where, mend=f"keep 1 to {MAX_BOUND} entries")
        check_topics(self.topics, where)
        events = _event_types(self.entry, where)
        for event in events.values():
            struct_fields(event, where=f"{where}, event {event.__name__}")
        object.__setattr__(self, "events", events)


_ENTRY: Final = "write it as `def entry(event: A | B, id: str) -> Entry | None`"


def _event_types(entry: Callable[..., Any], where: str) -> dict[str, Any]:
    """The events by type name, read from the annotations of `entry(event, id)`."""
    if not inspect.isfunction(entry) or inspect.iscoroutinefunction(entry):
        raise DefinitionError(f"entry is {entry!r}, not a plain function", where=where, mend=_ENTRY)
    hints = type_hints(entry, entry.__qualname__, where=where)
    names = list(inspect.signature(entry).parameters)
    if len(names) != 2 or names[0] not in hints or not set(members(hints.get("return"))) <= {Entry, type(None)}:
        raise DefinitionError(f"{entry.__qualname__} is not annotated so", where=where, mend=_ENTRY)
    if hints.get(names[1], str) not in (str, Any):
        raise DefinitionError(f"{names[1]!r} of {entry.__qualname__} is not a str", where=where, mend=_ENTRY)
    events: dict[str, Any] = {}
    for kind in members(hints[names[0]]):
        if not (isinstance(kind, type) and issubclass(kind, Event)):
            raise DefinitionError(f"{kind!r} in {entry.__qualname__} is not an Event", where=where, mend=_ENTRY)
        name = kind.event_type or kind.__name__
        if name in events:
            raise DefinitionError(f"two events of type {name!r}", where=where, mend="set event_type on one of them")
        events[name] = kind
    return events
