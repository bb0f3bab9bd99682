"""What an operation's cost is multiplied by, as its variables say.

Invariants: pure; what does not fit counts as what is not there, and is refused elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from schema.paging import DEFAULT_PAGE, MAX_PAGE


@dataclass(frozen=True)
class PageSize:
    """Rows of a page, by what `first` and `last` are: a number, a variable's name, or not there."""

    first: int | str | None
    last: int | str | None

    def of(self, variables: Mapping[str, Any]) -> int:
        """0 to MAX_PAGE; page arguments that do not fit are refused elsewhere."""
        first, last = (variables.get(size) if isinstance(size, str) else size for size in (self.first, self.last))
        given = [size for size in (first, last) if isinstance(size, int)]
        return max(0, min(MAX_PAGE, max(given))) if given else DEFAULT_PAGE


@dataclass(frozen=True)
class ListLength:
    """Items of a list that a variable holds."""

    variable: str

    def of(self, variables: Mapping[str, Any]) -> int:
        """0 for one that is not there."""
        value = variables.get(self.variable)
        return len(value) if isinstance(value, list) else 0


@dataclass(frozen=True)
class InputSize:
    """Values in what a variable holds, those in lists and objects counted one by one."""

    variable: str

    def of(self, variables: Mapping[str, Any]) -> int:
        """0 for one that is not there."""
        found, waiting = 0, [variables.get(self.variable)]
        while waiting:
            value = waiting.pop()
            if isinstance(value, list):
                waiting += value
            elif isinstance(value, dict):
                waiting += value.values()
            found += value is not None
        return found


Factor: TypeAlias = PageSize | ListLength | InputSize
