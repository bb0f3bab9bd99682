"""The store on Redis 7 or Valkey: both ports, over one connection pool.

Invariants: a call ends within `connect_timeout_s + timeout_s`, with an answer or an error; it is sent once, never again behind
the caller's back; a connection whose call was cut off is dropped, so that a late answer is never taken for another's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, Final, cast

import msgspec
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    ClusterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)

from projections.errors import StoreError, StoreMisconfiguredError, StoreUnavailableError
from projections.log.port import Partition
from projections.store import calls, page
from projections.store.document import Document
from projections.store.keys import Bucket
from projections.store.library import library
from projections.store.port import (
    ApplyOutcome,
    BucketChange,
    DocumentKey,
    Notice,
    Page,
    PageQuery,
)

DEFAULT_QUARANTINE_MAX: Final = 10_000
IDLE_PING_S: Final = 5.0
"""A change channel that was silent for so long is asked whether it is still there."""

_PASSING: Final = (ClusterDownError, OutOfMemoryError, ReadOnlyError, TryAgainError)
_PASSING_CODES: Final = ("BUSY", "NOREPLICAS", "MISCONF")
"""Refusals that may end without anybody changing Headrace: wait and try again. redis-py has classes for some of them."""

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
    ) -> None:
        self._client: Redis = Redis.from_url(
            url,
            protocol=2,
            socket_connect_timeout=connect_timeout_s,
            socket_timeout=timeout_s,
            socket_keepalive=True,
            retry=Retry(NoBackoff(), 0),
        )
        self._call = cast("Callable[..., Awaitable[Any]]", self._client.execute_command)
        self._bound_s = connect_timeout_s + timeout_s
        self._timeout_s = timeout_s
        self._quarantine_max = quarantine_max
        self._library = library()

    # -- both ports

    async def ping(self) -> None:
        async with self._answering():
            await self._call("PING")

    async def close(self) -> None:
        await self._client.aclose()

    # -- ProjectorStore

    async def check(self) -> None:
        async with self._answering():
            memory = await self._client.info("memory")
            policy = memory.get("maxmemory_policy")
            if policy != "noeviction":
                raise StoreMisconfiguredError(
                    f"the store may evict read models: its maxmemory-policy is {policy}; set it to noeviction"
                )
            await self._load()

    async def claim_buckets(self, projection: str, generation: int, buckets: int) -> int:
        key = Bucket(projection, generation, 0).bucket_count
        async with self._answering(), self._client.pipeline(transaction=True) as pipe:
            pipe.execute_command("SET", key, buckets, "NX")
            pipe.execute_command("GET", key)
            _, stored = await pipe.execute()
        return calls.count(key, stored)

    async def positions(self, bucket: Bucket) -> dict[Partition, int]:
        async with self._answering():
            stored: dict[bytes, bytes] = await self._call("HGETALL", bucket.positions)
        return {calls.partition(field): int(offset) for field, offset in stored.items()}

    async def documents(self, bucket: Bucket, ids: Sequence[str]) -> list[Document | None]:
        if not ids:
            return []
        keys = [bucket.document(id) for id in ids]
        async with self._answering():
            values = await self._call("MGET", *keys)
        return [calls.document(key, value) for key, value in zip(keys, values, strict=True)]

    async def apply(self, change: BucketChange) -> ApplyOutcome:
        keys, arguments = calls.apply_arguments(change, self._quarantine_max)
        async with self._answering():
            reply = await self._knowing_functions(
                lambda: self._call("FCALL", self._library.apply, len(keys), *keys, *arguments)
            )
        return calls.apply_outcome(reply)

    async def report(self, bucket: Bucket, live: Mapping[str, bytes]) -> None:
        async with self._answering(), self._client.pipeline(transaction=True) as pipe:
            pipe.execute_command("DEL", bucket.live)
            if live:
                pipe.execute_command("HSET", bucket.live, *[part for field in live.items() for part in field])
            await pipe.execute()

    async def quarantined(self, bucket: Bucket) -> dict[str, bytes]:
        async with self._answering():
            stored: dict[bytes, bytes] = await self._call("HGETALL", bucket.quarantine)
        return {coordinates.decode(): entry for coordinates, entry in stored.items()}

    # -- ReaderStore

    async def read(
        self, documents: Sequence[DocumentKey], pages: Sequence[PageQuery]
    ) -> tuple[list[Document | StoreError | None], list[Page | StoreError]]:
        keys = [bucket.document(id) for bucket, id in documents]
        asked = [calls.page_arguments(query, bucket) for query in pages for bucket in page.buckets(query)]
        if not keys and not asked:
            return [], []
        async with self._answering():
            replies = await self._knowing_functions(lambda: self._read_once(keys, asked))
        values = replies.pop(0) if keys else []
        found = [calls.document_or_error(key, value) for key, value in zip(keys, values, strict=True)]
        shares = iter(replies)
        return found, [calls.page_or_error(query, [next(shares) for _ in range(query.buckets)]) for query in pages]

    async def bucket_count(self, projection: str, generation: int) -> int | None:
        key = Bucket(projection, generation, 0).bucket_count
        async with self._answering():
            stored = await self._call("GET", key)
        return None if stored is None else calls.count(key, stored)

    async def reports(self, buckets: Sequence[Bucket]) -> list[dict[str, bytes]]:
        async with self._answering(), self._client.pipeline(transaction=False) as pipe:
            for bucket in buckets:
                pipe.execute_command("HGETALL", bucket.live)
            found = await pipe.execute() if buckets else []
        return [{field.decode(): value for field, value in report.items()} for report in found]

    @asynccontextmanager
    async def changes(self, bucket: Bucket) -> AsyncGenerator[AsyncIterator[Sequence[Notice]]]:
        pool: Any = self._client.connection_pool
        async with self._answering():
            connection = await pool.get_connection()
        try:
            async with self._answering():
                await connection.send_command("SSUBSCRIBE", bucket.changes)
                await connection.read_response()
            async with aclosing(self._listen(connection)) as notices:
                yield notices
        finally:
            await connection.disconnect(nowait=True)
            await pool.release(connection)

    # -- inside

    async def _listen(self, connection: Any) -> AsyncGenerator[Sequence[Notice]]:
        pinged = False
        while True:
            async with self._translated():
                wait_s = self._timeout_s if pinged else IDLE_PING_S
                reply = await connection.read_response(timeout=wait_s, disconnect_on_error=False)
                if reply is None:
                    if pinged:
                        raise StoreUnavailableError(f"the change channel did not answer within {wait_s:g} s")
                    await connection.send_command("PING", check_health=False)
            pinged = reply is None
            if reply is not None and reply[0] == b"smessage":
                yield _notices.decode(reply[2])

    async def _read_once(self, keys: Sequence[str], asked: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Documents first, on one connection: what they say is not younger than the pages behind them.

        A page that the server refuses is answered with its StoreMisconfiguredError, unless the refusal concerns the whole trip.
        """
        async with self._client.pipeline(transaction=False) as pipe:
            if keys:
                pipe.execute_command("MGET", *keys)
            for call in asked:
                pipe.execute_command("FCALL_RO", self._library.page, 1, *call)
            replies = await pipe.execute(raise_on_error=False)
        for place, reply in enumerate(replies):
            if not isinstance(reply, Exception):
                continue
            if (keys and place == 0) or not isinstance(reply, ResponseError) or "unction not found" in str(reply):
                raise reply
            told = _told(reply)
            if isinstance(told, StoreUnavailableError):
                raise reply
            replies[place] = told
        return replies

    async def _knowing_functions(self, call: Callable[[], Awaitable[Any]]) -> Any:
        """The call's answer; a server that lacks the functions (new, or a promoted replica) is given them first."""
        try:
            return await call()
        except ResponseError as error:
            if "unction not found" not in str(error):
                raise
            await self._load()
            return await call()

    async def _load(self) -> None:
        try:
            await self._call("FUNCTION", "LOAD", self._library.code)
        except ResponseError as error:
            if "already exists" not in str(error):  # the name is the digest: it is this very code
                raise

    @asynccontextmanager
    async def _answering(self) -> AsyncGenerator[None]:
        """Bounds what is inside and tells its failures in the words of the port."""
        try:
            async with asyncio.timeout(self._bound_s), self._translated():
                yield
        except TimeoutError:
            raise StoreUnavailableError(f"the store did not answer within {self._bound_s:g} s") from None

    @asynccontextmanager
    async def _translated(self) -> AsyncGenerator[None]:
        try:
            yield
        except (AuthenticationError, AuthorizationError) as error:
            raise StoreMisconfiguredError(f"the store refuses the credentials: {error}") from error
        except ResponseError as error:
            raise _told(error) from error
        except (RedisError, OSError) as error:
            raise StoreUnavailableError(f"the store is away: {error}") from error


def _told(error: ResponseError) -> StoreError:
    """A refusal of the server in the words of the port."""
    if isinstance(error, _PASSING) or str(error).startswith(_PASSING_CODES):
        return StoreUnavailableError(f"the store refuses for the moment: {error}")
    return StoreMisconfiguredError(f"the store refused a command: {error}")
