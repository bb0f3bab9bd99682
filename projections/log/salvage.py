"""Reads the record sets that aiokafka cannot: each record by the frame around it, so that a broken one spoils no other.

Invariants: a record is given up (`Record.fault`) only where its frame and its offset are sound and the checksum of its record set
holds; where they are not, nothing is skipped and the position stays. Aborted transactions and control records are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.errors import CorruptRecordException, KafkaError, LeaderNotAvailableError, for_code
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.util import decode_varint

from projections.record import Record

MAX_BYTES: Final = 1 << 20
"""As much as aiokafka asks for per partition; the broker gives one record set whole, however large."""
FETCH_WAIT_MS: Final = 1
_LENGTH: Final = slice(8, 12)
_HEAD: Final = 12
_MAGIC: Final = 16
_BATCH_HEAD: Final = _DefaultRecordBatchPy.HEADER_STRUCT.size


class Salvaged(NamedTuple):
    """Records of a partition, and where to go on. `corrupt` says why it does not go on from there, None when it does."""

    records: list[Record]
    next: int
    corrupt: str | None


async def salvage(client: AIOKafkaClient, at: TopicPartition, offset: int, max_records: int) -> Salvaged:
    """Reads a partition from an offset on, past aiokafka's own reader. Raises KafkaError when the broker fails."""
    leader = client.cluster.leader_for_partition(at)
    if leader is None or leader == -1:
        raise LeaderNotAvailableError(at)
    topics = [(at.topic, [(at.partition, offset, MAX_BYTES)])]
    response = await client.send(leader, FetchRequest(FETCH_WAIT_MS, 1, MAX_BYTES, READ_COMMITTED, topics))
    for _, partitions in response.topics:
        for _, code, _, *rest in partitions:
            if code:
                raise for_code(code)(at)
            place = 2 if response.API_VERSION >= 11 else -2
            aborted = rest[place] if response.API_VERSION >= 4 else None
            return read(at, rest[-1], aborted, offset, max_records)
    return Salvaged([], offset, None)


def read(
    at: TopicPartition, data: bytes, aborted: list[tuple[int, int]] | None, offset: int, max_records: int
) -> Salvaged:
    """The records in the bytes of a fetch, from an offset on. `aborted` is the broker's list of (producer, first offset)."""
    found = _Reader(at, _Batches(data), aborted, offset, None, None, True, READ_COMMITTED)
    records: list[Record] = []
    try:
        for record in found:
            records.append(record)
            if len(records) == max_records:
                break
    except CorruptRecordException as error:
        return Salvaged(records, found.next_fetch_offset, str(error))
    return Salvaged(records, found.next_fetch_offset, None)


class _Reader(PartitionRecords):  # type: ignore[misc]  # aiokafka has no types
    """aiokafka's rules of what is skipped, over batches that are read record by record."""

    def _consumer_record(self, tp: TopicPartition, record: _Entry) -> Record:
        return Record(tp.topic, tp.partition, *record)


class _Batches:
    """Cuts the bytes of a fetch into record sets; the last one may be cut off and is then left for the next fetch."""

    def __init__(self, data: bytes) -> None:
        self._rest = memoryview(data)

    def _size(self) -> int:
        return _HEAD + int.from_bytes(self._rest[_LENGTH], signed=True)

    def has_next(self) -> bool:
        return len(self._rest) > _MAGIC and len(self._rest) >= self._size()

    def next_batch(self) -> _Batch:
        size = self._size()
        if size < _BATCH_HEAD or self._rest[_MAGIC] != 2:
            raise CorruptRecordException("a record set that is not of format 2")
        data, self._rest = self._rest[:size], self._rest[size:]
        return _Batch(data)


class _Entry(NamedTuple):
    """A record of a set, in the order of the fields of `Record` behind topic and partition."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    timestamp_ms: int
    fault: str | None


class _Batch:
    """One record set, with the attributes that `PartitionRecords` asks for."""

    def __init__(self, data: memoryview) -> None:
        self._strict: Any = _DefaultRecordBatchPy(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._strict, name)

    def __next__(self) -> Any:
        return next(iter(self._strict))

    def __iter__(self) -> Iterator[_Entry]:
        try:
            iter(self._strict)  # decompresses
        except KafkaError:  # a codec that is not installed here
            raise
        except Exception as error:  # each codec has errors of its own
            raise CorruptRecordException(f"a record set that cannot be decompressed: {error}") from error
        buffer, position = bytearray(self._strict._buffer), self._strict._pos
        for _ in range(self._strict._num_records):
            try:
                length, start = decode_varint(buffer, position)
            except (ValueError, IndexError) as error:
                raise CorruptRecordException(f"a record without a length: {error}") from error
            position = start + length
            if length < 0 or position > len(buffer):
                raise CorruptRecordException("a record that is longer than its record set")
            yield self._entry(buffer[start:position])

    def _entry(self, frame: bytearray) -> _Entry:
        try:
            since_first, position = decode_varint(frame, 1)
            delta, position = decode_varint(frame, position)
        except (ValueError, IndexError) as error:
            raise CorruptRecordException(f"a record without an offset: {error}") from error
        if not 0 <= delta <= self._strict.last_offset_delta:
            raise CorruptRecordException("a record with an offset outside its record set")
        appended = self._strict.timestamp_type == self._strict.LOG_APPEND_TIME
        time_ms = self._strict.max_timestamp if appended else self._strict.first_timestamp + since_first
        offset = self._strict.base_offset + delta
        try:
            return _Entry(offset, *_contents(frame, position, time_ms))
        except (ValueError, IndexError) as error:  # the frame is kept whole, as the value
            return _Entry(offset, None, bytes(frame), (), time_ms, f"the record's structure is broken: {error}")


def _contents(
    frame: bytearray, position: int, time_ms: int
) -> tuple[bytes | None, bytes | None, tuple[tuple[str, bytes | None], ...], int, str | None]:
    """What follows the offset in a frame, as in `_Entry`. Raises ValueError, IndexError."""
    key, position = _bytes(frame, position)
    value, position = _bytes(frame, position)
    count, position = decode_varint(frame, position)
    if not 0 <= count <= len(frame):
        raise ValueError(f"{count} headers")
    headers: list[tuple[str, bytes | None]] = []
    fault: str | None = None
    for _ in range(count):
        name, position = _bytes(frame, position)
        content, position = _bytes(frame, position)
        if name is None:
            raise ValueError("a header without a name")
        try:
            headers.append((name.decode(), content))
        except UnicodeDecodeError:
            headers.append((name.decode(errors="backslashreplace"), content))
            fault = f"header name {name[:40]!r} is not UTF-8"
    if position != len(frame):
        raise ValueError("bytes behind the last header")
    return key, value, tuple(headers), time_ms, fault


def _bytes(frame: bytearray, position: int) -> tuple[bytes | None, int]:
    """A length and so many bytes; None for the length -1."""
    length, position = decode_varint(frame, position)
    if length < 0:
        return None, position
    if position + length > len(frame):
        raise ValueError("a field that is longer than its record")
    return bytes(frame[position : position + length]), position + length
