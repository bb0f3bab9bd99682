"""Which partitions topics have, and which topic it is that has the name: the broker's metadata with topic ids.

Invariants: asking creates no topic; only the topics that are asked for are listed, so that it stays cheap on a large cluster.

aiokafka 0.14 knows this request up to version 5, which has no ids, and lets it create what it asks for; version 10 is put together
here from aiokafka's own types.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    KafkaConnectionError,
    LeaderNotAvailableError,
    NoError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Boolean, CompactArray, CompactString, Int16, Int32, Schema, TaggedFields

from projections.log.departure import ASIDE

NO_ID: Final = uuid.UUID(int=0)
_NOT_THERE: Final = (UnknownTopicOrPartitionError, LeaderNotAvailableError)


@dataclass(frozen=True)
class Topic:
    """A topic that is there: how many partitions it has, and its id (None when the broker gives it none)."""

    partitions: int
    id: str | None


class _Uuid:
    """16 bytes."""

    def encode(self, value: uuid.UUID) -> bytes:
        return value.bytes

    def decode(self, data: BytesIO) -> uuid.UUID:
        return uuid.UUID(bytes=data.read(16))

    def repr(self, value: uuid.UUID) -> str:
        return str(value)


def _list_of(*fields: tuple[str, Any]) -> Any:
    return CompactArray(*fields, ("tags", TaggedFields))


# CompactArray takes instances of aiokafka's own classes only, bare; inside of a schema anything that encodes and decodes will do.
class _Listing(Response):  # type: ignore[misc]  # aiokafka has no types
    API_KEY = 3
    API_VERSION = 10
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            _list_of(("id", Int32), ("host", CompactString()), ("port", Int32), ("rack", CompactString())),
        ),
        ("cluster_id", CompactString()),
        ("controller_id", Int32),
        (
            "topics",
            _list_of(
                ("error_code", Int16),
                ("name", CompactString()),
                ("id", _Uuid()),
                ("is_internal", Boolean),
                (
                    "partitions",
                    _list_of(
                        ("error_code", Int16),
                        ("number", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("in_sync", CompactArray(Int32)),
                        ("offline", CompactArray(Int32)),
                    ),
                ),
                ("operations", Int32),
            ),
        ),
        ("cluster_operations", Int32),
        ("tags", TaggedFields),
    )


class _Question(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 10
    RESPONSE_TYPE = _Listing
    SCHEMA = Schema(
        ("topics", _list_of(("id", _Uuid()), ("name", CompactString()))),
        ("may_create", Boolean),
        ("with_cluster_operations", Boolean),
        ("with_operations", Boolean),
        ("tags", TaggedFields),
    )


class TopicsRequest(Request[_Question]):  # type: ignore[misc]
    """Metadata of some topics by name, version 10; an older broker makes `send` raise NotImplementedError."""

    API_KEY = 3
    _CLASSES = (_Question,)

    def __init__(self, names: Iterable[str]) -> None:
        self._names = sorted(names)

    def build(self, request_struct_class: type[_Question]) -> _Question:
        return request_struct_class([(NO_ID, name, {}) for name in self._names], False, False, False, {})


async def topics_of(client: AIOKafkaClient, names: Iterable[str]) -> Mapping[str, Topic]:
    """Those of the topics that are there. Raises KafkaError, OSError, and NotImplementedError for a broker that knows no ids."""
    node = client.get_random_node()
    if node is None:
        raise KafkaConnectionError("no broker is known")
    listing = await client.send(node, TopicsRequest(names), group=ASIDE)
    found: dict[str, Topic] = {}
    for code, name, topic_id, _, partitions, *_ in listing.topics:
        error = for_code(code)
        if error is NoError:
            found[name] = Topic(len(partitions), None if topic_id == NO_ID else str(topic_id))
        elif error not in _NOT_THERE:
            raise error(name)
    return found
