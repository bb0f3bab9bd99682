"""The call of `apply` as bytes: KEYS and ARGV as apply.lua describes them, and what its answers say.

Invariants: pure; nothing here judges a change: apply.lua does, where it can see what is stored.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from projections.errors import StoreMisconfiguredError
from projections.log.port import Partition
from projections.store.change import (
    Append,
    Applied,
    ApplyOutcome,
    BucketChange,
    Conflict,
    Fence,
    Fenced,
    Full,
    Overflow,
    Regressed,
    Standing,
    Waiting,
)
from projections.store.document import GUARD_BYTES, guard, pack

MESSAGE_BYTES: Final = 65_536
"""A message on the change channel is cut before this size, unless a single notice is larger."""

_ABSENT: Final = bytes(GUARD_BYTES)
_pack = msgspec.msgpack.Encoder().encode
_json = msgspec.json.Encoder().encode


def apply_arguments(change: BucketChange, quarantine_max: int, queue_max: int) -> tuple[list[str], list[bytes]]:
    """KEYS and ARGV of `apply`."""
    bucket, changes = change.bucket, change.changes
    prefix = f"{bucket.tag}:"
    queues = [
        (number, _released(item.released), _queued(item.queued))
        for number, item in enumerate(changes, 1)
        if item.queued or item.released
    ]
    timelines = _by_timeline(change.appends)
    documents = f"{prefix}d:"
    keys = [bucket.positions, bucket.quarantine, bucket.changes, bucket.fence, bucket.identities, bucket.caught_up]
    keys.append(bucket.built)
    keys += [documents + item.id for item in changes]
    keys += [prefix + name for name in itertools.chain(change.removed, change.added, change.deltas)]
    for key in timelines:
        keys += (bucket.timeline(key), bucket.moments(key))
    keys += [bucket.queue(changes[number - 1].id) for number, _, _ in queues]
    head = (
        len(changes),
        (quarantine_max, queue_max, change.timeline_bound),
        change.fence or (),
        _positions(change),
        [text for coordinates, entry in change.set_aside for text in (coordinates, entry.decode())],
        _members(change.removed),
        _scored(change.added),
        [str(delta) for delta in change.deltas.values()],
        list(timelines.values()),
        queues,
        [str(at) for at in change.caught_up],
        [str(at) for at in change.partitions],
        list(change.cleared),
    )
    guards = [_ABSENT if item.base is None else guard(item.base) for item in changes]
    arguments = [_pack(head), b"".join(guards)]
    arguments += [pack(item.document) for item in changes]
    arguments += _messages([(item.id, item.document.epoch, item.document.version) for item in changes])
    return keys, arguments


def _members(removed: Mapping[str, Sequence[bytes]]) -> tuple[list[int], list[str]]:
    """How many members each list loses, and the members of all lists: a table of texts costs the server less than many."""
    sizes = [len(members) for members in removed.values()]
    return sizes, [member.decode() for members in removed.values() for member in members]


def _scored(added: Mapping[str, Sequence[bytes]]) -> tuple[list[int], list[str]]:
    """The same of lists that gain members, each behind its score."""
    sizes = [2 * len(members) for members in added.values()]
    return sizes, [text for members in added.values() for member in members for text in ("0", member.decode())]


def _positions(change: BucketChange) -> list[str]:
    return [
        text
        for at, advance in change.positions.items()
        for text in (str(at), str(advance.expected), str(advance.next), advance.identity or "")
    ]


def _released(released: Iterable[Waiting]) -> list[str]:
    return [text for place, coordinates, _ in released for text in (place, coordinates)]


def _queued(queued: Iterable[Waiting]) -> list[str]:
    return [text for place, coordinates, entry in queued for text in (place, coordinates, entry.decode())]


def _by_timeline(appends: Sequence[Append]) -> dict[str, tuple[list[str], list[str], list[str]]]:
    """Event ids, members and entries by the key of their timeline."""
    found: dict[str, tuple[list[str], list[str], list[str]]] = {}
    for key, event_id, member, entry in appends:
        events, members, entries = found.setdefault(key, ([], [], []))
        events.append(event_id)
        members.append(member.decode())
        entries.append(entry.decode())
    return found


def _messages(notices: Sequence[tuple[str, int, int]]) -> list[bytes]:
    """Notices as messages for the change channel."""
    if not notices:
        return []
    message = _json(notices)
    if len(message) <= MESSAGE_BYTES or len(notices) == 1:
        return [message]
    half = len(notices) // 2
    return _messages(notices[:half]) + _messages(notices[half:])


def apply_outcome(change: BucketChange, reply: list[Any]) -> ApplyOutcome:
    """What the function answered."""
    word, *rest = reply
    if word == b"APPLIED":
        return Applied(*rest)
    if word == b"REGRESSED":
        return Regressed({partition(at): int(offset) for at, offset in pairs(rest)})
    if word == b"CONFLICT":
        return Conflict([change.changes[number - 1].id for number in rest])
    if word == b"FENCED":
        return Fenced(Fence(int(rest[0]), rest[1].decode()))
    if word == b"OVERFLOW":
        names = list(change.deltas)
        return Overflow([names[number - 1] for number in rest])
    size, number = rest
    return Full(size, change.changes[number - 1].id if number else None)


def standing(reply: list[Any]) -> Standing:
    """What the function `standing` answered."""
    positions, identities, caught_up, built = reply
    return Standing(
        positions={partition(at): int(offset) for at, offset in pairs(positions)},
        identities={partition(at): identity.decode() for at, identity in pairs(identities)},
        caught_up=frozenset(partition(at) for at in caught_up),
        is_built=bool(built),
    )


def waiting(flat: Sequence[bytes | None]) -> list[Waiting]:
    """One queue as the function `queued` answers it (place, coordinates, entry, ...), lowest version first.

    A place whose record is gone from the quarantine is vacant.
    """
    found: list[Waiting] = []
    for place, coordinates, entry in zip(flat[::3], flat[1::3], flat[2::3], strict=True):
        if place is not None and coordinates is not None and entry is not None:
            found.append(Waiting(place.decode(), coordinates.decode(), entry))
    return sorted(found)


def pairs(flat: Sequence[bytes]) -> Iterable[tuple[bytes, bytes]]:
    """Fields with their values, of a hash as the server sends it."""
    return zip(flat[::2], flat[1::2], strict=True)


def partition(field: bytes) -> Partition:
    """The partition in a hash's field `<topic>/<number>`."""
    topic, _, number = field.decode().rpartition("/")
    return Partition(topic, int(number))


def count(key: str, stored: bytes) -> int:
    """A recorded number of buckets. Raises StoreMisconfiguredError."""
    if not stored.isdigit():
        raise StoreMisconfiguredError(f"at {key!r} is something that Headrace did not write")
    return int(stored)
