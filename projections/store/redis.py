"""The store on Redis 7, Redis 8 or Valkey, one server or a cluster: both ports.

Invariants: a call ends within `connect_timeout_s + timeout_s`, with an answer or an error; what it writes is sent once, never
again behind the caller's back; a server that lacks the functions (new, or a promoted replica) is given them.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from itertools import islice
from typing import Any, Final

import msgspec

from projections.errors import StoreMisconfiguredError, StoreUnavailableError, WireError
from projections.log.port import Partition
from projections.store import calls
from projections.store.change import UNREAD, ApplyOutcome, BucketChange, Fence, Standing, Waiting
from projections.store.cluster import ClusterLink
from projections.store.command import Command
from projections.store.commands import Commands
from projections.store.document import Document, unpack
from projections.store.faults import answering, translated
from projections.store.keys import Bucket
from projections.store.library import library
from projections.store.link import Link, SingleLink
from projections.store.port import Notice, ReadAnswer, Wanted
from projections.store.stored import read_document
from projections.store.trips import ReadTrips

DEFAULT_QUARANTINE_MAX: Final = 10_000
DEFAULT_QUEUE_MAX: Final = 1_000
QUARANTINE_PAGE: Final = 100
"""Records of a quarantine that are read at a time: each may be as large as a record of the log."""
IDLE_PING_S: Final = 5.0
"""A change channel that was silent for so long is asked whether it is still there."""

_notices = msgspec.json.Decoder(list[Notice])


class RedisStore:
    """Implements `ProjectorStore` and `ReaderStore`. Safe for concurrent calls."""

    def __init__(
        self,
        url: str,
        *,
        connect_timeout_s: float = 1.0,
        timeout_s: float = 2.0,
        quarantine_max: int = DEFAULT_QUARANTINE_MAX,
        queue_max: int = DEFAULT_QUEUE_MAX,
        cluster: bool = False,
    ) -> None:
        """`url` is that of the server or, with `cluster`, of one of the cluster's servers, from which the others are known."""
        link = ClusterLink if cluster else SingleLink
        self._link: Link = link(url, connect_timeout_s=connect_timeout_s, timeout_s=timeout_s)
        self._bound_s = connect_timeout_s + timeout_s
        self._timeout_s = timeout_s
        self._quarantine_max = quarantine_max
        self._queue_max = queue_max
        self._library = library()
        self._commands = Commands(self._link, self._library, connect_timeout_s + timeout_s)
        self._trips = ReadTrips(self._link, self._library, self._commands)

    # -- both ports

    async def ping(self) -> None:
        await self._commands.everywhere("PING")

    async def close(self) -> None:
        await self._link.close()

    # -- ProjectorStore

    async def check(self) -> None:
        for memory in await self._commands.everywhere("INFO", "memory"):
            policy = _info(memory).get("maxmemory_policy")
            if policy != "noeviction":
                raise StoreMisconfiguredError(
                    f"the store may evict read models: its maxmemory-policy is {policy}; set it to noeviction"
                )
        async with answering(self._bound_s):
            await self._commands.load(everywhere=True)

    async def claim_buckets(self, projection: str, generation: int, buckets: int) -> int:
        key = Bucket(projection, generation, 0).bucket_count
        _, stored = await self._commands.batch([Command(key, ("SET", key, buckets, "NX")), Command(key, ("GET", key))])
        return calls.count(key, stored)

    async def raise_fence(self, bucket: Bucket, partitions: Sequence[Partition], owner: str, now_ms: int) -> Fence:
        if not partitions:
            raise ValueError("a fence of no partitions")
        key = bucket.fence
        words = ("FCALL", self._library.fence, 1, key, owner, now_ms, *(str(at) for at in partitions))
        [number] = await self._commands.batch([Command(key, words)])
        return Fence(int(number), owner)

    async def standing(self, bucket: Bucket) -> Standing:
        keys = (bucket.positions, bucket.identities, bucket.caught_up, bucket.built)
        [reply] = await self._commands.batch([Command(keys[0], ("FCALL_RO", self._library.standing, len(keys), *keys))])
        return calls.standing(reply)

    async def documents(self, bucket: Bucket, ids: Sequence[str]) -> list[Document | None]:
        if not ids:
            return []
        gather = _gather(bucket, ids)
        [values] = await self._commands.batch([gather])
        return _documents(gather, values)

    async def queued(self, bucket: Bucket, ids: Sequence[str]) -> list[list[Waiting]]:
        if not ids:
            return []
        keys = (bucket.quarantine, *(bucket.queue(id) for id in ids))
        [replies] = await self._commands.batch([Command(keys[0], ("FCALL_RO", self._library.queued, len(keys), *keys))])
        return [calls.waiting(reply) for reply in replies]

    async def queue_places(self, bucket: Bucket, ids: Sequence[str]) -> list[list[Waiting]]:
        replies = await self._commands.batch([Command(bucket.queue(id), ("HGETALL", bucket.queue(id))) for id in ids])
        return [
            sorted(Waiting(place.decode(), at.decode(), UNREAD) for place, at in calls.pairs(reply))
            for reply in replies
        ]

    async def entries(self, bucket: Bucket, coordinates: Sequence[str]) -> list[bytes | None]:
        if not coordinates:
            return []
        key = bucket.quarantine
        [values] = await self._commands.batch([Command(key, ("HMGET", key, *coordinates))])
        return list(values)

    async def apply(self, change: BucketChange) -> ApplyOutcome:
        [reply] = await self._commands.batch([self._apply(change)])
        return calls.apply_outcome(change, reply)

    async def report(self, bucket: Bucket, live: Mapping[str, bytes]) -> None:
        flat = [part for field in live.items() for part in field]
        await self._commands.batch([Command(bucket.live, ("HSET", bucket.live, *flat))] if flat else [])

    async def quarantined(self, bucket: Bucket, limit: int | None = None) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        key, cursor, is_through = bucket.quarantine, b"0", False
        while not is_through and (limit is None or len(found) < limit):
            [(cursor, page)] = await self._commands.batch(
                [Command(key, ("HSCAN", key, cursor, "COUNT", QUARANTINE_PAGE))]
            )
            found.update((coordinates.decode(), entry) for coordinates, entry in calls.pairs(page))
            is_through = cursor == b"0"
        return dict(islice(found.items(), limit))

    async def quarantine_sizes(self, buckets: Sequence[Bucket]) -> list[int]:
        return await self._commands.batch(
            [Command(bucket.quarantine, ("HLEN", bucket.quarantine)) for bucket in buckets]
        )

    # -- ReaderStore

    def read(self, wanted: Wanted) -> Awaitable[ReadAnswer]:
        return self._trips.read(wanted)

    async def bucket_count(self, projection: str, generation: int) -> int | None:
        key = Bucket(projection, generation, 0).bucket_count
        [stored] = await self._commands.batch([Command(key, ("GET", key))])
        return None if stored is None else calls.count(key, stored)

    async def reports(self, buckets: Sequence[Bucket]) -> list[dict[str, bytes]]:
        found = await self._commands.batch([Command(bucket.live, ("HGETALL", bucket.live)) for bucket in buckets])
        return [{field.decode(): value for field, value in calls.pairs(report)} for report in found]

    @asynccontextmanager
    async def changes(self, bucket: Bucket) -> AsyncGenerator[AsyncIterator[Sequence[Notice]]]:
        async with translated(), aclosing(self._subscriptions(bucket)) as subscriptions:
            async with answering(self._bound_s):
                connection = await anext(subscriptions)
            async with aclosing(self._listen(connection)) as notices:
                yield notices

    # -- inside

    def _apply(self, change: BucketChange) -> Command:
        keys, arguments = calls.apply_arguments(change, self._quarantine_max, self._queue_max)
        return Command(keys[0], ("FCALL", self._library.apply, len(keys), *keys, *arguments))

    async def _subscriptions(self, bucket: Bucket) -> AsyncGenerator[Any]:
        async with self._link.subscription(bucket.changes) as connection:
            yield connection

    async def _listen(self, connection: Any) -> AsyncGenerator[Sequence[Notice]]:
        pinged = False
        while True:
            async with translated():
                wait_s = self._timeout_s if pinged else IDLE_PING_S
                reply = await connection.read_response(timeout=wait_s, disconnect_on_error=False)
                if reply is None:
                    if pinged:
                        raise StoreUnavailableError(f"the change channel did not answer within {wait_s:g} s")
                    await connection.send_command("PING", check_health=False)
                elif reply[0] == b"sunsubscribe":  # the slot has gone to another server of the cluster
                    raise StoreUnavailableError("the change channel has moved to another server")
            pinged = reply is None
            if reply is not None and reply[0] == b"smessage":
                yield _notices.decode(reply[2])


def _gather(bucket: Bucket, ids: Sequence[str]) -> Command:
    prefix = bucket.document("")
    keys = [prefix + id for id in ids]
    return Command(keys[0], ("MGET", *keys))


def _documents(gather: Command, values: Sequence[bytes | None]) -> list[Document | None]:
    try:
        return [None if value is None else unpack(value) for value in values]
    except WireError:  # which one it was costs the usual case nothing
        return [
            None if value is None else read_document(key, value)
            for key, value in zip(gather.words[1:], values, strict=True)
        ]


def _info(section: bytes) -> dict[str, str]:
    """A section of INFO: `name:value` in lines, and headings."""
    lines = section.decode().splitlines()
    return {name: value for name, found, value in (line.partition(":") for line in lines) if found}
