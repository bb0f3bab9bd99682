"""The log on Kafka's protocol: a member of a consumer group, whose partitions are read from where the caller says.

Invariants: topics are never created by asking for them; nothing is fetched before `start`; while the broker is away every call
raises within a bound, and the next `join` starts from a fresh connection.

The share is taken away by the group (another member, a topic that appears, grows or vanishes) and, without the group, when a topic
of the share was made anew: its identity is then another.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from projections.errors import LogUnavailableError
from projections.log.departure import depart
from projections.log.membership import Membership, Share
from projections.log.port import Assignment, Partition
from projections.log.reading import Reading
from projections.log.watch import Watch
from projections.pause import event_within
from projections.record import Record

logger = logging.getLogger(__name__)

FETCH_MAX_WAIT_MS: Final = 100
"""How long the broker holds an empty answer back. Apache Kafka answers as soon as there is a record; Tansu looks twice in this
time, so there it is also twice the latency. A partition that was read late joins the next request: it waits as long.
"""
CALL_TIMEOUT_S: Final = 5.0
SILENCE_S: Final = 2.0
"""After so long without an answer the broker counts as away."""
SESSION_TIMEOUT_MS: Final = 10_000
"""After so long without a sign of life the group gives a member's share away; brokers take 6 s at least."""
GIVE_UP_WITHIN_S: Final = 3.0
"""How long a revoke waits for the change that is under way: the longest that the store may take to answer, and some more.
Tansu waits for half a session at most, and then gives the share away.
"""
JOIN_TIMEOUT_S: Final = 30.0
"""A group waits for the session of a dead member, and for one that does not come back for as long and GIVE_UP_WITHIN_S."""
SLICE_S: Final = 0.05
"""How soon a fetch that waits notices a revoke."""
NO_POLL_LIMIT_MS: Final = 24 * 3_600_000
"""A consumer that waits for the store or for an operator stays a member: every other one would have to wait as well."""


class KafkaLog:
    """Implements `Log`. Connections are opened by `join`."""

    def __init__(
        self,
        bootstrap: str,
        *,
        group: str,
        client_id: str = "headrace",
        fetch_max_wait_ms: int = FETCH_MAX_WAIT_MS,
        silence_s: float = SILENCE_S,
        session_timeout_ms: int = SESSION_TIMEOUT_MS,
        give_up_within_s: float = GIVE_UP_WITHIN_S,
    ) -> None:
        self._bootstrap = bootstrap
        self._group = group
        self._client_id = client_id
        self._fetch_max_wait_ms = fetch_max_wait_ms
        self._silence_s = silence_s
        self._session_timeout_ms = session_timeout_ms
        self._give_up_within_s = give_up_within_s
        self._consumer: AIOKafkaConsumer | None = None
        self._membership: Membership | None = None
        self._watch = Watch((), silence_s)
        self._ids: dict[str, str | None] = {}
        self._reading: Reading | None = None
        self._closed = asyncio.Event()

    async def join(self, topics: Sequence[str]) -> Assignment:
        self._reading = None
        if self._watch.names != frozenset(topics):
            await self._stop()
            self._watch = Watch(topics, self._silence_s)
        try:
            async with self._bounded("join the group", JOIN_TIMEOUT_S):
                if self._membership is None:
                    self._membership = await self._enter()
                share = await self._taken(self._membership)
        except (LogUnavailableError, asyncio.CancelledError):
            await self._stop()
            raise
        seen = self._watch.seen
        self._ids = {at.topic: seen[at.topic].id for at in share.own if at.topic in seen}
        own = sorted(Partition(at.topic, at.partition) for at in share.own)
        known = {Partition(name, number) for name, topic in seen.items() for number in range(topic.partitions)}
        known.update(own)
        return Assignment(own, sorted(known), sorted(self._watch.names - {at.topic for at in known}))

    @property
    def is_revoked(self) -> bool:
        return self._membership is None or self._membership.is_revoked

    async def prove(self, positions: Mapping[Partition, int]) -> bool:
        consumer, membership = self._consumer, self._membership
        if consumer is None or membership is None or membership.held is None:
            return False
        share, offsets = membership.held, {_topic_partition(at): offset for at, offset in positions.items()}
        # aiokafka sends whatever generation it is in by then, even none at all, which an empty group takes: hence before and after.
        proven = membership.is_current(share) and share.own >= offsets.keys()
        if proven and offsets:
            try:
                async with self._bounded("commit", CALL_TIMEOUT_S):
                    await consumer.commit(offsets)
            except (CommitFailedError, IllegalStateError):
                proven = False
        if not (proven and membership.is_current(share)):
            membership.rejoin()
            return False
        return True

    async def identities(self, partitions: Sequence[Partition]) -> dict[Partition, str]:
        if self._consumer is None:
            raise LogUnavailableError("identities are asked for by a member")
        async with self._bounded("list topics", CALL_TIMEOUT_S):
            while not await self._watch.look(self._consumer._client):
                await event_within(self._closed, SLICE_S)
        seen = self._watch.seen
        found = ((at, seen[at.topic].id) for at in partitions if at.topic in seen)
        return {at: identity for at, identity in found if identity is not None}

    async def start(self, positions: Mapping[Partition, int]) -> Mapping[Partition, int]:
        share, consumer = self._current_share(), self._consumer
        if consumer is None or share is None:
            return {}
        offsets = {_topic_partition(at): offset for at, offset in positions.items()}
        own = {at: offset for at, offset in offsets.items() if at in share.own}
        async with self._bounded("ask where the log begins", CALL_TIMEOUT_S):
            begin = await consumer.beginning_offsets(list(own)) if own else {}
        if self._current_share() is share:
            self._reading = Reading(consumer, own)
        return {Partition(at.topic, at.partition): offset for at, offset in begin.items()}

    async def fetch(self, *, max_records: int, wait_ms: int) -> list[Record]:
        deadline_s = time.monotonic() + wait_ms / 1000
        while (share := self._current_share()) is not None:
            wait_s = max(0.0, min(SLICE_S, deadline_s - time.monotonic()))
            try:
                await self._look()
                if self._reading is None:
                    records = await self._idle(wait_s)
                else:
                    records = await self._reading.take(max_records, wait_s)
            except (LogUnavailableError, KafkaError) as error:
                if self._current_share() is not share:
                    break
                await self._stop()
                raise LogUnavailableError(f"the broker at {self._bootstrap} failed a fetch: {error}") from error
            if records or time.monotonic() >= deadline_s:
                return records
        await asyncio.sleep(0)  # a caller in a loop must not keep the coordinator from running
        return []

    def reached(self) -> Mapping[Partition, int]:
        reached = self._reading.reached() if self._reading is not None else {}
        return {Partition(at.topic, at.partition): offset for at, offset in reached.items()}

    def ends(self) -> Mapping[Partition, int]:
        ends = self._reading.ends() if self._reading is not None else {}
        return {Partition(at.topic, at.partition): end for at, end in ends.items()}

    async def close(self) -> None:
        self._closed.set()
        if self._membership is not None:
            self._membership.ask()
        await self._stop()

    async def _enter(self) -> Membership:
        rebalance_timeout_ms = self._session_timeout_ms + int(self._give_up_within_s * 1000)
        self._consumer = consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            client_id=self._client_id,
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            fetch_max_wait_ms=self._fetch_max_wait_ms,
            request_timeout_ms=rebalance_timeout_ms + int(CALL_TIMEOUT_S * 1000),  # a join is one request
            session_timeout_ms=self._session_timeout_ms,
            heartbeat_interval_ms=self._session_timeout_ms // 10,
            max_poll_interval_ms=NO_POLL_LIMIT_MS,
            rebalance_timeout_ms=rebalance_timeout_ms,
        )
        async with self._bounded("reach the broker", CALL_TIMEOUT_S):
            await consumer.start()
        membership = Membership(consumer, self._give_up_within_s)
        # By pattern: aiokafka then lists all topics, while to ask for one by name may create it.
        names = "|".join(re.escape(name) for name in sorted(self._watch.names))
        consumer.subscribe(pattern=rf"(?:{names})\Z", listener=membership)
        return membership

    async def _taken(self, membership: Membership) -> Share:
        """The share of the present generation, as soon as there is one."""
        consumer = self._consumer
        assert consumer is not None  # noqa: S101 - the caller has it
        if self.is_revoked:
            membership.give_up()
        else:
            consumer.pause(*consumer.assignment())
        looked = False
        while not self._closed.is_set():
            if not looked or self._watch.is_due:
                looked |= await self._watch.look(consumer._client)
            consumer._coordinator.check_errors()
            share = membership.take() if looked else None
            if share is not None:
                return share
            await event_within(membership.changed, SLICE_S)
        raise LogUnavailableError("the log is closed")

    async def _stop(self) -> None:
        consumer, self._consumer = self._consumer, None
        membership, self._membership = self._membership, None
        self._reading = None
        if membership is not None:
            membership.give_up()
        if consumer is not None:
            await depart(consumer)

    def _current_share(self) -> Share | None:
        """The share that the reader has, as long as nobody asks for it."""
        membership = self._membership
        if membership is None or membership.is_revoked or self._closed.is_set():
            return None
        return membership.held

    async def _look(self) -> None:
        """Takes the share away when one of its topics has been made anew."""
        if self._consumer is None or self._membership is None or not self._watch.is_due:
            return
        await self._watch.look(self._consumer._client)
        for name, identity in self._ids.items():
            topic = self._watch.seen.get(name)
            if topic is not None and identity is not None and topic.id not in (None, identity):
                logger.warning("topic %s was made anew", name)
                self._membership.ask()

    async def _idle(self, wait_s: float) -> list[Record]:
        """Nothing is read: an empty log, for the time of a fetch."""
        await event_within(self._closed, wait_s)
        return []

    @asynccontextmanager
    async def _bounded(self, what: str, within_s: float) -> AsyncGenerator[None]:
        try:
            async with asyncio.timeout(within_s):
                yield
        except TimeoutError:
            raise LogUnavailableError(f"cannot {what}: no answer from {self._bootstrap} in {within_s:g} s") from None
        except (CommitFailedError, IllegalStateError):
            raise
        except (KafkaError, OSError) as error:
            raise LogUnavailableError(f"cannot {what} at {self._bootstrap}: {error}") from error


def _topic_partition(partition: Partition) -> TopicPartition:
    return TopicPartition(partition.topic, partition.number)
