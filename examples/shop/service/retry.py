"""Waiting between attempts: exponential, jittered, bounded, and short again after a success."""

import random


class Backoff:
    """Owned by the one loop that retries."""

    def __init__(self, first_s: float = 0.1, most_s: float = 2.0) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._next_s = first_s
        self.failing = False
        """Whether the last attempt failed: the first failure is worth a warning, the hundredth is not."""

    def next_s(self) -> float:
        """How long to wait after a failure: half to all of a bound that doubles each time."""
        self.failing = True
        wait_s = self._next_s * random.uniform(0.5, 1.0)
        self._next_s = min(self._next_s * 2, self._most_s)
        return wait_s

    def reset(self) -> None:
        """After a success."""
        self.failing = False
        self._next_s = self._first_s
