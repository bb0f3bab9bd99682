"""What a log entry is, and the things that it can turn out to be.

Invariants: all values are immutable; `Record` keeps the bytes as they came, so that a poison record can be set aside whole.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any, Final, TypeAlias

import msgspec

from projections.declare import Event

MAX_VERSION: Final = 2**31 - 1
"""Largest version and epoch of an aggregate: GraphQL's `Int` is 32 bits, signed."""

DETAIL_CHARACTERS: Final = 500
"""Of what an author's code says when it fails; it may quote a megabyte."""


Pair: TypeAlias = tuple[str, bytes | None]
"""A header: its name as it came, and its value, which may be null."""


class Headers(msgspec.Struct, frozen=True, gc=False, eq=False):
    """The headers of a record as two tuples, of which records of one publisher share the first. Equal to the same pairs."""

    names: tuple[str, ...]
    values: tuple[bytes | None, ...]

    def __iter__(self) -> Iterator[Pair]:
        return zip(self.names, self.values, strict=True)

    def __len__(self) -> int:
        return len(self.names)

    def __contains__(self, pair: object) -> bool:
        return pair in tuple(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers | tuple) and tuple(self) == tuple(other)  # pyright: ignore[reportUnknownArgumentType]

    __hash__ = None  # type: ignore[assignment]  # as it equals pairs, it would have to hash as they do


Split: TypeAlias = tuple[tuple[str, ...], tuple[bytes | None, ...]]


def split(pairs: Collection[Pair]) -> Split:
    """The names and the values of headers, in the order of the log."""
    count = len(pairs)
    return _SPLIT[count](pairs) if count < _SPLITTERS else _any_split(pairs)


def _any_split(pairs: Collection[Pair]) -> Split:
    return tuple([name for name, _ in pairs]), tuple([value for _, value in pairs])


def _splitter(count: int) -> Callable[[Collection[Pair]], Split]:
    """Takes so many pairs apart, each by name: in a third of the time of `zip(*pairs)`."""
    pairs, names, values = (
        "".join(part.format(n) for n in range(count)) for part in ("(n{0}, v{0}), ", "n{0}, ", "v{0}, ")
    )
    found: dict[str, Any] = {}
    exec(f"def split(pairs):\n    [{pairs}] = pairs\n    return ({names}), ({values})", found)  # noqa: S102 - of a number alone
    one: Callable[[Collection[Pair]], Split] = found["split"]
    return one


_SPLITTERS: Final = 20
_SPLIT: Final = tuple(map(_splitter, range(_SPLITTERS)))


class Record(msgspec.Struct, frozen=True, gc=False):
    """One entry of a log.

    `headers` are in the order of the log, names as they came (CloudEvents: `ce_type`, ...), a value may be null;
    `timestamp_ms` is the log's own time in milliseconds since 1970 UTC. `fault` says why the log's reader could not read all
    of the record; what it could not read is then missing from the other fields.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Collection[Pair]
    timestamp_ms: int
    fault: str | None = None


class Decoded(msgspec.Struct, frozen=True, gc=False):
    """A record that the projection folds. `event` is None for a tombstone of a state topic."""

    id: str
    epoch: int
    version: int
    time_ms: int
    event: Event | None
    record: Record


class Ignored(msgspec.Struct, frozen=True, gc=False):
    """A good record of a type that the projection does not name: it moves the aggregate's version, nothing else."""

    id: str
    epoch: int
    version: int
    time_ms: int
    record: Record


class Heartbeat(msgspec.Struct, frozen=True, gc=False):
    """A publisher's sign of life: everything committed before `time_ms` is in the log."""

    time_ms: int
    record: Record


class Foreign(msgspec.Struct, frozen=True, gc=False):
    """A good record of another kind of aggregate that shares the topic, or one that a timeline keeps out.

    It moves the position, nothing else.
    """

    record: Record


class Moment(msgspec.Struct, frozen=True, gc=False):
    """A record that a timeline keeps: whose timeline, the event's id, what orders the entry, and the entry as JSON."""

    key: str
    event_id: str
    time_ms: int
    member: bytes
    entry: bytes
    record: Record


class Poison(msgspec.Struct, frozen=True, gc=False):
    """A record that cannot be used. `cause` is one of the names in `CAUSES`, `detail` is for a person.

    `id`, `epoch` and `version` are its place in the history of its aggregate, where that much could be read: it then parks the
    aggregate. `id` is None where it could not.
    """

    cause: str
    detail: str
    record: Record
    id: str | None = None
    epoch: int = 0
    version: int = 0
    time_ms: int = 0


CAUSES: Final = {
    "headers": "a CloudEvents attribute is missing or malformed",
    "subject": "the subject names no aggregate, or another one than the record's key",
    "version": "the version is not a whole number from 1 to 2^31-1",
    "body": "the data does not decode to the event's type",
    "wire": "a value has no wire form: a time without a zone, a number that is not finite, an int beyond 32 bits",
    "tombstone": "a null value on a topic of domain events",
    "unreadable": "the log's own encoding of the record is broken, such as a header name that is not UTF-8",
    "gap": "an earlier version of the aggregate has not been seen",
    "evolve": "evolve, or a timeline's entry, raised or returned what has no wire form, or what a measure cannot hold",
    "behind": "a good record, behind one of its aggregate that cannot be used",
}

Outcome: TypeAlias = Decoded | Ignored | Moment | Heartbeat | Foreign | Poison
