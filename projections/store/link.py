"""How commands reach the servers: the port that RedisStore speaks through, and the link to a single server.

Invariants: all commands to a server share one connection (connection.py); a subscription has one of its own, of redis-py's pool.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from projections.store.command import Command
from projections.store.connection import Connection
from projections.store.faults import AWAY
from projections.store.pipe import Deliver


class Link(Protocol):
    """One server, or several that share the slots. Raises what redis-py raises (faults.py translates it)."""

    one_slot_each: bool
    """Whether a command may name keys of one slot only."""

    def batch(self, commands: Sequence[Command]) -> Awaitable[list[Any]]:
        """Replies in the order of the commands, a refusal (ResponseError) in the place of its reply; where there are several
        servers and all commands only read, also what redis-py raises for a server that does not answer.

        Those of one server travel together, in their order, on one connection, with whatever others submit in the same tick of
        the loop. Ends within `connect_timeout_s + timeout_s`. When it is cancelled, what has left is done or not done, and no other
        batch is harmed.
        """
        ...

    def read(self, commands: Sequence[Command], deliver: Deliver) -> bool:
        """As `batch`, of commands that only read; they leave at once, without a task. False when that cannot be done."""
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


async def subscribe(connection: Any, channel: str) -> None:
    """Returns once the subscription holds. Raises ResponseError."""
    await connection.send_command("SSUBSCRIBE", channel, check_health=False)
    await connection.read_response()


class SingleLink:
    """Implements `Link` over one connection, and a pool for subscriptions."""

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
        self._pool: Any = self._client.connection_pool
        self._connection = Connection(
            self._pool.make_connection, connect_timeout_s=connect_timeout_s, timeout_s=timeout_s
        )

    def batch(self, commands: Sequence[Command]) -> Awaitable[list[Any]]:
        return self._connection.submit([command.words for command in commands])

    def read(self, commands: Sequence[Command], deliver: Deliver) -> bool:
        self._connection.ask([command.words for command in commands], deliver)
        return True

    async def everywhere(self, *words: Any) -> list[Any]:
        try:
            return await self._connection.submit([words])
        except AWAY as error:
            return [error]

    @asynccontextmanager
    async def subscription(self, channel: str) -> AsyncGenerator[Any]:
        connection = await self._pool.get_connection()
        try:
            await subscribe(connection, channel)
            yield connection
        finally:
            await connection.disconnect(nowait=True)
            await self._pool.release(connection)

    async def close(self) -> None:
        await self._connection.close()
        await self._client.aclose()
