"""The log on Kafka's protocol: partitions assigned by hand, without a consumer group and without commits.

Invariants: while the broker is away every call raises within a bound, and the next `assign` starts from a fresh connection; a
position outside what the log holds goes on from the log's start; a record that the protocol's own encoding spoils comes with a
`fault`, and the records around it come as they are.

Limit: the identity of a topic is not checked. A topic that was deleted and made anew is noticed only while it is shorter than the
stored position; once it has grown past it, reading goes on at that offset and the new topic's earlier records are skipped. So raise
the projection's version when a topic is made anew.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import CorruptRecordException, KafkaError

from projections.errors import LogUnavailableError
from projections.log.port import Partition
from projections.log.salvage import salvage
from projections.pause import event_within
from projections.record import Record

logger = logging.getLogger(__name__)

FETCH_MAX_WAIT_MS: Final = 100
"""How long the broker holds an empty answer back. Apache Kafka answers as soon as there is a record; Tansu looks twice in this
time, so there it is also twice the latency. A partition that was read late joins the next request: it waits as long.
"""
CALL_TIMEOUT_S: Final = 5.0
SILENCE_S: Final = 2.0
"""After so long without any answer to a fetch the broker counts as away: 20 times as long as it usually holds one back."""
CORRUPT_LOG_S: Final = 30.0
"""How often a place in the log that cannot be read is told again."""


class KafkaLog:
    """Implements `Log`. Connections are opened by the first call that needs one."""

    def __init__(
        self,
        bootstrap: str,
        *,
        client_id: str = "headrace",
        fetch_max_wait_ms: int = FETCH_MAX_WAIT_MS,
        silence_s: float = SILENCE_S,
    ) -> None:
        self._bootstrap = bootstrap
        self._fetch_max_wait_ms = fetch_max_wait_ms
        self._client_id = client_id
        self._silence_s = silence_s
        self._lister: AIOKafkaClient | None = None
        self._consumer: AIOKafkaConsumer | None = None
        self._next: dict[TopicPartition, int] = {}
        self._answered = _LastAnswer()
        self._corrupt_log_due_s = 0.0
        self._closed = asyncio.Event()

    async def partitions(self, topics: Sequence[str]) -> list[Partition]:
        try:
            async with self._bounded("list topics"):
                if self._lister is None:
                    self._lister = AIOKafkaClient(bootstrap_servers=self._bootstrap, client_id=self._client_id)
                    await self._lister.bootstrap()
                # All topics: to ask for one by name may create it.
                cluster = await self._lister.fetch_all_metadata()
        except (LogUnavailableError, asyncio.CancelledError):
            lister, self._lister = self._lister, None
            if lister is not None:
                await lister.close()
            raise
        return sorted(
            Partition(topic, number) for topic in set(topics) for number in cluster.partitions_for_topic(topic) or ()
        )

    async def assign(self, positions: Mapping[Partition, int]) -> None:
        self._next = {_topic_partition(at): offset for at, offset in positions.items()}
        self._answered = _LastAnswer()
        if not positions:
            await self._stop_consumer()
            return
        try:
            async with self._bounded("assign partitions"):
                if self._consumer is None:
                    self._consumer = self._new_consumer()
                    await self._consumer.start()
                self._consumer.assign(list(self._next))
                for at, offset in self._next.items():
                    self._consumer.seek(at, offset)
        except (LogUnavailableError, asyncio.CancelledError):
            await self._stop_consumer()
            raise

    async def fetch(self, *, max_records: int, wait_ms: int) -> list[Record]:
        if self._consumer is None or self._closed.is_set():
            return await self._idle(wait_ms)
        try:
            try:
                batches = await self._consumer.getmany(timeout_ms=wait_ms, max_records=max_records)
            except Exception as error:  # its reader raises UnicodeDecodeError and the errors of each codec, too
                if isinstance(error, KafkaError) and not isinstance(error, CorruptRecordException):
                    raise
                return await self._salvaged(self._consumer, max_records, wait_ms)
        except KafkaError as error:
            await self._stop_consumer()
            raise LogUnavailableError(f"the broker failed a fetch: {error}") from error
        if self._closed.is_set():
            return []
        for at, records in batches.items():
            self._next[at] = records[-1].offset + 1
        self._rewind_what_is_beyond_the_end()
        if self._answered.silent_s(self._consumer, self._next, got=bool(batches)) > self._silence_s:
            await self._stop_consumer()
            raise LogUnavailableError(f"the broker at {self._bootstrap} did not answer for {self._silence_s:g} s")
        return [_record(record) for records in batches.values() for record in records]

    async def seek(self, partition: Partition, offset: int) -> None:
        at = _topic_partition(partition)
        self._next[at] = offset
        if self._consumer is not None:
            self._consumer.seek(at, offset)

    def ends(self) -> Mapping[Partition, int]:
        if self._consumer is None:
            return {}
        found = ((at, self._consumer.highwater(at)) for at in self._next)
        return {Partition(at.topic, at.partition): end for at, end in found if end is not None}

    async def close(self) -> None:
        self._closed.set()
        await self._stop_consumer()
        lister, self._lister = self._lister, None
        if lister is not None:
            await lister.close()

    def _new_consumer(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            client_id=self._client_id,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            fetch_max_wait_ms=self._fetch_max_wait_ms,
            request_timeout_ms=int(CALL_TIMEOUT_S * 1000),
        )

    async def _stop_consumer(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is None:
            return
        async with asyncio.TaskGroup() as group:
            stopping = group.create_task(consumer.stop())
        if stopping.cancelled():
            # aiokafka 0.14: Fetcher.close lets the CancelledError of a fetch that was backing off out, before the client is closed.
            await consumer._client.close()

    async def _salvaged(self, consumer: AIOKafkaConsumer, max_records: int, wait_ms: int) -> list[Record]:
        """A fetch without aiokafka's reader, which does not say which partition it failed at: each has its share of the records.

        A record set whose checksum or frame is broken cannot be stepped over without losing records: its partition waits, told
        every CORRUPT_LOG_S, and the others go on.
        """
        found: list[Record] = []
        corrupt: list[str] = []
        for at in random.sample(list(self._next), len(self._next)):
            limit = min(max(1, max_records // len(self._next)), max_records - len(found))
            if limit == 0:
                break
            part = await salvage(consumer._client, at, self._next[at], limit)
            found += part.records
            if part.corrupt is not None:
                corrupt.append(f"{at.topic}/{at.partition}/{part.next} ({part.corrupt})")
            if part.next != self._next[at]:
                self._next[at] = part.next
                consumer.seek(at, part.next)
        for record in found:
            if record.fault is not None:
                place = f"{record.topic}/{record.partition}/{record.offset}"
                logger.error("%s cannot be read whole: %s; it is handed on as unreadable", place, record.fault)
        now_s = time.monotonic()
        if corrupt and now_s >= self._corrupt_log_due_s:
            self._corrupt_log_due_s = now_s + CORRUPT_LOG_S
            logger.error("the log is corrupt at %s; nothing is skipped: waiting there", ", ".join(corrupt))
        return found or await self._idle(wait_ms)

    async def _idle(self, wait_ms: int) -> list[Record]:
        """Nothing is assigned: an empty log, for the time of a fetch."""
        await event_within(self._closed, wait_ms / 1000)
        return []

    def _rewind_what_is_beyond_the_end(self) -> None:
        """Apache Kafka refuses such a position (and aiokafka resets it), Tansu answers it with nothing for ever."""
        assert self._consumer is not None  # noqa: S101 - the caller has it
        for at, offset in self._next.items():
            end = self._consumer.highwater(at)
            if end is not None and end < offset:
                logger.warning("%s/%s ends at %s, before position %s: read from its start", *at, end, offset)
                self._next[at] = 0
                self._consumer.seek(at, 0)

    @asynccontextmanager
    async def _bounded(self, what: str) -> AsyncGenerator[None]:
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                yield
        except TimeoutError:
            raise LogUnavailableError(
                f"cannot {what}: no answer from {self._bootstrap} in {CALL_TIMEOUT_S:g} s"
            ) from None
        except (KafkaError, OSError) as error:
            raise LogUnavailableError(f"cannot {what} at {self._bootstrap}: {error}") from error


class _LastAnswer:
    """When any assigned partition last answered a fetch. Time with records to hand over counts as answered."""

    def __init__(self) -> None:
        self._stamp = -1
        self._at_s = time.monotonic()

    def silent_s(self, consumer: AIOKafkaConsumer, assigned: Mapping[TopicPartition, int], *, got: bool) -> float:
        """Seconds since then."""
        now_s = time.monotonic()
        stamp = max(consumer.last_poll_timestamp(at) or 0 for at in assigned)
        if got or stamp != self._stamp:
            self._stamp = stamp
            self._at_s = now_s
        return now_s - self._at_s


def _topic_partition(partition: Partition) -> TopicPartition:
    return TopicPartition(partition.topic, partition.number)


def _record(record: ConsumerRecord[bytes | None, bytes | None]) -> Record:
    return Record(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=record.key,
        value=record.value,
        headers=tuple(record.headers),
        timestamp_ms=record.timestamp,
    )
