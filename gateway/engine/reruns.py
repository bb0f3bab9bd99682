"""How often the plain executor may run again what a plan could not answer, because something stored does not fit.

Invariants: over any time no more than `BURST` and `PER_S` a second are taken; what goes beyond is answered by the engine, less
exactly. Nobody's variables can use it up: what they break is not counted here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

PER_S: Final = 20.0
"""An order page takes the plain executor some 6 ms: an eighth of a core."""
BURST: Final = 20.0


class Reruns:
    """An allowance that comes back with time. `now_s` is a clock that never goes back."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._left = BURST
        self._seen_s = 0.0

    def take(self) -> bool:
        """Takes one if there is any."""
        if self.are_spent():
            return False
        if self._left >= BURST:  # nothing comes back to what is full
            self._seen_s = self._now_s()
        self._left -= 1
        return True

    def are_spent(self) -> bool:
        """Whether there is none for now."""
        if self._left < BURST:
            now_s = self._now_s()
            self._left = min(BURST, self._left + (now_s - self._seen_s) * PER_S)
            self._seen_s = now_s
        return self._left < 1
