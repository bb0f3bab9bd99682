"""Reads some partitions of a consumer's share, from the offsets that it is given.

Invariants: records of a partition come in the order of the log; a position outside what the log holds goes on from the log's start;
a record that the protocol's own encoding spoils comes with a `fault`, and the records around it come as they are.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, cast

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.errors import CorruptRecordException, KafkaError

from projections.errors import LogUnavailableError
from projections.log.salvage import salvage
from projections.record import Headers, Record, split

logger = logging.getLogger(__name__)

STUCK_S: Final = 10.0
"""After so long without an answer to a fetch, from a broker that answers otherwise, everything is begun anew."""
OVERTIME_S: Final = 0.1
"""How much longer than asked a fetch may take before it is cut off: aiokafka waits for ever while its group is rebalancing."""
CORRUPT_LOG_S: Final = 30.0
"""How often a place in the log that cannot be read is told again."""


class Reading:
    """Begins where it is told to; all else that the consumer is assigned stays paused."""

    def __init__(self, consumer: AIOKafkaConsumer, positions: Mapping[TopicPartition, int]) -> None:
        self._consumer = consumer
        self._next = dict(positions)
        self._answered = _LastAnswer()
        self._corrupt_log_due_s = 0.0
        consumer.pause(*consumer.assignment())
        for at, offset in positions.items():
            consumer.seek(at, offset)
        consumer.resume(*positions)

    def reached(self) -> dict[TopicPartition, int]:
        """Where each partition has been read to: aiokafka's position passes marks of transactions, and what is gone."""
        assigned = self._consumer.assignment()
        for at in self._next.keys() & assigned:
            state = self._consumer._subscription.subscription.assignment.state_value(at)
            if state.has_valid_position:
                self._next[at] = max(self._next[at], state.position)
        return dict(self._next)

    def ends(self) -> dict[TopicPartition, int]:
        """The end of each partition that has answered, as far as committed records are there to be read."""
        found: dict[TopicPartition, int] = {}
        for at in self._next.keys() & self._consumer.assignment():
            end, stable = self._consumer.highwater(at), self._consumer.last_stable_offset(at)
            if end is not None:
                found[at] = end if stable is None or stable < 0 else min(end, stable)
        return found

    async def take(self, max_records: int, wait_s: float) -> list[Record]:
        """The next records, at most `max_records`, or none after `wait_s`. Raises KafkaError, LogUnavailableError."""
        if not self._next:
            await asyncio.sleep(wait_s)
            return []
        self._read_at_once()
        try:
            async with asyncio.timeout(wait_s + OVERTIME_S):
                batches = await self._consumer.getmany(timeout_ms=int(wait_s * 1000), max_records=max_records)
        except TimeoutError:
            return []
        except Exception as error:  # its reader raises UnicodeDecodeError and the errors of each codec, too
            if isinstance(error, KafkaError) and not isinstance(error, CorruptRecordException):
                raise
            return await self._salvaged(max_records, wait_s)
        for at, records in batches.items():
            self._next[at] = records[-1].offset + 1
        if not self._consumer.assignment() >= self._next.keys():
            return []
        self._rewind_what_is_beyond_the_end()
        if self._answered.silent_s(self._consumer, self._next, got=bool(batches)) > STUCK_S:
            raise LogUnavailableError(f"no fetch was answered for {STUCK_S:g} s")
        return [record for found in batches.values() for record in _records(found)]

    def _read_at_once(self) -> None:
        """Has aiokafka make a `Record` of each record that it has fetched, without its own kind in between: a third of a fetch."""
        for fetched in self._consumer._fetcher._records.values():
            found = getattr(fetched, "_partition_records", None)  # an error has none
            if type(found) is PartitionRecords:
                found.__class__ = _Records

    async def _salvaged(self, max_records: int, wait_s: float) -> list[Record]:
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
            part = await salvage(self._consumer._client, at, self._next[at], limit)
            found += part.records
            if part.corrupt is not None:
                corrupt.append(f"{at.topic}/{at.partition}/{part.next} ({part.corrupt})")
            if part.next != self._next[at]:
                self._next[at] = part.next
                self._consumer.seek(at, part.next)
        for record in found:
            if record.fault is not None:
                place = f"{record.topic}/{record.partition}/{record.offset}"
                logger.error("%s cannot be read whole: %s; it is handed on as unreadable", place, record.fault)
        now_s = time.monotonic()
        if corrupt and now_s >= self._corrupt_log_due_s:
            self._corrupt_log_due_s = now_s + CORRUPT_LOG_S
            logger.error("the log is corrupt at %s; nothing is skipped: waiting there", ", ".join(corrupt))
        if not found:
            await asyncio.sleep(wait_s)
        return found

    def _rewind_what_is_beyond_the_end(self) -> None:
        """Apache Kafka refuses such a position (and aiokafka resets it), Tansu answers it with nothing for ever."""
        for at, offset in self._next.items():
            end = self._consumer.highwater(at)
            if end is not None and end < offset:
                logger.warning("%s/%s ends at %s, before position %s: read from its start", *at, end, offset)
                self._next[at] = 0
                self._consumer.seek(at, 0)


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


class _Records(PartitionRecords):  # type: ignore[misc]  # aiokafka has no types
    """Yields our records. One that is being read already goes over to it with its next record."""

    _names: tuple[str, ...] = ()
    """Of the headers of the last record: those of the next are nearly always the same, and need not be kept twice."""

    def _consumer_record(self, tp: TopicPartition, record: Any) -> Record:
        names, values = split(record.headers)
        if names != self._names:
            self._names = names
        found = Headers(self._names, values)
        return Record(tp.topic, tp.partition, record.offset, record.key, record.value, found, record.timestamp)


def _records(found: Sequence[Record | ConsumerRecord[bytes | None, bytes | None]]) -> Iterable[Record]:
    """Of what came in while `getmany` waited aiokafka has made records of its own kind."""
    if type(found[0]) is Record and type(found[-1]) is Record:
        return cast("Sequence[Record]", found)
    return map(_record, found)


def _record(record: Record | ConsumerRecord[bytes | None, bytes | None]) -> Record:
    if isinstance(record, Record):
        return record
    found = Headers(*split(record.headers))
    return Record(record.topic, record.partition, record.offset, record.key, record.value, found, record.timestamp)
