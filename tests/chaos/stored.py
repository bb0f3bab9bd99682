"""Reads everything that a Redis or Valkey server keeps of the read models, raw, key by key.

Invariants: shares no code with the adapter under test but the format of a document; to be called while nothing is written.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, Final

import redis

from projections.store.document import PARKED, unpack
from projections.store.keys import bucket_of
from tests.chaos.contents import Doc, Happened, Model

_CHUNK: Final = 1000


def stored(url: str, buckets: int) -> dict[str, Model]:
    """All models on a server, by the name of their projection. Raises redis.RedisError."""
    with redis.Redis.from_url(url, protocol=2, socket_timeout=10.0) as client:
        keys = sorted(client.scan_iter(match="hr:*", count=_CHUNK))
        reading = _Reading(buckets)
        for start in range(0, len(keys), _CHUNK):
            chunk = keys[start : start + _CHUNK]
            for key, value in zip(chunk, _values(client, chunk), strict=True):
                reading.take(key.decode(), value)
        reading.close()
        return dict(reading.models)


def _values(client: redis.Redis, keys: Sequence[bytes]) -> list[Any]:
    with client.pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.type(key)
        kinds = pipe.execute()
        for key, kind in zip(keys, kinds, strict=True):
            if kind == b"hash":
                pipe.hgetall(key)
            elif kind == b"zset":
                pipe.zrange(key, 0, -1)
            else:
                pipe.get(key)
        return pipe.execute()


class _Reading:
    """Models under construction; buckets are merged."""

    def __init__(self, buckets: int) -> None:
        self.models: defaultdict[str, Model] = defaultdict(Model)
        self._buckets = buckets
        self._members: defaultdict[tuple[str, str], list[bytes]] = defaultdict(list)
        self._orders: dict[tuple[str, str], list[bytes]] = {}
        self._moments: dict[tuple[str, str], dict[bytes, bytes]] = {}

    def take(self, key: str, value: Any) -> None:
        """One key with its value."""
        tag, _, rest = key.partition("}:")
        projection, _, number = tag.removeprefix("hr:{").split(":")
        model = self.models[projection]
        kind, _, name = rest.partition(":")
        match kind:
            case "d":
                self._document(model, int(number), name, value)
            case "i":
                self._members[projection, rest] += value
            case "m" if isinstance(value, bytes):
                model.numbers[rest] = model.numbers.get(rest, 0) + int(value)
            case "m":
                self._members[projection, rest] += value
            case "t":
                self._orders[projection, name] = value
            case "e":
                self._moments[projection, name] = value
            case "q":
                model.queues[name] = {place.decode(): at.decode() for place, at in value.items()}
            case "quarantine":
                model.quarantine |= {at.decode() for at in value}
            case "pos":
                model.positions[int(number)] = {at.decode(): int(offset) for at, offset in value.items()}
            case "built":
                model.built.add(int(number))
            case "buckets":
                model.bucket_count = int(value)
            case "fence" | "log" | "caught" | "live":
                pass
            case _:
                model.unknown.append(key)

    def close(self) -> None:
        """Orders what was gathered."""
        for (projection, name), members in self._members.items():
            ids = [member.rpartition(b"\0")[2].decode() for member in sorted(members)]
            self.models[projection].lists[name] = ids
        for projection, key in self._orders.keys() | self._moments.keys():
            order, moments = self._orders.get((projection, key), []), self._moments.get((projection, key), {})
            model = self.models[projection]
            model.timelines[key] = list(happened(order, moments))
            if {member.rpartition(b"\0")[2] for member in order} != moments.keys():
                model.unknown.append(f"the order of timeline {key} is not that of its entries")

    def _document(self, model: Model, number: int, id: str, value: bytes) -> None:
        model.documents[id] = doc(value)
        if bucket_of(id, self._buckets) != number:
            model.unknown.append(f"document {id} in bucket {number}")


def doc(value: bytes) -> Doc:
    """A stored document as a plain value."""
    found = unpack(value)
    view = None if found.view is None else json.loads(found.view)
    return Doc(found.epoch, found.version, view, bool(found.flags & PARKED))


def happened(order: Sequence[bytes], moments: dict[bytes, bytes]) -> Iterator[Happened]:
    """The entries of a timeline in their order."""
    for member in order:
        entry = json.loads(moments.get(member.rpartition(b"\0")[2], b"{}"))
        yield Happened(*(entry.get(name) for name in ("eventId", "what", "at", "type", "subject")))
