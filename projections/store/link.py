"""How commands reach the servers: the port that RedisStore speaks through, and the link to a single server.

Invariants: a command is sent once, never again behind the caller's back; a connection on which anything was cut off is dropped,
so that a late answer is never taken for another's.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

import hiredis
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import MovedError, ResponseError

from projections.errors import StoreMisconfiguredError
from projections.store.faults import AWAY
from projections.store.reading import Command


class Link(Protocol):
    """One server, or several that share the slots. Raises what redis-py raises (faults.py translates it)."""

    one_slot_each: bool
    """Whether a command may name keys of one slot only."""

    async def batch(self, commands: Sequence[Command]) -> list[Any]:
        """Replies in the order of the commands, a refusal (ResponseError) in the place of its reply.

        Those of one server travel together, in their order, on one connection.
        """
        ...

    async def everywhere(self, *words: Any) -> list[Any]:
        """The replies of every server that takes writes, in place of one whatever redis-py raised."""
        ...

    def subscription(self, channel: str) -> AbstractAsyncContextManager[Any]:
        """A connection that holds a sharded subscription to the channel, on the server that publishes there."""
        ...

    async def close(self) -> None:
        """Lets go of all connections. Idempotent."""
        ...


async def exchange(connection: Any, commands: Sequence[Sequence[Any]]) -> list[Any]:
    """Sends all commands at once and reads as many replies; refusals are replies. Drops the connection when it is cut off."""
    try:
        # Packed in C: redis-py's asyncio connections do it in Python, at 3 us of CPU an event.
        packed = [hiredis.pack_command(tuple(words)) for words in commands]
        await connection.send_packed_command(packed, check_health=False)
        replies: list[Any] = []
        for _ in commands:
            try:
                replies.append(await connection.read_response())
            except ResponseError as refusal:
                replies.append(refusal)
    except BaseException:
        await connection.disconnect(nowait=True)
        raise
    return replies


async def subscribe(connection: Any, channel: str) -> None:
    """Returns once the subscription holds. Raises ResponseError."""
    await connection.send_command("SSUBSCRIBE", channel, check_health=False)
    await connection.read_response()


class SingleLink:
    """Implements `Link` over one connection pool."""

    one_slot_each = False

    def __init__(self, url: str, *, connect_timeout_s: float, timeout_s: float) -> None:
        self._client: Redis = Redis.from_url(
            url,
            protocol=2,
            socket_connect_timeout=connect_timeout_s,
            socket_timeout=timeout_s,
            socket_keepalive=True,
            retry=Retry(NoBackoff(), 0),
        )

    async def batch(self, commands: Sequence[Command]) -> list[Any]:
        async with self._leased() as connection:
            replies = await exchange(connection, [command.words for command in commands])
        if any(isinstance(reply, MovedError) for reply in replies):
            raise StoreMisconfiguredError("the server is one of a cluster; set HEADRACE_REDIS_CLUSTER")
        return replies

    async def everywhere(self, *words: Any) -> list[Any]:
        try:
            async with self._leased() as connection:
                return await exchange(connection, [words])
        except AWAY as error:
            return [error]

    @asynccontextmanager
    async def subscription(self, channel: str) -> AsyncGenerator[Any]:
        async with self._leased() as connection:
            try:
                await subscribe(connection, channel)
                yield connection
            finally:
                await connection.disconnect(nowait=True)

    async def close(self) -> None:
        await self._client.aclose()

    @asynccontextmanager
    async def _leased(self) -> AsyncGenerator[Any]:
        pool: Any = self._client.connection_pool
        connection = await pool.get_connection()
        try:
            yield connection
        finally:
            await pool.release(connection)
