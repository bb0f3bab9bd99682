"""What waits behind an aggregate: records that cannot be used or are not due yet, by their version.

Invariants: pure; one record per version, the first that came, unless it cannot be used and a later one can; what came and went
within a batch is never told.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import msgspec

from projections.quarantine import read_entry, waiting
from projections.record import DETAIL_CHARACTERS, Decoded, Ignored, Outcome, Poison, Record
from projections.store.change import UNREAD, Waiting

At: TypeAlias = tuple[int, int]
"""(epoch, version)."""

Versioned: TypeAlias = Decoded | Ignored

MAX_WANTED: Final = 32
"""Entries that are read at a time: some 40 MB of the largest."""

_PLACE_EPOCH: Final = slice(0, 10)
_PLACE_VERSION: Final = slice(11, 21)


class Queue:
    """The records that wait behind one aggregate, while a batch is folded. Mutable; owned by the fold of that aggregate."""

    def __init__(self, stored: Sequence[Waiting], decode: Callable[[Record], Outcome]) -> None:
        self._decode = decode
        self._stored = {_at(item): item for item in stored}
        self._fresh: dict[At, tuple[Poison, Versioned | None]] = {}
        self._order = sorted(self._stored)
        self._released: list[Waiting] = []
        self._wanted: list[str] = []

    @property
    def has_changed(self) -> bool:
        """Whether there is something to tell the store."""
        return bool(self._fresh or self._released)

    def __len__(self) -> int:
        return len(self._order)

    def places(self) -> list[At]:
        """The versions that wait, lowest first, as they are now."""
        return list(self._order)

    def usable(self, at: At) -> Versioned | None:
        """What waits at a version, decoded (a stored one anew, as the code may have been mended); None when that fails.

        None, too, when its entry was not read: it is then wanted, with as many behind it as were read already.
        """
        if at in self._fresh:
            return self._fresh[at][1]
        if self._stored[at].entry == UNREAD:
            self._want(at)
            return None
        try:
            found = self._decode(read_entry(self._stored[at].entry).record())
        except msgspec.DecodeError:
            return None
        if isinstance(found, Decoded | Ignored) and (found.epoch, found.version) == at:
            return found
        return None

    def _want(self, at: At) -> None:
        """Once more as many as before: a bad record at the head costs one entry, and a long run few questions."""
        waiting = [self._stored[place] for place in self._order if place >= at and place in self._stored]
        read = sum(1 for item in self._stored.values() if item.entry != UNREAD)
        unread = [item.coordinates for item in waiting if item.entry == UNREAD]
        self._wanted += unread[: min(max(1, read), MAX_WANTED)]

    def wanted(self) -> list[str]:
        """Coordinates of entries without which it cannot be said how far the queue drains: read them, and fold again."""
        return self._wanted

    def park(self, at: At, why: Poison, usable: Versioned | None) -> bool:
        """Keeps a record; `usable` is what it decodes to, None when it does not. False when its version waits already."""
        if at in self._fresh or at in self._stored:
            if usable is None or self.usable(at) is not None or self._wanted:
                return False
            self._release(at)
        else:
            insort(self._order, at)
        self._fresh[at] = (why, usable)
        return True

    def release_through(self, at: At) -> None:
        """Lets go of all versions up to this one: the aggregate stands there."""
        gone = bisect_right(self._order, at)
        for place in self._order[:gone]:
            self._release(place)
        del self._order[:gone]

    def _release(self, at: At) -> None:
        if self._fresh.pop(at, None) is None:
            self._released.append(self._stored.pop(at))

    def parked(self) -> list[Poison]:
        """Why each record that came with this batch waits, lowest version first."""
        return [self._fresh[at][0] for at in sorted(self._fresh)]

    def queued(self, now_ms: int) -> list[Waiting]:
        """What the store is to keep that it had not."""
        return [waiting(poison, now_ms) for poison in self.parked()]

    def released(self) -> list[Waiting]:
        """What the store is to let go of."""
        return self._released


def poison(outcome: Versioned, cause: str, detail: str) -> Poison:
    """Why a record that could be decoded has to wait."""
    detail = detail[:DETAIL_CHARACTERS]
    return Poison(cause, detail, outcome.record, outcome.id, outcome.epoch, outcome.version, outcome.time_ms)


def _at(item: Waiting) -> At:
    return int(item.place[_PLACE_EPOCH]), int(item.place[_PLACE_VERSION])
