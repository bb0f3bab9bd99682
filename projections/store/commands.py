"""Trips of commands over a link, in the words of the port.

Invariants: a trip ends within the bound, with replies or an error; what a server refused because it lacks the functions (a new one,
or a promoted replica) was not done, and is sent once more after they were given to it; nothing else is sent twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from redis.exceptions import ClusterCrossSlotError, MovedError, ResponseError

from projections.errors import StoreError, StoreMisconfiguredError
from projections.store.command import Command
from projections.store.faults import AWAY, answering, away, lacks_functions
from projections.store.library import Library
from projections.store.link import Link


class Commands:
    """Commands to whatever is behind a link."""

    def __init__(self, link: Link, library: Library, bound_s: float) -> None:
        self._link = link
        self._library = library
        self._bound_s = bound_s

    async def batch(self, commands: Sequence[Command]) -> list[Any]:
        """Replies of a trip that is answered as a whole: a refusal of one command is raised."""
        if not commands:
            return []
        replies = await self.answers(commands)
        for reply in replies:
            if isinstance(reply, AWAY):
                raise self.told(reply) from reply
        return replies

    async def everywhere(self, *words: Any) -> list[Any]:
        """The replies of every server that takes writes."""
        async with answering(self._bound_s):
            replies = await self._link.everywhere(*words)
            for reply in replies:
                if isinstance(reply, AWAY):
                    raise reply
        return replies

    async def answers(self, commands: Sequence[Command]) -> list[Any]:
        """Replies and refusals of a trip, in the words of the port when there are none: without the managers of `answering`,
        which take more of the processor's time than the trip (8 us against 7). The link keeps the bound.
        """
        try:
            return await self._knowing_functions(commands)
        except AWAY as error:
            raise away(error) from error

    def told(self, refusal: Exception) -> StoreError:
        """A refusal, or why there was no reply, in the words of the port."""
        if isinstance(refusal, (ClusterCrossSlotError, MovedError)) and not self._link.one_slot_each:
            return StoreMisconfiguredError("the server is one of a cluster; set HEADRACE_REDIS_CLUSTER")
        return away(refusal)

    async def _knowing_functions(self, commands: Sequence[Command]) -> list[Any]:
        until_s = asyncio.get_running_loop().time() + self._bound_s
        replies = await self._link.batch(commands)
        if not any(map(lacks_functions, replies)):
            return replies
        async with asyncio.timeout_at(until_s):
            await self.load()
            return await self._link.batch(commands)

    async def load(self, *, everywhere: bool = False) -> None:
        """Gives the functions to all servers, or with `everywhere` False to those that can be reached."""
        for reply in await self._link.everywhere("FUNCTION", "LOAD", self._library.code):
            # the name is the digest: what exists is this very code
            if isinstance(reply, ResponseError if not everywhere else AWAY) and "already exists" not in str(reply):
                raise reply
