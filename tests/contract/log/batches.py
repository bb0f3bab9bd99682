"""Record sets as bytes, with what no client library would write."""

from collections.abc import Sequence
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

NONE, GZIP = 0, 1
Item = tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]]]


class NotUtf8(str):
    """A header name that is written as bytes that are not UTF-8."""

    __slots__ = ()

    def encode(self, *_: Any) -> bytes:
        return b"\xff\xfe"


def record_set(items: Sequence[Item], *, codec: int = NONE) -> bytearray:
    """Records (key, value, headers) with offsets from 0, as one set."""
    builder = _DefaultRecordBatchBuilderPy(2, codec, 0, -1, -1, -1, 1 << 20)
    for offset, (key, value, headers) in enumerate(items):
        builder.append(offset, 1_000 + offset, key, value, headers)
    built: bytearray = builder.build()
    return built


def based_at(data: bytearray, offset: int) -> bytes:
    """The set as a broker hands it out; the offset is not a part of what its checksum covers."""
    return offset.to_bytes(8) + bytes(data[8:])


async def produce(bootstrap: str, topic: str, partition: int, data: bytes | bytearray) -> None:
    """Writes a set to a broker as it is."""
    client = AIOKafkaClient(bootstrap_servers=bootstrap)
    await client.bootstrap()
    try:
        cluster = await client.fetch_all_metadata()
        leader = next(iter(cluster.brokers())).nodeId
        answer = await client.send(leader, ProduceRequest(None, -1, 5_000, [(topic, [(partition, bytes(data))])]))
        [(_, [(_, code, *_)])] = answer.topics
        assert code == 0
    finally:
        await client.close()
