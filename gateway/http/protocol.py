"""uvicorn's HTTP protocol with a short way for what nearly all requests are: a whole POST to `/graphql` over HTTP/1.1.

Invariants: such a request is answered as the ASGI app answers it, byte for byte; its answer leaves in one write; everything else
(other paths and methods, bodies in chunks or too large, `Expect`, HTTP/1.0, a request sent before the last one was answered) goes
uvicorn's own way, through the app. Only what goes wrong while the body is on its way differs: it is refused once it is there,
and a process that stops meanwhile ends the connection without an answer.

What an ASGI server does for a request (its scope, an event, two messages in, two out, each header looked through for line ends,
head and body written apart) takes as long as a small operation does. uvicorn's protocol keeps the connection here as everywhere:
parsing, time-outs, flow control, draining. To it an exchange of the short way is what a cycle of its own is: `cycle`. Of its
settings, root_path, access_log and limit_concurrency are not looked at on the short way; `gateway serve` uses none of them.
"""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Any, Final, cast

from starlette.types import Message
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from gateway.http.graphql import GraphQLEndpoint
from gateway.http.reply import Reply, fixed, lines
from gateway.http.request import MAX_BODY_BYTES, ClientGoneError, Headers

log = logging.getLogger(__name__)

PATH: Final = b"/graphql"
TOO_LARGE: Final = MAX_BODY_BYTES + 1
"""Stands for the length of a body that comes in chunks: how long it is shows when it is there."""
_OFFER: Final = b": h2c\r\n"
_OFFER_LINES: Final = re.compile(rb"(?i)\r\n(?:upgrade: h2c|http2-settings:[^\r\n]*)(?=\r\n|\Z)")
GIVEN_UP: Final = Reply(500, b"Internal Server Error", fixed([(b"content-type", b"text/plain; charset=utf-8")]))
"""uvicorn's own answer to what it cancels."""


class _Exchange:
    """The requests of one connection that go the short way, one at a time; what uvicorn's protocol looks at, and sets."""

    def __init__(self) -> None:
        self.headers: Headers = {}
        self.chunks: list[bytes] = []
        self.is_reading = False
        self.keep_alive = True
        self.disconnected = False
        self.response_complete = True
        self.message_event = asyncio.Event()
        """Set when the connection is lost, and never cleared."""

    async def receive(self) -> Message:
        """What an ASGI app that has read the whole body can still receive."""
        await self.message_event.wait()
        return {"type": "http.disconnect"}


class GraphQLProtocol(HttpToolsProtocol):
    """One connection. uvicorn makes it; the app's lifespan has left `endpoint` in its state."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._exchange = _Exchange()
        self.cycle = cast("RequestResponseCycle", self._exchange)
        self._is_between = True

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol. An offer to go on in HTTP/2 is taken out of a request's head: the parser would take what follows,
        the body, for that protocol. Java's own client makes it to every server that it does not know.
        """
        if self._is_between and _OFFER in data:
            head, end, rest = data.partition(b"\r\n\r\n")
            data = _OFFER_LINES.sub(b"", head) + end + rest
        super().data_received(data)

    def on_message_begin(self) -> None:
        """See httptools."""
        self._is_between = False
        super().on_message_begin()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._exchange.disconnected = True
        self._exchange.message_event.set()
        super().connection_lost(exc)

    def on_headers_complete(self) -> None:
        """See httptools."""
        parser: Any = self.parser  # None once the connection is lost, when nothing is parsed
        headers = dict(self.headers)
        if not self._is_short(parser, headers):
            super().on_headers_complete()
            return
        exchange = self._exchange
        exchange.headers, exchange.is_reading = headers, True
        exchange.keep_alive = parser.should_keep_alive()
        exchange.response_complete = False
        self.cycle = cast("RequestResponseCycle", exchange)

    def on_body(self, body: bytes) -> None:
        """See httptools."""
        if self._exchange.is_reading:
            self._exchange.chunks.append(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """See httptools."""
        self._is_between = True
        exchange = self._exchange
        if exchange.is_reading:
            body, exchange.chunks, exchange.is_reading = b"".join(exchange.chunks), [], False
            self.tasks.add(self.loop.create_task(self._answer(body)))
        else:
            super().on_message_complete()

    def _is_short(self, parser: Any, headers: Headers) -> bool:
        """Whether the request whose headers these are goes the short way."""
        return (
            self.url == PATH
            and parser.get_method() == b"POST"
            and parser.get_http_version() == "1.1"
            and not self.expect_100_continue
            and not parser.should_upgrade()
            and self.cycle.response_complete
            and int(headers.get(b"content-length", TOO_LARGE)) <= MAX_BODY_BYTES
        )

    async def _answer(self, body: bytes) -> None:
        exchange = self._exchange
        try:
            endpoint: GraphQLEndpoint = self.app_state["endpoint"]
            reply = await endpoint.post(exchange.headers, body, exchange.receive)
            if self.flow.write_paused:
                await self.flow.drain()
            self._write(reply)
        except ClientGoneError:
            return
        except BaseException as error:
            # Cancelled: the process is asked to stop, and has waited for this as long as it waits. Anything else should not be.
            if not isinstance(error, asyncio.CancelledError):
                log.exception("a request failed")
            exchange.keep_alive = False
            self._write(GIVEN_UP)
            if not isinstance(error, Exception):
                raise
        finally:
            self.tasks.discard(cast("asyncio.Task[None]", asyncio.current_task(self.loop)))

    def _write(self, reply: Reply) -> None:
        exchange = self._exchange
        if exchange.disconnected:
            return
        head = STATUS_LINE[reply.status] + lines(self.server_state.default_headers) + reply.header_lines()
        if not exchange.keep_alive:
            head += b"connection: close\r\n"
        self.transport.write(b"%b\r\n%b" % (head, reply.body))
        exchange.response_complete = True
        if not exchange.keep_alive:
            self.transport.close()
        self.on_response_complete()
