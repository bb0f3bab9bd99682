"""The link to a Redis Cluster: commands go to the server that has their key's slot, those of one server together.

Invariants: a trip that was sent to the wrong server is sent once more, after the map of slots was read anew, unless a part of it
that writes was done; after anything else went wrong the map is read anew before the next trip, so that a failover heals itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AskError, ClusterDownError, ConnectionError, MovedError, ReadOnlyError, TimeoutError

from projections.store.faults import AWAY
from projections.store.link import exchange, subscribe
from projections.store.reading import Command

_STALE: Final = (AskError, ClusterDownError, MovedError, ReadOnlyError)
"""Replies that show that slots are elsewhere than the map says."""

_READS: Final = ("MGET", "GET", "HGETALL", "FCALL_RO")


class ClusterLink:
    """Implements `Link` with the library's map of slots and its connections."""

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
        self._is_stale = True

    async def batch(self, commands: Sequence[Command]) -> list[Any]:
        replies = await self._attempt(commands)
        if not any(isinstance(reply, MovedError) for reply in replies):
            return replies
        done = [command for command, reply in zip(commands, replies, strict=True) if not isinstance(reply, MovedError)]
        if any(command.words[0] not in _READS for command in done):
            return replies
        return await self._attempt(commands)

    async def everywhere(self, *words: Any) -> list[Any]:
        await self._refresh()
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
                await self._refresh()
                connection = await stack.enter_async_context(self._subscribed(channel))
            yield connection

    async def close(self) -> None:
        await self._nodes.aclose()
        await self._nodes.aclose("startup_nodes")
        self._is_stale = True

    async def _attempt(self, commands: Sequence[Command]) -> list[Any]:
        await self._refresh()
        places: dict[ClusterNode, list[int]] = {}
        for place, command in enumerate(commands):
            places.setdefault(self._node(command.key), []).append(place)
        answers = await self._each([(node, [commands[place].words for place in at]) for node, at in places.items()])
        replies: list[Any] = [None] * len(commands)
        for at, answer in zip(places.values(), answers, strict=True):
            if not isinstance(answer, list):
                raise answer
            for place, reply in zip(at, answer, strict=True):
                replies[place] = reply
        self._is_stale = self._is_stale or any(isinstance(reply, _STALE) for reply in replies)
        return replies

    async def _each(self, trips: Sequence[tuple[ClusterNode, Sequence[Sequence[Any]]]]) -> list[list[Any] | Exception]:
        """What each server answers, or what redis-py raised instead."""
        if len(trips) == 1:
            return [await self._try(*trips[0])]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._try(*trip)) for trip in trips]
        return [task.result() for task in tasks]

    async def _try(self, node: ClusterNode, commands: Sequence[Sequence[Any]]) -> list[Any] | Exception:
        try:
            async with self._leased(node) as connection:
                return await exchange(connection, commands)
        except AWAY as error:
            self._is_stale = True
            return error
        except asyncio.CancelledError:  # it took too long: perhaps the server is gone
            self._is_stale = True
            raise

    @asynccontextmanager
    async def _subscribed(self, channel: str) -> AsyncGenerator[Any]:
        async with self._leased(self._node(channel)) as connection:
            try:
                await subscribe(connection, channel)
                yield connection
            finally:
                await connection.disconnect(nowait=True)

    def _node(self, key: str) -> ClusterNode:
        return self._nodes.get_node_from_slot(self._client.keyslot(key))

    async def _refresh(self) -> None:
        if self._is_stale:
            self._is_stale = False
            try:
                await self._nodes.initialize()
            except BaseException:
                self._is_stale = True
                raise

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
