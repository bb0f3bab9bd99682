"""A group in memory: members that share partitions out, generation by generation.

Invariants: a partition belongs to one member at most; a new generation begins only when everybody has given up the share of the one
before, or was thrown out for not doing so within the bound.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from projections.log.port import Assignment, Partition


@dataclass(eq=False)
class Member:
    """What the group knows of a member, and what the member has been told.

    `share` is None while it has none; `is_revoked` is what it knows, `is_out` what the group knows.
    """

    changed: asyncio.Event
    topics: frozenset[str] = frozenset()
    share: Assignment | None = None
    generation: int = 0
    is_revoked: bool = True
    is_out: bool = True

    def lose(self) -> None:
        """Tells it that its share is being taken away."""
        self.is_revoked = True
        self.changed.set()


@dataclass
class Group:
    """Members in the order in which they came, and the offsets that they committed."""

    give_up_within_s: float
    members: list[Member] = field(default_factory=list)
    generation: int = 0
    committed: dict[Partition, int] = field(default_factory=dict)
    _is_sharing: bool = False
    _deadline_s: float = 0.0

    @property
    def remaining_s(self) -> float:
        """How long the members that still hold a share have to give it up."""
        return max(0.0, self._deadline_s - time.monotonic())

    def enter(self, member: Member, topics: Iterable[str]) -> None:
        """Makes it a member that has given up its share; everybody else is asked to do the same."""
        if member not in self.members:
            self.members.append(member)
        member.topics, member.share, member.is_out = frozenset(topics), None, False
        self.revoke()

    def leave(self, member: Member) -> None:
        """Takes a member out; the others share anew. Idempotent."""
        if member in self.members:
            self.members.remove(member)
            member.is_out = True
            self.revoke()

    def revoke(self) -> None:
        """Asks everybody for their shares."""
        if not self._is_sharing:
            self._is_sharing = True
            self._deadline_s = time.monotonic() + self.give_up_within_s
        for member in self.members:
            member.lose()

    def throw_out_who_holds(self) -> None:
        """The bound has passed: whoever did not give up its share is a member no longer."""
        for member in [member for member in self.members if member.share is not None]:
            self.members.remove(member)
            member.is_out = True

    def share_out(self, partitions: Sequence[Partition]) -> None:
        """Begins the next generation, if everybody has given up the share of the last."""
        if not self._is_sharing or any(member.share is not None for member in self.members):
            return
        self._is_sharing = False
        self.generation += 1
        own: dict[int, list[Partition]] = {id(member): [] for member in self.members}
        turn = list(self.members)
        for at in partitions:
            taker = next((member for member in turn if at.topic in member.topics), None)
            if taker is not None:
                turn.remove(taker)
                turn.append(taker)
                own[id(taker)].append(at)
        for member in self.members:
            known = [at for at in partitions if at.topic in member.topics]
            missing = sorted(member.topics - {at.topic for at in known})
            member.share = Assignment(own[id(member)], known, missing)
            member.generation, member.is_revoked = self.generation, False
            member.changed.set()

    def owns(self, member: Member, partitions: Iterable[Partition]) -> bool:
        """Whether these are partitions of its share in the generation that is now."""
        share = member.share
        if member.is_out or share is None or member.generation != self.generation:
            return False
        return set(partitions) <= set(share.own)
