"""The errors of the projections floor, in one tree sorted by who must act.

    ProjectionsError
    ├── DefinitionError          author: a declaration does not fit (what, where, how to mend)
    ├── WireError                author or publisher: a value has no wire form (naive time, infinite number)
    ├── OperatorError            operator: a command names what is not there, or cannot be done; nothing was changed
    ├── SettingsError            operator: settings are missing or wrong, all of them listed
    ├── StoreError               operator
    │   ├── StoreUnavailableError    the store did not answer; nothing is known of the command's effect
    │   ├── RebuildingError          what was asked for is being built from the log and is not whole yet
    │   └── StoreMisconfiguredError  the store may evict, lacks what the layout needs, or holds what Headrace did not write
    ├── OwnershipError           nobody: another consumer has gone on, or the store has gone back; told and mended by going back
    │   ├── FencedError              somebody raised a larger fence
    │   ├── RegressedError           a position is not where this consumer left it
    │   └── ConflictedError          a document is not the one that was folded
    ├── QuarantineFullError      operator: there is no room for a record that must be set aside
    ├── FailureBurstError        author: so many records fail that the code is to blame
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


class OperatorError(ProjectionsError):
    """A command of the command line that cannot be done as it was asked."""


class SettingsError(ProjectionsError):
    """One or more settings are missing or wrong; `problems` has a line for each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("settings:\n" + "\n".join(f"  {problem}" for problem in problems))
        self.problems = tuple(problems)


class StoreError(ProjectionsError):
    """The store of read models failed."""


class StoreUnavailableError(StoreError):
    """The store did not answer in time, or the connection was lost."""


class RebuildingError(StoreError):
    """A bucket without its `built` mark: what is not in it may still come. Told to readers, never raised by a whole trip."""


class StoreMisconfiguredError(StoreError):
    """The store answers, but must not be used as it is set up."""


class OwnershipError(ProjectionsError):
    """What is stored is not what this consumer left there."""


class FencedError(OwnershipError):
    """Another consumer raised a larger fence: prove that the partitions are still ours, or join again."""


class RegressedError(OwnershipError):
    """A stored position is not the expected one: the store lost its tail, was emptied, or another consumer has gone on."""


class ConflictedError(OwnershipError):
    """A document is not the one that a change was folded from: read and fold again."""


class QuarantineFullError(ProjectionsError):
    """The quarantine of a bucket, or the queue of an aggregate, is full: the projection waits for an operator to make room."""


class FailureBurstError(ProjectionsError):
    """So many of the last records failed that a defect of the code is likelier than one of the records; nothing was parked."""


class LogError(ProjectionsError):
    """The log of records failed."""


class LogUnavailableError(LogError):
    """The broker did not answer in time, or the connection was lost."""
