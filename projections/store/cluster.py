"""The link to a Redis Cluster: commands go to the server that has their key's slot, those of one server together.

Invariants: a trip that was sent to the wrong server is sent once more, after the map of slots was read anew, unless a part of it
that writes was done; after anything else went wrong the map is read anew before the next trip, so that a failover heals itself.
At most one reading of the map is under way, for all who wait for it; who gives up ends their own wait alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, Final, cast

from redis import exceptions
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    ReadOnlyError,
    ResponseError,
    SlotNotCoveredError,
)

from projections.store.command import Command
from projections.store.connection import Connection
from projections.store.faults import AWAY
from projections.store.link import subscribe
from projections.store.pipe import Deliver

_STALE: Final = (AskError, ClusterDownError, MovedError, ReadOnlyError)
"""Replies that show that slots are elsewhere than the map says."""

_READS: Final = ("MGET", "GET", "HGETALL", "FCALL_RO")


class ClusterLink:
    """Implements `Link` with the library's map of slots, a connection to each server, and the library's for subscriptions."""

    one_slot_each = True

    def __init__(self, url: str, *, connect_timeout_s: float, timeout_s: float) -> None:
        self._client: RedisCluster = RedisCluster.from_url(
            url,
            protocol=2,
            socket_connect_timeout=connect_timeout_s,
            socket_timeout=timeout_s,
            socket_keepalive=True,
            retry=Retry(NoBackoff(), 0),
            require_full_coverage=False,  # a slot that nobody has concerns the reads of that slot
        )
        self._nodes = self._client.nodes_manager
        self._connections: dict[str, Connection] = {}
        self._connect_timeout_s = connect_timeout_s
        self._timeout_s = timeout_s
        self._is_stale = True
        self._refreshing: asyncio.Task[None] | None = None

    async def batch(self, commands: Sequence[Command]) -> list[Any]:
        try:
            async with asyncio.timeout(self._connect_timeout_s + self._timeout_s):  # for the map, and up to two trips
                return await self._followed(commands)
        except TimeoutError:
            self._is_stale = True
            raise

    def read(self, commands: Sequence[Command], deliver: Deliver) -> bool:
        return False  # the map of slots may have to be read first

    async def _followed(self, commands: Sequence[Command]) -> list[Any]:
        replies = await self._attempt(commands)
        if not any(isinstance(reply, MovedError) for reply in replies):
            return replies
        done = [command for command, reply in zip(commands, replies, strict=True) if not isinstance(reply, MovedError)]
        if any(command.words[0] not in _READS for command in done):
            return replies
        return await self._attempt(commands, is_second=True)

    async def everywhere(self, *words: Any) -> list[Any]:
        await self._refresh(is_newest=True)
        answers = await self._each([(node, [words]) for node in self._client.get_primaries()])
        return [answer[0] if isinstance(answer, list) else answer for answer in answers]

    @asynccontextmanager
    async def subscription(self, channel: str) -> AsyncGenerator[Any]:
        async with AsyncExitStack() as stack:
            await self._refresh()
            try:
                connection = await stack.enter_async_context(self._subscribed(channel))
            except AWAY as error:
                self._is_stale = True
                if not isinstance(error, MovedError):
                    raise
                await self._refresh(is_newest=True)
                connection = await stack.enter_async_context(self._subscribed(channel))
            yield connection

    async def close(self) -> None:
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.wait([self._refreshing])
        for connection in self._connections.values():
            await connection.close()
        await self._nodes.aclose()
        await self._nodes.aclose("startup_nodes")
        self._is_stale = True

    async def _attempt(self, commands: Sequence[Command], *, is_second: bool = False) -> list[Any]:
        """Replies; of a server that does not answer the error for each of its commands, if all commands only read."""
        await self._refresh(is_newest=is_second)
        replies: list[Any] = [None] * len(commands)
        places: dict[ClusterNode, list[int]] = {}
        for place, command in enumerate(commands):
            try:
                places.setdefault(self._node(command.key), []).append(place)
            except SlotNotCoveredError as error:
                replies[place] = error
        trips = [(node, [commands[place].words for place in at]) for node, at in places.items()]
        answers = await self._each(trips) if trips else []
        for at, answer in zip(places.values(), answers, strict=True):
            for place, reply in zip(at, answer if isinstance(answer, list) else [answer] * len(at), strict=True):
                replies[place] = reply
        self._is_stale = self._is_stale or any(isinstance(reply, _STALE) for reply in replies)
        failed = [reply for reply in replies if isinstance(reply, AWAY) and not isinstance(reply, ResponseError)]
        if failed and (len(failed) == len(replies) or any(command.words[0] not in _READS for command in commands)):
            raise failed[0]
        return replies

    async def _each(
        self, trips: Sequence[tuple[ClusterNode, Sequence[tuple[Any, ...]]]]
    ) -> list[list[Any] | Exception]:
        """What each server answers, or what redis-py raised instead. All trips begin before the first one is answered."""
        answers = [self._connection(node).submit(commands) for node, commands in trips]
        try:
            await asyncio.wait(answers)
        finally:
            errors = [None if answer.cancel() else answer.exception() for answer in answers]
            self._is_stale = self._is_stale or any(errors)
        return [
            answer.result() if error is None else cast("Exception", error)
            for answer, error in zip(answers, errors, strict=True)
        ]

    def _connection(self, node: ClusterNode) -> Connection:
        found = self._connections.get(node.name)
        if found is None:
            settings = node.connection_kwargs | {"retry": Retry(NoBackoff(), 0)}
            found = self._connections[node.name] = Connection(
                partial(node.connection_class, **settings),
                connect_timeout_s=self._connect_timeout_s,
                timeout_s=self._timeout_s,
            )
        return found

    @asynccontextmanager
    async def _subscribed(self, channel: str) -> AsyncGenerator[Any]:
        async with self._leased(self._node(channel)) as connection:
            try:
                await subscribe(connection, channel)
                yield connection
            finally:
                await connection.disconnect(nowait=True)

    def _node(self, key: str) -> ClusterNode:
        slot = self._client.keyslot(key)
        try:
            return self._nodes.get_node_from_slot(slot)
        except (KeyError, SlotNotCoveredError):
            self._is_stale = True
            raise SlotNotCoveredError(f"no server of the cluster is known to have slot {slot}") from None

    async def _refresh(self, *, is_newest: bool = False) -> None:
        """Returns when there is a map of slots to go by. Raises why it could not be read.

        Whoever has a map goes on with it while it is read anew, so that a silent server concerns its own slots alone. With
        `is_newest` they wait: for a map that was asked for after what they saw of the one before.
        """
        if self._refreshing is not None:
            if self._nodes.slots_cache and not is_newest:
                return
            await _waited_for(self._refreshing)
        if self._is_stale:
            if self._refreshing is None:
                self._is_stale = False
                self._refreshing = asyncio.get_running_loop().create_task(self._read_map())
                self._refreshing.add_done_callback(self._refreshed)
                if self._nodes.slots_cache and not is_newest:
                    return
            await _waited_for(self._refreshing)

    async def _read_map(self) -> None:
        beginnings = dict(self._nodes.startup_nodes)
        try:
            async with asyncio.timeout(self._connect_timeout_s + self._timeout_s):
                await self._nodes.initialize()
        except LookupError as error:  # redis-py's, where nobody has a slot; it has forgotten all servers then
            self._nodes.startup_nodes = beginnings
            raise ClusterDownError("no server of the cluster has slots") from error
        for name in self._connections.keys() - self._nodes.nodes_cache.keys():
            await self._connections.pop(name).close()

    def _refreshed(self, refreshing: asyncio.Task[None]) -> None:
        self._refreshing = None
        self._is_stale = self._is_stale or refreshing.cancelled() or refreshing.exception() is not None

    @asynccontextmanager
    async def _leased(self, node: ClusterNode) -> AsyncGenerator[Any]:
        connection: Any = node.acquire_connection()
        try:
            await connection.connect()
            try:
                is_fresh = not await connection.can_read()
            except (ConnectionError, TimeoutError, OSError):
                is_fresh = False
            if not is_fresh:  # the server ended it, or left something behind: as redis-py's own pool does
                await connection.disconnect(nowait=True)
                await connection.connect()
            yield connection
        finally:
            node.release(connection)


async def _waited_for(refreshing: asyncio.Task[None]) -> None:
    """Raises what the task raised. It goes on when the caller is cancelled, whose cancellation is not that of the task."""
    await asyncio.wait([refreshing])
    if refreshing.cancelled():
        raise exceptions.ConnectionError("the link was closed")
    refreshing.result()
