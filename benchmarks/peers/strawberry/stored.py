"""What is in the store, as docs/reference/store.md tells it: documents by id, and ids by index, many at a time.

Invariants: a batch is one trip to the store, of lists with what they name two; documents are plain dicts in wire form.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from redis.asyncio import Redis

HEADER_BYTES: Final = 10

_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


class Stored:
    """One projection's documents and lists."""

    def __init__(self, redis: Redis, projection: str) -> None:
        self._redis: Any = redis
        self._prefix = f"hr:{{{projection}:1:0}}"

    async def documents(self, ids: Sequence[str]) -> list[dict[str, Any] | None]:
        """By id, None where there is none; each has its id as `key`."""
        found = await self._redis.mget([f"{self._prefix}:d:{id}" for id in ids])
        return [
            {**_decode(memoryview(stored)[HEADER_BYTES:]), "key": id} if stored is not None else None
            for id, stored in zip(ids, found, strict=True)
        ]

    async def listed(self, lists: Sequence[str]) -> list[list[dict[str, Any]]]:
        """What each list names, in its order."""
        pipe = self._redis.pipeline(transaction=False)
        for name in lists:
            pipe.zrange(f"{self._prefix}:i:{name}", 0, -1)
        members = [[_id(member) for member in found] for found in await pipe.execute()]
        ids = list(dict.fromkeys(id for found in members for id in found))
        documents = dict(zip(ids, await self.documents(ids), strict=True)) if ids else {}
        return [[document for id in found if (document := documents[id])] for found in members]

    async def page(self, name: str, after: bytes | None, count: int) -> list[dict[str, Any]]:
        """The last `count` that a list names before a place in it, last first."""
        high = "+" if after is None else b"(" + after
        members = await self._redis.zrange(
            f"{self._prefix}:i:{name}", high, "-", bylex=True, desc=True, offset=0, num=count
        )
        found = await self.documents([_id(member) for member in members]) if members else []
        return [document for document in found if document]


def _id(member: bytes) -> str:
    return member.rpartition(b"\0")[2].decode()
