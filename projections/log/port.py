"""The port through which records are read: a member of a group that shares the partitions of some topics out.

Invariants: within a partition records come in the order of their offsets; a record may come twice; where reading goes on is the
caller's to say, what is committed is only advice and the proof of membership.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from projections.record import Record


class Partition(NamedTuple):
    """A partition of a topic."""

    topic: str
    number: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.number}"


@dataclass(frozen=True)
class Assignment:
    """A member's share: its own partitions, and all that the topics have now, both sorted; topics that are not there yet."""

    own: Sequence[Partition]
    all: Sequence[Partition]
    missing: Sequence[str] = ()


class Log(Protocol):
    """One member of a group. Not safe for concurrent calls, except `close`."""

    async def join(self, topics: Sequence[str]) -> Assignment:
        """Gives up the share it had, if any, and waits for the group to give it the next one.

        A share that nobody asks for is handed out again as it is. Nothing is read before `start`. A topic that is not there
        contributes nothing, and is not created; when it appears, or a topic grows, the share is taken away. An empty share is one,
        too. Raises LogUnavailableError after a bound of time.
        """
        ...

    @property
    def is_revoked(self) -> bool:
        """Whether the share is being taken away, or is gone: end the change that is under way, then `join` again.

        The group waits for that, up to a bound, before it gives the partitions to another member.
        """
        ...

    async def prove(self, positions: Mapping[Partition, int]) -> bool:
        """Commits positions of the share: True when the group took them, so that the partitions were still its own just then.

        False when they are not, or not all of them: `join` again. Raises LogUnavailableError when nothing is known.
        """
        ...

    async def identities(self, partitions: Sequence[Partition]) -> dict[Partition, str]:
        """What tells these logs from others of the same name (a topic made anew has another); what cannot be told is left out.

        Raises LogUnavailableError.
        """
        ...

    async def start(self, positions: Mapping[Partition, int]) -> Mapping[Partition, int]:
        """Reads the share from these offsets on; an offset outside the log reads from the log's start.

        Returns where each of these logs begins by now. Raises LogUnavailableError.
        """
        ...

    async def fetch(self, *, max_records: int, wait_ms: int) -> list[Record]:
        """The next records of the share, as soon as there is one; empty after `wait_ms`, and at once when it is revoked.

        Cancellation loses nothing: what was not returned is returned by the next call. Raises LogUnavailableError.
        """
        ...

    def reached(self) -> Mapping[Partition, int]:
        """For each partition of the share, the offset below which `fetch` has returned all that there is.

        It passes what holds no record as well: the marks of transactions and what they called off, what compaction or retention
        took away. So a quiet partition is reached to its end.
        """
        ...

    def ends(self) -> Mapping[Partition, int]:
        """For each partition of the share that has answered a fetch, the offset that the next record to be read may have.

        That is its high water, or the first record of a transaction that is still open.
        """
        ...

    async def close(self) -> None:
        """Leaves the group and lets go of all connections. Idempotent; ends a `fetch` or `join` that is under way."""
        ...
