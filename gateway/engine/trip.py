"""One trip to the store while it is collected, and those who wait for it.

Invariants: who has gone away takes nothing from the others; a failure of the whole is the answer to each item.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from gateway.engine.asked import Asked
from projections.errors import StoreError, StoreUnavailableError
from projections.store.port import DocumentKey, ReadAnswer

A = TypeVar("A")


class Trip(Asked):
    """What goes to the store together, and those who wait for it."""

    __slots__ = ("loop", "vouchers", "waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.loop = loop
        self.vouchers: set[DocumentKey] = set()
        self.waiting: list[tuple[asyncio.Future[Any], Callable[[ReadAnswer], Any] | None]] = []

    def wait(self, pick: Callable[[ReadAnswer], A | StoreError]) -> asyncio.Future[A]:
        """What somebody gets of the answer; an exception that is picked is raised where it is awaited."""
        future: asyncio.Future[A] = self.loop.create_future()
        self.waiting.append((future, pick))
        return future

    def whole(self) -> asyncio.Future[ReadAnswer]:
        """All of the answer."""
        future: asyncio.Future[ReadAnswer] = self.loop.create_future()
        self.waiting.append((future, None))
        return future

    def answer(self, read: ReadAnswer) -> None:
        """Hands everybody their share."""
        for future, pick in self.waiting:
            if not future.done():
                value = read if pick is None else pick(read)
                if isinstance(value, Exception):
                    fail(future, value)
                else:
                    future.set_result(value)

    def fail(self, error: Exception) -> None:
        """Tells everybody: a failure of the whole is the answer to each item."""
        self.answer(self.failed(error))

    def fail_late(self) -> None:
        """Tells everybody that the store took too long. The error is the trip's own: each raise grows its traceback."""
        self.fail(StoreUnavailableError("the store of read models did not answer in time"))

    def is_awaited(self) -> bool:
        """Whether anybody still waits."""
        return any(not future.done() for future, _ in self.waiting)


def fail(future: asyncio.Future[Any], error: Exception) -> None:
    """Makes it the future's outcome."""
    future.set_exception(error)
    future.exception()  # seen: a requester that left must not make the loop complain
