"""What a consumer says of an outage in its log: once when it begins and once when it has ended.

Invariants: what does not end by itself (a store that must not be used as it is set up) is told again every REFUSED_LOG_S.
"""

from __future__ import annotations

import logging
import time
from typing import Final

from projections.errors import ProjectionsError, StoreMisconfiguredError

logger = logging.getLogger(__name__)

REFUSED_LOG_S: Final = 30.0


class Outage:
    """The outages of one projection."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._since_s: float | None = None
        self._refused_due_s = 0.0

    def began(self, error: ProjectionsError) -> None:
        """An attempt failed, the first one or another."""
        now_s = time.monotonic()
        if isinstance(error, StoreMisconfiguredError):
            if now_s >= self._refused_due_s:
                self._refused_due_s = now_s + REFUSED_LOG_S
                logger.error("%s: it does not run: %s", self._name, error)
        elif self._since_s is None:
            self._since_s = now_s
            logger.warning("%s: %s; trying again until it answers", self._name, error)

    def ended(self) -> None:
        """An attempt went well."""
        if self._since_s is not None:
            logger.warning("%s: going on after %.1f s", self._name, time.monotonic() - self._since_s)
            self._since_s = None
