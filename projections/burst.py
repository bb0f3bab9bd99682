"""Tells a bad deploy from bad records: so many of the last ones failed, on so many aggregates, that the code is to blame.

Invariants: pure; only records that the code had to do with count: those that were decoded, and those whose body, wire form or fold
failed. What a publisher got wrong in the envelope, what waits behind something, and what is merely early says nothing of the code.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from typing import Final

from projections.project import ChangeSet
from projections.record import Decoded, Moment, Outcome, Poison, Record

WINDOW: Final = 500
"""The records that are looked at: the last so many that the code had to do with."""
MIN_FAILED: Final = 50
MIN_AGGREGATES: Final = 20
"""One publisher's broken aggregate fails again and again; a broken deploy fails everybody."""
OF_THE_CODE: Final = frozenset({"body", "wire", "evolve"})


class Burst:
    """The failures of one projection. `percent`: from which share on it is a burst; 0: never. Mutable, one owner."""

    def __init__(self, percent: int = 50) -> None:
        self._percent = percent
        self._window: deque[str | None] = deque(maxlen=WINDOW)
        self._failed: Counter[str] = Counter()
        self._example = ""

    def add(self, outcomes: Sequence[Outcome], result: ChangeSet) -> None:
        """Takes note of a batch and of what it came to, in log order."""
        if not (result.parked or result.set_aside or self._failed):  # all is well, as nearly always
            self._window.extend([None for outcome in outcomes if type(outcome) in _READ])
            return
        parked = {_place(poison.record): poison for poison in (*result.parked, *result.set_aside)}
        for outcome in outcomes:
            poison = parked.get(_place(outcome.record)) if parked else None
            if poison is None:
                if type(outcome) in _READ:
                    self._note(None)
            elif poison.cause in OF_THE_CODE:
                self._note(_aggregate(poison))
                self._example = f"{poison.cause}: {poison.detail}"

    def _note(self, failed: str | None) -> None:
        if len(self._window) == WINDOW:
            oldest = self._window[0]
            if oldest is not None:
                self._failed[oldest] -= 1
                if not self._failed[oldest]:
                    del self._failed[oldest]
        self._window.append(failed)
        if failed is not None:
            self._failed[failed] += 1

    def began(self) -> bool:
        """Whether so much fails that the projection must not go on."""
        failed = self._failed.total()
        enough = failed >= MIN_FAILED and len(self._failed) >= MIN_AGGREGATES
        return bool(self._percent) and enough and failed * 100 >= self._percent * len(self._window)

    def told(self) -> str:
        """What an operator has to know."""
        return (
            f"{self._failed.total()} of the last {len(self._window)} records failed, of {len(self._failed)} aggregates; "
            f"the last one {self._example}"
        )

    def clear(self) -> None:
        """Forgets what was seen: the same records are about to be read again."""
        self._window.clear()
        self._failed.clear()
        self._example = ""


_READ: Final = frozenset({Decoded, Moment})


def _place(record: Record) -> tuple[str, int, int]:
    return record.topic, record.partition, record.offset


def _aggregate(poison: Poison) -> str:
    return poison.id if poison.id is not None else (poison.record.key or b"").decode(errors="replace")
