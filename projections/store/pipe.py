"""One wire to a server: what is on its way there, oldest first, and the replies as they come.

Invariants: calls are answered first in, first out; a wire that broke is ended as a whole, and everybody on it is told; no more is
on its way than `MAX_COMMANDS` and `MAX_BYTES`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias

import hiredis
from redis import exceptions
from redis.asyncio.connection import DefaultParser

MAX_COMMANDS: Final = 4096
"""On the way at a time, of all callers: a second's work of a server that takes 200 us for each."""
MAX_BYTES: Final = 8 * 2**20
"""Likewise of packed commands; a single batch that is larger goes alone."""
READ_BYTES: Final = 64 * 1024
"""Taken from the socket at a time. hiredis moves what it has not parsed yet with every reply: of 256 KiB that is dearer."""

_MORE: Final = object()

Deliver: TypeAlias = Callable[[list[Any] | Exception], None]
"""Takes the replies to a batch, or why there are none. Called once, on the loop, and must not raise."""


@dataclass(slots=True, eq=False)
class Call:
    """A batch on its way: bytes, how many replies it gets, who takes them, when it is overdue (on the loop's clock), who may give
    up, replies so far.
    """

    packed: bytes
    count: int
    deliver: Deliver
    overdue_at: float
    waiter: asyncio.Future[list[Any]] | None = None
    replies: list[Any] = field(default_factory=list[Any])

    @property
    def is_given_up(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.waiter is not None and self.waiter.done()


class Owner(Protocol):
    """Who sends on a wire."""

    def drop(self, wire: Wire, error: Exception) -> None:
        """Ends a wire; what was on its way there is answered with the error. Idempotent."""
        ...

    def send_waiting(self) -> None:
        """There may be room again."""
        ...


class Wire(asyncio.BufferedProtocol):
    """One transport from its set-up to its end, and what is on its way there, oldest first."""

    def __init__(self, owner: Owner, writer: asyncio.StreamWriter) -> None:
        self.calls: deque[Call] = deque()
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

    def takes(self, call: Call) -> bool:
        """Whether there is room for a call."""
        return not self.calls or (
            self._commands + call.count <= MAX_COMMANDS and self._bytes + len(call.packed) <= MAX_BYTES
        )

    def await_answer(self, call: Call) -> None:
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
            self.calls.popleft().deliver(error)

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
            call.deliver(call.replies)

    def _refusal(self, text: str) -> Exception:
        """A refusal as redis-py names it; one that concerns the connection (credentials, a server that loads) ends it."""
        error: Exception = DefaultParser.parse_error(text)  # type: ignore[no-untyped-call]
        if isinstance(error, exceptions.ConnectionError):
            self._broken_by = error
        return error


def taken_over(dialled: Any, owner: Owner) -> Wire:
    """The wire of a redis-py connection that is set up and has nothing left to read. Raises ConnectionError.

    The transport is paused meanwhile, so that the loop reads with the new protocol's buffer from then on.
    """
    reader, writer = dialled._reader, dialled._writer
    if reader.at_eof() or writer.transport.is_closing():
        raise exceptions.ConnectionError("the server ended the connection")
    dialled._reader = dialled._writer = None  # not its own any more: it would warn that it was left open
    wire = Wire(owner, writer)
    wire.transport.pause_reading()
    wire.transport.set_protocol(wire)
    wire.transport.resume_reading()
    return wire
