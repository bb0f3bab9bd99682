"""The log in memory, for tests: a broker that is written to, and members of its groups with the semantics of the port.

Invariants: while the broker is not `available` every call of its members raises LogUnavailableError; memberships outlive that.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from projections.errors import LogUnavailableError
from projections.log.memory_group import Group, Member
from projections.log.port import Assignment, Partition
from projections.record import Record

GIVE_UP_WITHIN_S: Final = 3.0
"""How long a group waits for a member that is asked for its share: as long as `KafkaLog` does."""


class MemoryBroker:
    """Topics and groups in memory. A topic comes into being, or grows, with `create` or when it is first written to."""

    def __init__(self, *, give_up_within_s: float = GIVE_UP_WITHIN_S) -> None:
        self._give_up_within_s = give_up_within_s
        self._records: dict[Partition, list[Record | None]] = {}
        self._starts: dict[Partition, int] = {}
        self._identities: dict[str, str] = {}
        self._numbers = itertools.count(1)
        self._available = True
        self._groups: dict[str, Group] = {}
        self._logs: dict[MemoryLog, Member] = {}

    @property
    def available(self) -> bool:
        """Whether the broker answers."""
        return self._available

    @available.setter
    def available(self, value: bool) -> None:
        self._available = value
        self._wake()

    def create(self, topic: str, partitions: int = 1) -> None:
        """Makes a topic, or lets it grow; its readers share it out anew. Idempotent."""
        if topic not in self._identities:
            self._identities[topic] = f"memory-{next(self._numbers)}"
        wanted = [Partition(topic, number) for number in range(partitions)]
        new = [at for at in wanted if at not in self._records]
        self._records.update((at, []) for at in new)
        if new:
            self._revoke(topic)

    def delete(self, topic: str) -> None:
        """Forgets a topic, its offsets and its identity."""
        self._identities.pop(topic, None)
        for at in [at for at in self._records if at.topic == topic]:
            del self._records[at]
            self._starts.pop(at, None)
        self._revoke(topic)

    def append(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Collection[tuple[str, bytes | None]] = (),
        partition: int = 0,
        timestamp_ms: int = 0,
        fault: str | None = None,
    ) -> Record:
        """Writes a record, and wakes readers."""
        at = Partition(topic, partition)
        if at not in self._records:
            self.create(topic, partition + 1)
        record = Record(topic, partition, self.end(at), key, value, tuple(headers), timestamp_ms, fault)
        self._records[at].append(record)
        self._wake()
        return record

    def begin(self, partition: Partition) -> int:
        """The offset of the first record that is still there, or would be."""
        return self._starts.get(partition, 0)

    def mark(self, partition: Partition) -> None:
        """Takes an offset for what is no record, as the end of a transaction does."""
        self._records[partition].append(None)
        self._wake()

    def drop_before(self, partition: Partition, offset: int) -> None:
        """Forgets the records before an offset, as retention does."""
        self._records[partition] = self._records[partition][offset - self._starts.get(partition, 0) :]
        self._starts[partition] = offset

    def partitions(self) -> list[Partition]:
        """All that exist."""
        return sorted(self._records)

    def end(self, partition: Partition) -> int:
        """The offset that the next record will have; 0 for a partition that is not there."""
        return self._starts.get(partition, 0) + len(self._records.get(partition, ()))

    def since(self, partition: Partition, offset: int, limit: int) -> list[Record]:
        """At most `limit` records from an offset on; from the start, when the offset is outside the log."""
        return self.read(partition, offset, limit)[0]

    def read(self, partition: Partition, offset: int, limit: int) -> tuple[list[Record], int]:
        """The same, and where to go on after them and what is no record behind them."""
        start = self._starts.get(partition, 0)
        if not start <= offset <= self.end(partition):
            offset = start
        found: list[Record] = []
        for record in self._records.get(partition, [])[offset - start :]:
            if record is not None:
                if len(found) == limit:
                    break
                found.append(record)
            offset += 1
        return found, offset

    def identity(self, topic: str) -> str | None:
        """What tells this topic from an earlier one of its name; None while there is none."""
        return self._identities.get(topic)

    def committed(self, group: str) -> Mapping[Partition, int]:
        """What a group has committed."""
        return dict(self._group(group).committed)

    def expire(self, log: MemoryLog) -> None:
        """Throws a member out as one that was silent for too long (a stopped process).

        It does not know: it goes on reading what is there, until it proves, joins, or waits for more.
        """
        member = self._logs[log]
        group = self._group(log.group)
        if member in group.members:
            group.members.remove(member)
            member.is_out = True
            group.revoke()
            group.share_out(self.partitions())

    def enter(self, log: MemoryLog, changed: asyncio.Event) -> tuple[Group, Member]:
        """The group of a log, and the log as one that is no member of it yet. Its event is set at every change from now on."""
        member = self._logs[log] = Member(changed)
        return self._group(log.group), member

    def _group(self, name: str) -> Group:
        return self._groups.setdefault(name, Group(self._give_up_within_s))

    def _revoke(self, topic: str) -> None:
        for group in self._groups.values():
            if any(topic in member.topics for member in group.members):
                group.revoke()
                group.share_out(self.partitions())
        self._wake()

    def _wake(self) -> None:
        for member in self._logs.values():
            member.changed.set()


class MemoryLog:
    """Implements `Log` over a `MemoryBroker`. Without a name its group is its own."""

    def __init__(self, broker: MemoryBroker, group: str | None = None) -> None:
        self.group = group or f"group-{id(self)}"
        self._broker = broker
        self._next: dict[Partition, int] = {}
        self._ends: dict[Partition, int] = {}
        self._changed = asyncio.Event()
        self._closed = False
        self._group, self._member = broker.enter(self, self._changed)

    async def join(self, topics: Sequence[str]) -> Assignment:
        self._answer()
        self._next, self._ends = {}, {}
        member, group = self._member, self._group
        held = member.share
        if held is not None and not self.is_revoked and not member.is_out and member.topics == frozenset(topics):
            return held
        group.enter(member, topics)
        try:
            while not self._closed:
                self._changed.clear()
                group.share_out(self._broker.partitions())
                if member.share is not None and not member.is_revoked:
                    return member.share
                self._answer()
                try:
                    async with asyncio.timeout(group.remaining_s):
                        await self._changed.wait()
                except TimeoutError:
                    group.throw_out_who_holds()
        except BaseException:
            self._leave()
            raise
        raise LogUnavailableError("the log is closed")

    @property
    def is_revoked(self) -> bool:
        return self._member.is_revoked

    async def prove(self, positions: Mapping[Partition, int]) -> bool:
        self._answer()
        if self._member.is_revoked or not self._group.owns(self._member, positions):
            self._member.is_revoked = True
            return False
        self._group.committed.update(positions)
        return True

    async def identities(self, partitions: Sequence[Partition]) -> dict[Partition, str]:
        self._answer()
        found = ((at, self._broker.identity(at.topic)) for at in partitions)
        return {at: identity for at, identity in found if identity is not None}

    async def start(self, positions: Mapping[Partition, int]) -> Mapping[Partition, int]:
        self._answer()
        self._next, self._ends = dict(positions), {}
        return {at: self._broker.begin(at) for at in positions}

    async def fetch(self, *, max_records: int, wait_ms: int) -> list[Record]:
        found = self._take(max_records)
        if found or self._is_over:
            return found
        try:
            async with asyncio.timeout(wait_ms / 1000):
                while not found and not self._is_over:
                    await self._changed.wait()
                    found = self._take(max_records)
        except TimeoutError:
            return []
        return found

    def reached(self) -> Mapping[Partition, int]:
        return dict(self._next)

    def ends(self) -> Mapping[Partition, int]:
        return dict(self._ends)

    async def close(self) -> None:
        self._closed = True
        self._leave()
        self._changed.set()

    @property
    def _is_over(self) -> bool:
        """Whether there is nothing to wait for; one who was thrown out learns it here, as from a heartbeat."""
        self._member.is_revoked |= self._member.is_out
        return self._closed or self._member.is_revoked

    def _leave(self) -> None:
        self._member.share = None
        self._group.leave(self._member)
        self._group.share_out(self._broker.partitions())

    def _take(self, limit: int) -> list[Record]:
        self._changed.clear()
        self._answer()
        if self._closed or self._member.is_revoked:
            return []
        found: list[Record] = []
        for at, offset in self._next.items():
            records, self._next[at] = self._broker.read(at, offset, limit - len(found))
            found += records
            self._ends[at] = self._broker.end(at)
        return found

    def _answer(self) -> None:
        if not self._broker.available:
            raise LogUnavailableError("the broker in memory is switched off")
