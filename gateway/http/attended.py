"""Runs operations while their clients are there, and not beyond their deadline.

Invariants: one timer for all, and no task, while they are as quick as nearly all are; a cancellation from elsewhere is passed on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeVar

from starlette.types import Receive

from gateway.errors import DeadlineExceededError
from gateway.http.request import ClientGoneError

T = TypeVar("T")

SWEEP_S: Final = 0.025
"""How often those under way are looked at: a deadline is kept within so much."""
UNATTENDED_S: Final = 0.05
"""So long nobody looks whether the client is still there: to look takes a task."""


class Bounded(Protocol):
    """What may find that an operation is too large."""

    give_up: Callable[[Exception], None] | None


class _Running:
    """One operation under way."""

    __slots__ = ("began_s", "cancelling", "client", "reason", "receive", "task")

    def __init__(self, task: asyncio.Task[object], receive: Receive, began_s: float) -> None:
        self.task = task
        self.receive = receive
        self.began_s = began_s
        self.cancelling = task.cancelling()
        self.reason: Exception | None = None
        self.client: asyncio.Task[None] | None = None

    def stop(self, reason: Exception) -> None:
        """Cancels it, for the first reason there is."""
        if self.reason is None:
            self.reason = reason
            self.task.cancel()

    async def until_gone(self) -> None:
        """Stops it when its client goes away."""
        while (await self.receive())["type"] != "http.disconnect":
            pass
        self.stop(ClientGoneError())


class Attendance:
    """Looks after the operations of one process. Made and used on one loop."""

    def __init__(self, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self._sweep_s = min(SWEEP_S, deadline_s)
        self._loop = asyncio.get_running_loop()
        self._running: set[_Running] = set()
        self._is_due = False

    def now_s(self) -> float:
        """On the clock that deadlines are kept by."""
        return self._loop.time()

    async def attended(self, work: Awaitable[T], receive: Receive, began_s: float, rows: Bounded | None = None) -> T:
        """What the work comes to. Raises DeadlineExceededError so long after its operation began, ClientGoneError when nobody waits
        for it any more, and what `rows` gives up for; each has cancelled the work.
        """
        task = asyncio.current_task(self._loop)
        assert task is not None  # noqa: S101 - a coroutine runs in one
        running = _Running(task, receive, began_s)
        self._running.add(running)
        if rows is not None:
            rows.give_up = running.stop
        if not self._is_due:
            self._is_due = True
            self._loop.call_later(self._sweep_s, self._sweep)
        try:
            return await work
        except asyncio.CancelledError:
            if running.reason is None or task.uncancel() > running.cancelling:
                raise
            raise running.reason from None
        finally:
            self._running.discard(running)
            if running.client is not None:
                running.client.cancel()

    def _sweep(self) -> None:
        """Stops what is late, and has the clients of what takes its time looked after."""
        self._is_due = bool(self._running)
        if not self._is_due:
            return
        self._loop.call_later(self._sweep_s, self._sweep)
        now_s = self._loop.time()
        for running in self._running:
            if now_s - running.began_s >= self._deadline_s:
                running.stop(DeadlineExceededError(f"the operation took longer than {self._deadline_s:g} s"))
            elif running.client is None and now_s - running.began_s >= UNATTENDED_S:
                running.client = self._loop.create_task(running.until_gone())
