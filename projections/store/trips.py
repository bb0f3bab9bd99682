"""The trips of readers: what is wanted, as commands, and what came, as an answer.

Invariants: what a single server answers takes no task, which would cost as much as all the rest here; a refusal that concerns one
item is the answer to it, and any other fails the trip.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from functools import partial
from typing import Any

from redis.exceptions import MovedError

from projections.errors import StoreError, StoreUnavailableError
from projections.store import reading
from projections.store.commands import Commands
from projections.store.faults import AWAY, away, lacks_functions
from projections.store.library import Library
from projections.store.link import Link
from projections.store.port import ReadAnswer, Wanted


class ReadTrips:
    """See ReaderStore.read. Used from one event loop."""

    def __init__(self, link: Link, library: Library, commands: Commands) -> None:
        self._link = link
        self._library = library
        self._commands = commands
        self._loop: asyncio.AbstractEventLoop | None = None
        self._again: set[asyncio.Task[None]] = set()

    def read(self, wanted: Wanted) -> Awaitable[ReadAnswer]:
        """See ReaderStore.read."""
        trip = reading.Trip(wanted, self._library, one_slot_each=self._link.one_slot_each)
        if self._loop is None:  # asked for once: before Python 3.12 every asking is a system call
            self._loop = asyncio.get_running_loop()
        if trip.commands:
            answer: asyncio.Future[ReadAnswer] = self._loop.create_future()
            if self._link.read(trip.commands, partial(self._take, trip, answer)):
                return answer
        return self._read(trip)

    def _take(self, trip: reading.Trip, answer: asyncio.Future[ReadAnswer], found: list[Any] | Exception) -> None:
        """Makes what came the answer. Does not raise."""
        if answer.done():
            return
        try:
            if isinstance(found, Exception):
                raise found
            if any(map(lacks_functions, found)):
                again = answer.get_loop().create_task(self._read_again(trip, answer))
                self._again.add(again)
                again.add_done_callback(self._again.discard)
            else:
                answer.set_result(self._answer(trip, found))
        except AWAY as error:
            answer.set_exception(away(error))
        except Exception as error:  # noqa: BLE001 - whoever waits for the answer is told
            answer.set_exception(error)

    async def _read_again(self, trip: reading.Trip, answer: asyncio.Future[ReadAnswer]) -> None:
        """Reads once more, after the functions were given to the server."""
        try:
            found = await self._read(trip)
            if not answer.done():
                answer.set_result(found)
        except Exception as error:  # noqa: BLE001 - whoever waits for the answer is told
            if not answer.done():
                answer.set_exception(error)

    async def _read(self, trip: reading.Trip) -> ReadAnswer:
        return self._answer(trip, await self._commands.answers(trip.commands) if trip.commands else [])

    def _answer(self, trip: reading.Trip, replies: list[Any]) -> ReadAnswer:
        for place, reply in enumerate(replies):
            if isinstance(reply, AWAY):
                replies[place] = self._of_one_item(reply, is_gather=place < trip.gather_count)
        return trip.answer(replies)

    def _of_one_item(self, refusal: Exception, *, is_gather: bool) -> StoreError:
        """The refusal of a list, a page or a measure as the answer to it; raised when it concerns the whole trip.

        Of several servers each concerns what is on it alone, documents included.
        """
        error = self._commands.told(refusal)
        if self._link.one_slot_each:
            return error
        is_one_item = not (is_gather or isinstance(refusal, MovedError) or lacks_functions(refusal))
        if not is_one_item or isinstance(error, StoreUnavailableError):
            raise error from refusal
        return error
