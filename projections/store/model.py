"""What `apply` does, in Python: the words of the port as plain dictionaries, for the store in memory and to hold apply.lua against.

Invariants: a refused change leaves the state as it was; nothing here knows how the real store lays anything out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from projections.errors import StoreMisconfiguredError
from projections.log.port import Partition
from projections.store.change import (
    Append,
    Applied,
    ApplyOutcome,
    BucketChange,
    Change,
    Conflict,
    Fence,
    Fenced,
    Full,
    Overflow,
    Regressed,
    Waiting,
)
from projections.store.document import PARKED, Document

_INT64: Final = range(-(2**63), 2**63)


@dataclass
class BucketState:
    """All that is stored of one bucket."""

    documents: dict[str, Document] = field(default_factory=dict[str, Document])
    lists: dict[str, set[bytes]] = field(default_factory=lambda: defaultdict[str, set[bytes]](set))
    numbers: dict[str, int] = field(default_factory=dict[str, int])
    timelines: dict[str, dict[str, Append]] = field(default_factory=dict[str, dict[str, Append]])
    """By key, then by event id."""
    positions: dict[Partition, int] = field(default_factory=dict[Partition, int])
    identities: dict[Partition, str] = field(default_factory=dict[Partition, str])
    fences: dict[Partition, Fence] = field(default_factory=dict[Partition, Fence])
    caught_up: set[Partition] = field(default_factory=set[Partition])
    is_built: bool = False
    quarantine: dict[str, bytes] = field(default_factory=dict[str, bytes])
    queues: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    """By aggregate, then place: coordinates."""
    live: dict[str, bytes] = field(default_factory=dict[str, bytes])
    count: int | None = None
    corrupt: set[str] = field(default_factory=set[str])
    """Ids whose documents are bytes that Headrace did not write: for tests to set."""
    mistyped: set[str] = field(default_factory=set[str])
    """Lists, by name, whose keys are of another type: for tests to set."""

    def document(self, id: str) -> Document | None:
        """Raises StoreMisconfiguredError for one that is corrupt."""
        if id in self.corrupt:
            raise StoreMisconfiguredError(f"at {id!r} is something that Headrace did not write")
        return self.documents.get(id)

    def queue(self, id: str) -> list[Waiting]:
        """What waits behind an aggregate, lowest version first; a place whose record is gone is vacant."""
        held = self.queues.get(id, {})
        found = [Waiting(place, at, self.quarantine[at]) for place, at in held.items() if at in self.quarantine]
        return sorted(found)

    def raise_fence(self, partitions: Iterable[Partition], owner: str, now_ms: int) -> Fence:
        """As the port's."""
        asked = list(partitions)
        stored = [self.fences[at].number + 1 for at in asked if at in self.fences]
        fence = Fence(max([now_ms, *stored]), owner)
        self.fences.update((at, fence) for at in asked)
        return fence


def apply(state: BucketState, change: BucketChange, *, quarantine_max: int, queue_max: int) -> ApplyOutcome:
    """As the port's, with the bounds of the quarantine and of each queue. Raises StoreMisconfiguredError."""
    refusal: ApplyOutcome | None = _fenced(state, change) or _regressed(state, change)
    if refusal:
        return refusal
    _check_documents(state, change)
    conflicts = [item.id for item in change.changes if not _is_based_on_what_is_stored(state, item)]
    if conflicts:
        return Conflict(conflicts)
    queued = {item.id: list(_queued(state, item)) for item in change.changes}
    refusal = _full(state, change, queued, quarantine_max, queue_max)
    if refusal:
        return refusal
    refusal = _overflow(state, change)
    if refusal:
        return refusal
    _check_rest(state, change)
    appended = list(_appended(state, change))
    _write_rows(state, change)
    _write_timelines(state, appended, change.timeline_bound)
    _write_parking(state, change, queued)
    _write_place(state, change)
    return Applied(len(change.changes), len(change.set_aside), sum(map(len, queued.values())), len(appended))


def _guarded(change: BucketChange) -> list[Partition]:
    return [*change.positions, *change.caught_up]


def _order(fence: Fence) -> tuple[int, bytes]:
    return fence.number, fence.owner.encode()


def _fenced(state: BucketState, change: BucketChange) -> Fenced | None:
    if change.fence is None:
        return None
    stored = [state.fences[at] for at in _guarded(change) if at in state.fences]
    largest = max([change.fence, *stored], key=_order)
    return None if largest == change.fence else Fenced(largest)


def _regressed(state: BucketState, change: BucketChange) -> Regressed | None:
    stored = {at: state.positions.get(at, 0) for at in change.positions}
    is_fence_there = change.fence is None or all(state.fences.get(at) == change.fence for at in _guarded(change))
    if is_fence_there and all(stored[at] == advance.expected for at, advance in change.positions.items()):
        return None
    return Regressed(stored)


def _check_documents(state: BucketState, change: BucketChange) -> None:
    """Defects of the caller, and documents that nobody can read."""
    if len({item.id for item in change.changes}) < len(change.changes):
        raise StoreMisconfiguredError("the store refused a command: two changes of one aggregate")
    for item in change.changes:
        state.document(item.id)
        if item.base is None or item.document.at > item.base.at:
            continue
        has_queue = bool(item.queued or item.released)
        if item.document.at < item.base.at or not (has_queue or item.document.flags != item.base.flags):
            raise StoreMisconfiguredError(f"the store refused a command: {item.id!r} is not newer than its base")


def _is_based_on_what_is_stored(state: BucketState, item: Change) -> bool:
    stored = state.documents.get(item.id)
    if stored is None or item.base is None:
        if stored is not item.base:
            return False
    elif (*stored.at, stored.flags) != (*item.base.at, item.base.flags):
        return False
    held = state.queues.get(item.id, {})
    if any(held.get(waiting.place) != waiting.coordinates for waiting in item.released):
        return False
    left = {waiting.place for waiting in state.queue(item.id)} - {waiting.place for waiting in item.released}
    return not (item.released and left) or bool(item.document.flags & PARKED)


def _queued(state: BucketState, item: Change) -> Iterator[Waiting]:
    """What of `queued` finds its place vacant."""
    held = {waiting.place for waiting in state.queue(item.id)} - {waiting.place for waiting in item.released}
    for waiting in item.queued:
        if waiting.place not in held:
            held.add(waiting.place)
            yield waiting


def _full(
    state: BucketState, change: BucketChange, queued: dict[str, list[Waiting]], quarantine_max: int, queue_max: int
) -> Full | None:
    for item in change.changes:
        held = state.queues.get(item.id, {}).keys()
        after = held - {waiting.place for waiting in item.released} | {waiting.place for waiting in queued[item.id]}
        if len(after) > len(held) and len(after) > queue_max:
            return Full(len(held), item.id)
    gone = {waiting.coordinates for item in change.changes for waiting in item.released}.union(change.cleared)
    new = {waiting.coordinates for waitings in queued.values() for waiting in waitings}
    kept = state.quarantine.keys() - gone | new | {record.coordinates for record in change.set_aside}
    if len(kept) > len(state.quarantine) and len(kept) > quarantine_max:
        return Full(len(state.quarantine))
    return None


def _overflow(state: BucketState, change: BucketChange) -> Overflow | None:
    if not state.mistyped.isdisjoint(change.deltas):
        raise StoreMisconfiguredError("the store refused a command: WRONGTYPE")
    found = [
        name
        for name, delta in change.deltas.items()
        if delta not in _INT64 or state.numbers.get(name, 0) + delta not in _INT64
    ]
    return Overflow(found) if found else None


def _check_rest(state: BucketState, change: BucketChange) -> None:
    if not state.mistyped.isdisjoint((*change.removed, *change.added)):
        raise StoreMisconfiguredError("the store refused a command: WRONGTYPE")
    if change.appends and change.timeline_bound < 1:
        raise StoreMisconfiguredError("the store refused a command: a timeline without a bound")


def _appended(state: BucketState, change: BucketChange) -> Iterator[Append]:
    seen: set[tuple[str, str]] = set()
    for append in change.appends:
        at = (append.key, append.event_id)
        if at not in seen and append.event_id not in state.timelines.get(append.key, {}):
            seen.add(at)
            yield append


def _write_rows(state: BucketState, change: BucketChange) -> None:
    state.documents.update((item.id, item.document) for item in change.changes)
    for name, members in change.removed.items():
        state.lists[name].difference_update(members)
    for name, members in change.added.items():
        state.lists[name].update(members)
    for name, delta in change.deltas.items():
        total = state.numbers.pop(name, 0) + delta
        if total:
            state.numbers[name] = total


def _write_timelines(state: BucketState, appended: Iterable[Append], bound: int) -> None:
    for append in appended:
        state.timelines.setdefault(append.key, {})[append.event_id] = append
    for key in {append.key for append in appended}:
        newest = sorted(state.timelines[key].values(), key=lambda append: append.member)[-bound:]
        state.timelines[key] = {append.event_id: append for append in newest}


def _write_parking(state: BucketState, change: BucketChange, queued: dict[str, list[Waiting]]) -> None:
    released = [waiting.coordinates for item in change.changes for waiting in item.released]
    for coordinates in (*change.cleared, *released):
        state.quarantine.pop(coordinates, None)
    for item in change.changes:
        held = state.queues.setdefault(item.id, {})
        for waiting in item.released:
            held.pop(waiting.place, None)
        for waiting in queued[item.id]:
            held[waiting.place] = waiting.coordinates
            state.quarantine[waiting.coordinates] = waiting.entry
        if not held:
            del state.queues[item.id]
    state.quarantine.update((record.coordinates, record.entry) for record in change.set_aside)


def _write_place(state: BucketState, change: BucketChange) -> None:
    for at, advance in change.positions.items():
        state.positions[at] = advance.next
        if advance.identity:
            state.identities[at] = advance.identity
    state.caught_up.update(change.caught_up)
    if change.partitions and state.caught_up.issuperset(change.partitions):
        state.is_built = True
