"""One connection to one server for any number of callers at a time: commands leave together and are answered first in, first out.

Invariants: a command is sent once, never again behind the caller's back; a wire that broke, or on which an answer is overdue, is
dropped as a whole, so that a late answer is never taken for another's; a caller that gives up leaves its place in the line, and
what is answered to it is read and thrown away; what there is no room for on the wire waits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import hiredis
from redis import exceptions

from projections.store.faults import AWAY
from projections.store.pipe import Call, Deliver, Wire, taken_over

GRACE_S: Final = 0.05
"""Between finding an answer overdue and dropping the wire: if it was this process that stood still, the answer is there already."""

_packed: Final[Callable[[tuple[Any, ...]], bytes]] = hiredis.pack_command  # pyright: ignore[reportUnknownMemberType]


class Connection:
    """Connects when there is something to send, and anew after a failure. Used from one event loop.

    Raises (in the answers) what redis-py raises: ConnectionError and its kin, TimeoutError.
    """

    def __init__(self, dial: Callable[[], Any], *, connect_timeout_s: float, timeout_s: float) -> None:
        """`dial` makes a redis-py connection that is not connected yet: TLS, credentials, database and name are its business."""
        self._dial = dial
        self._connect_timeout_s = connect_timeout_s
        self._timeout_s = timeout_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: deque[Call] = deque()
        self._is_due = False
        self._wire: Wire | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._suspect: Call | None = None

    def submit(self, commands: Sequence[tuple[Any, ...]]) -> asyncio.Future[list[Any]]:
        """Replies in the order of the commands, a refusal (ResponseError) in the place of its reply. Does not block.

        What is submitted in one tick of the loop leaves in one write. The future ends within `connect_timeout_s` for a connection
        and a place on it, and `timeout_s` for the answer. Cancelling it is safe: what has not left by then is not sent. Words are
        str, bytes, int or float; raises TypeError for others.
        """
        answer: asyncio.Future[list[Any]] = self._the_loop().create_future()
        if commands:
            self._ask(commands, partial(_settle, answer), answer)
            self._flush_soon()
        else:
            answer.set_result([])
        return answer

    def ask(self, commands: Sequence[tuple[Any, ...]], deliver: Deliver) -> None:
        """As `submit`, for a caller that has gathered what there is to send: it leaves at once, and without a future."""
        self._ask(commands, deliver)
        self._flush()

    def _ask(
        self, commands: Sequence[tuple[Any, ...]], deliver: Deliver, waiter: asyncio.Future[list[Any]] | None = None
    ) -> None:
        packed = _packed(commands[0]) if len(commands) == 1 else b"".join([_packed(words) for words in commands])
        bound = self._the_loop().time() + self._connect_timeout_s
        self._waiting.append(Call(packed, len(commands), deliver, bound, waiter))

    def _the_loop(self) -> asyncio.AbstractEventLoop:
        """The loop of all callers; asked for once: before Python 3.12 every asking is a system call."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop

    async def close(self) -> None:
        """Drops the wire; whoever waits is told that it is gone. Idempotent, and what is submitted later connects anew."""
        error = exceptions.ConnectionError("the connection was closed")
        self._refuse_waiting(error)
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait([self._connecting])
        wire = self._wire
        if wire is not None:
            self.drop(wire, error)
            await wire.lost
        self._stop_timer()

    def drop(self, wire: Wire, error: Exception) -> None:
        """Ends a wire; what was on its way there is answered with the error. Idempotent."""
        if self._wire is wire:
            self._wire = None
        wire.end(error)
        self.send_waiting()

    def send_waiting(self) -> None:
        """Sends what waits, once this tick is over, as far as there is room."""
        if self._waiting:
            self._flush_soon()

    def _flush_soon(self) -> None:
        if not self._is_due:
            self._is_due = True
            self._the_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._is_due = False
        wire, loop = self._wire, self._the_loop()
        if wire is None:
            if self._waiting and self._connecting is None:
                self._connecting = loop.create_task(self._connected())
            return
        overdue_at = loop.time() + self._timeout_s
        pieces: list[bytes] = []
        while self._waiting and wire.takes(self._waiting[0]):
            call = self._waiting.popleft()
            if not call.is_given_up:
                call.overdue_at = overdue_at
                pieces.append(call.packed)
                wire.await_answer(call)
        if pieces:
            wire.transport.write(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if self._timer is None or self._waiting:
            self._look_at(loop, self._next_overdue(wire))

    def _look_at(self, loop: asyncio.AbstractEventLoop, at: float) -> None:
        """Sets the one timer, unless it is due before; with `at` 0 there is nothing to look at."""
        if at and (self._timer is None or at < self._timer_at):
            self._stop_timer()
            self._timer_at = at
            self._timer = loop.call_at(at, self._look, loop)

    def _next_overdue(self, wire: Wire) -> float:
        """When the first call of the line, or of those that wait to join it, is overdue; 0 without any. Bounds are alike."""
        return min([line[0].overdue_at for line in (wire.calls, self._waiting) if line], default=0.0)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Drops a wire on which the oldest answer is overdue, refuses what found no place in time, and looks again later."""
        self._timer = None
        wire, now = self._wire, loop.time()
        if wire is None:  # who waits then waits for a connection, which has its own bound
            return
        while self._waiting and self._waiting[0].overdue_at <= now and not wire.takes(self._waiting[0]):
            self._waiting.popleft().deliver(exceptions.TimeoutError("too much is on its way to the server"))
        if not wire.calls or wire.calls[0].overdue_at > now:
            self._look_at(loop, self._next_overdue(wire))
        elif wire.calls[0] is self._suspect:
            self.drop(wire, exceptions.TimeoutError(f"no answer within {self._timeout_s:g} s"))
        else:
            self._suspect = wire.calls[0]
            self._look_at(loop, now + GRACE_S)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse_waiting(self, error: Exception) -> None:
        while self._waiting:
            self._waiting.popleft().deliver(error)

    async def _connected(self) -> None:
        """Connects with redis-py and takes the transport over; when that fails, all who wait are told."""
        error: Exception = exceptions.ConnectionError("the connection was not made")
        dialled: Any = None
        try:
            dialled = self._dial()
            dialled.socket_timeout = None  # redis-py's own bounds rest on `wait_for`, which may swallow a cancellation
            async with asyncio.timeout(self._connect_timeout_s):
                await dialled.connect()
            self._wire = taken_over(dialled, self)
        except TimeoutError:
            error = exceptions.TimeoutError(f"no connection within {self._connect_timeout_s:g} s")
        except AWAY as raised:
            error = raised
        finally:
            self._connecting = None
            if self._wire is None:
                self._refuse_waiting(error)
                if dialled is not None:
                    await dialled.disconnect(nowait=True)
        self.send_waiting()


def _settle(answer: asyncio.Future[list[Any]], found: list[Any] | Exception) -> None:
    if answer.done():
        return
    if isinstance(found, Exception):
        answer.set_exception(found)
    else:
        answer.set_result(found)
