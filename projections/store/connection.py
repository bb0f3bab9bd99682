"""One connection to one server for any number of callers at a time: commands leave together and are answered first in, first out.

Invariants: a command is sent once, never again behind the caller's back; a wire that broke, or on which an answer is overdue, is
dropped as a whole, so that a late answer is never taken for another's; a caller that gives up leaves its place in the line, and
what is answered to it is read and thrown away; no more is on its way than `MAX_COMMANDS` and `MAX_BYTES`, what comes above waits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import hiredis
from redis import exceptions
from redis.asyncio.connection import DefaultParser

from projections.store.faults import AWAY

MAX_COMMANDS: Final = 4096
"""On the way at a time, of all callers: a second's work of a server that takes 200 us for each."""
MAX_BYTES: Final = 8 * 2**20
"""Likewise of packed commands; a single batch that is larger goes alone."""
READ_BYTES: Final = 64 * 1024
"""Taken from the socket at a time. hiredis moves what it has not parsed yet with every reply: of 256 KiB that is dearer."""
GRACE_S: Final = 0.05
"""Between finding an answer overdue and dropping the wire: if it was this process that stood still, the answer is there already."""

_MORE: Final = object()
_packed: Final[Callable[[tuple[Any, ...]], bytes]] = hiredis.pack_command  # pyright: ignore[reportUnknownMemberType]


@dataclass(slots=True, eq=False)
class _Call:
    """A batch on its way: bytes, how many replies it gets, who waits, when it is overdue (on the loop's clock), replies so far."""

    packed: bytes
    count: int
    answer: asyncio.Future[list[Any]]
    overdue_at: float
    replies: list[Any] = field(default_factory=list[Any])


class Connection:
    """Connects when there is something to send, and anew after a failure. Used from one event loop.

    Raises (in the answers) what redis-py raises: ConnectionError and its kin, TimeoutError.
    """

    def __init__(self, dial: Callable[[], Any], *, connect_timeout_s: float, timeout_s: float) -> None:
        """`dial` makes a redis-py connection that is not connected yet: TLS, credentials, database and name are its business."""
        self._dial = dial
        self._connect_timeout_s = connect_timeout_s
        self._timeout_s = timeout_s
        self._waiting: deque[_Call] = deque()
        self._is_due = False
        self._wire: _Wire | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._suspect: _Call | None = None

    def submit(self, commands: Sequence[tuple[Any, ...]]) -> asyncio.Future[list[Any]]:
        """Replies in the order of the commands, a refusal (ResponseError) in the place of its reply. Does not block.

        What is submitted in one tick of the loop leaves in one write. The future ends within `connect_timeout_s` for a connection
        and a place on it, and `timeout_s` for the answer. Cancelling it is safe: what has not left by then is not sent. Words are
        str, bytes, int or float; raises TypeError for others.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[Any]] = loop.create_future()
        packed = _packed(commands[0]) if len(commands) == 1 else b"".join([_packed(words) for words in commands])
        if not packed:
            answer.set_result([])
            return answer
        self._waiting.append(_Call(packed, len(commands), answer, loop.time() + self._connect_timeout_s))
        self._flush_soon(loop)
        return answer

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

    def drop(self, wire: _Wire, error: Exception) -> None:
        """Ends a wire; what was on its way there is answered with the error. Idempotent."""
        if self._wire is wire:
            self._wire = None
        wire.end(error)
        self.send_waiting()

    def send_waiting(self) -> None:
        """Sends what waits, once this tick is over, as far as there is room."""
        if self._waiting:
            self._flush_soon(asyncio.get_running_loop())

    def _flush_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._is_due:
            self._is_due = True
            loop.call_soon(self._flush, loop)

    def _flush(self, loop: asyncio.AbstractEventLoop) -> None:
        self._is_due = False
        wire = self._wire
        if wire is None:
            if self._waiting and self._connecting is None:
                self._connecting = loop.create_task(self._connected())
            return
        overdue_at = loop.time() + self._timeout_s
        pieces: list[bytes] = []
        while self._waiting and wire.takes(self._waiting[0]):
            call = self._waiting.popleft()
            if not call.answer.done():
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

    def _next_overdue(self, wire: _Wire) -> float:
        """When the first call of the line, or of those that wait to join it, is overdue; 0 without any. Bounds are alike."""
        return min([line[0].overdue_at for line in (wire.calls, self._waiting) if line], default=0.0)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Drops a wire on which the oldest answer is overdue, refuses what found no place in time, and looks again later."""
        self._timer = None
        wire, now = self._wire, loop.time()
        if wire is None:  # who waits then waits for a connection, which has its own bound
            return
        while self._waiting and self._waiting[0].overdue_at <= now and not wire.takes(self._waiting[0]):
            _fail(self._waiting.popleft(), exceptions.TimeoutError("too much is on its way to the server"))
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
            _fail(self._waiting.popleft(), error)

    async def _connected(self) -> None:
        """Connects with redis-py and takes the transport over; when that fails, all who wait are told."""
        error: Exception = exceptions.ConnectionError("the connection was not made")
        dialled: Any = None
        try:
            dialled = self._dial()
            dialled.socket_timeout = None  # redis-py's own bounds rest on `wait_for`, which may swallow a cancellation
            async with asyncio.timeout(self._connect_timeout_s):
                await dialled.connect()
            self._wire = _taken_over(dialled, self)
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


class _Wire(asyncio.BufferedProtocol):
    """One transport from its set-up to its end, and what is on its way there, oldest first."""

    def __init__(self, owner: Connection, writer: asyncio.StreamWriter) -> None:
        self.calls: deque[_Call] = deque()
        self.transport: Any = writer.transport
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._owner = owner
        self._writer = writer  # it closes its transport when nobody holds it
        self._buffer = bytearray(READ_BYTES)
        self._view = memoryview(self._buffer)
        self._reader: Any = hiredis.Reader(
            protocolError=exceptions.InvalidResponse, replyError=self._refusal, notEnoughData=_MORE
        )
        self._broken_by: Exception | None = None
        self._commands = 0
        self._bytes = 0

    def takes(self, call: _Call) -> bool:
        """Whether there is room for a call."""
        return not self.calls or (
            self._commands + call.count <= MAX_COMMANDS and self._bytes + len(call.packed) <= MAX_BYTES
        )

    def await_answer(self, call: _Call) -> None:
        """Puts a call at the end of the line; its bytes are about to leave."""
        self.calls.append(call)
        self._commands += call.count
        self._bytes += len(call.packed)

    def end(self, error: Exception) -> None:
        """Closes the transport without further ado and answers everybody. Idempotent."""
        if self._reader is not None:
            self._reader = None
            self.transport.abort()
        while self.calls:
            _fail(self.calls.popleft(), error)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._view  # not the bytearray: asyncio's TLS fills slices of it, which would be copies

    def buffer_updated(self, nbytes: int) -> None:
        if self._reader is None:
            return
        try:
            self._reader.feed(self._buffer, 0, nbytes)
            self._answer()
        except exceptions.InvalidResponse as error:
            self._owner.drop(self, error)
        if self._broken_by is not None:
            self._owner.drop(self, self._broken_by)
        else:
            self._owner.send_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(None)
        self._owner.drop(
            self, exceptions.ConnectionError(f"the server ended the connection{f': {exc}' if exc else ''}")
        )

    def _answer(self) -> None:
        """Deals the replies that are there."""
        gets, calls = self._reader.gets, self.calls
        while (reply := gets()) is not _MORE:
            if not calls:
                raise exceptions.InvalidResponse("the server answers what nobody asked")
            call = calls[0]
            call.replies.append(reply)
            if len(call.replies) < call.count:
                continue
            if self._broken_by is not None:
                return
            calls.popleft()
            self._commands -= call.count
            self._bytes -= len(call.packed)
            if not call.answer.done():
                call.answer.set_result(call.replies)

    def _refusal(self, text: str) -> Exception:
        """A refusal as redis-py names it; one that concerns the connection (credentials, a server that loads) ends it."""
        error: Exception = DefaultParser.parse_error(text)  # type: ignore[no-untyped-call]
        if isinstance(error, exceptions.ConnectionError):
            self._broken_by = error
        return error


def _taken_over(dialled: Any, owner: Connection) -> _Wire:
    """The wire of a redis-py connection that is set up and has nothing left to read. Raises ConnectionError.

    The transport is paused meanwhile, so that the loop reads with the new protocol's buffer from then on.
    """
    reader, writer = dialled._reader, dialled._writer
    if reader.at_eof() or writer.transport.is_closing():
        raise exceptions.ConnectionError("the server ended the connection")
    dialled._reader = dialled._writer = None  # not its own any more: it would warn that it was left open
    wire = _Wire(owner, writer)
    wire.transport.pause_reading()
    wire.transport.set_protocol(wire)
    wire.transport.resume_reading()
    return wire


def _fail(call: _Call, error: Exception) -> None:
    if not call.answer.done():
        call.answer.set_exception(error)
