"""The port through which records are read: partitions assigned by hand, resumed from positions that the store keeps.

Invariants: within a partition records come in the order of their offsets; a record may come twice; nothing is committed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from projections.record import Record


class Partition(NamedTuple):
    """A partition of a topic."""

    topic: str
    number: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.number}"


class Log(Protocol):
    """One reader of a log. Not safe for concurrent calls, except `close`."""

    async def partitions(self, topics: Sequence[str]) -> list[Partition]:
        """All partitions of those topics that exist now, sorted; a topic that is not there yet contributes none.

        Idempotent. Raises LogUnavailableError.
        """
        ...

    async def assign(self, positions: Mapping[Partition, int]) -> None:
        """Reads these partitions, and no others, from these offsets on; replaces an earlier assignment.

        An offset before the start of the log reads from its start. Raises LogUnavailableError.
        """
        ...

    async def fetch(self, *, max_records: int, wait_ms: int) -> list[Record]:
        """The next records of the assigned partitions, as soon as there is one; empty after `wait_ms`.

        Cancellation loses nothing: what was not returned is returned by the next call. Raises LogUnavailableError.
        """
        ...

    async def seek(self, partition: Partition, offset: int) -> None:
        """Goes on from `offset` in one assigned partition; what was fetched ahead of it is forgotten."""
        ...

    def ends(self) -> Mapping[Partition, int]:
        """For each assigned partition that has answered a fetch, the offset after its last record (its high water)."""
        ...

    async def close(self) -> None:
        """Lets go of all connections. Idempotent; ends a `fetch` that is under way."""
        ...
