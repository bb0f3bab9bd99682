"""The errors of the projections floor, in one tree sorted by who must act.

    ProjectionsError
    ├── DefinitionError          author: a declaration does not fit (what, where, how to mend)
    ├── WireError                author or publisher: a value has no wire form (naive time, infinite number)
    ├── SettingsError            operator: settings are missing or wrong, all of them listed
    ├── StoreError               operator
    │   ├── StoreUnavailableError    the store did not answer; nothing is known of the command's effect
    │   └── StoreMisconfiguredError  the store may evict, lacks what the layout needs, or holds what Headrace did not write
    └── LogError                 operator
        └── LogUnavailableError      the broker did not answer; pause and try again

A record that cannot be used is not an exception: it is a `Poison` value (record.py).
"""

from __future__ import annotations

from collections.abc import Sequence


class ProjectionsError(Exception):
    """Root of everything this floor raises on purpose."""


class DefinitionError(ProjectionsError):
    """A declaration that does not fit.

    Args:
        what: the fault, one sentence.
        where: the places involved, outermost first.
        mend: what to change, in the author's words.
    """

    def __init__(self, what: str, *, where: str, mend: str) -> None:
        super().__init__(f"{what}\n  where: {where}\n  mend:  {mend}")
        self.what = what
        self.where = where
        self.mend = mend


class WireError(ProjectionsError):
    """A value that cannot be written in the GraphQL wire form of its type."""


class SettingsError(ProjectionsError):
    """One or more settings are missing or wrong; `problems` has a line for each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("settings:\n" + "\n".join(f"  {problem}" for problem in problems))
        self.problems = tuple(problems)


class StoreError(ProjectionsError):
    """The store of read models failed."""


class StoreUnavailableError(StoreError):
    """The store did not answer in time, or the connection was lost."""


class StoreMisconfiguredError(StoreError):
    """The store answers, but must not be used as it is set up."""


class LogError(ProjectionsError):
    """The log of records failed."""


class LogUnavailableError(LogError):
    """The broker did not answer in time, or the connection was lost."""
