"""The short way of the gateway's HTTP protocol: it answers as the app does, and keeps a connection as uvicorn does."""

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from gateway.app import create_app
from gateway.http.protocol import GraphQLProtocol
from gateway.http.reply import JSON_MEDIA_TYPE, Reply, told
from gateway.http.request import MAX_BODY_BYTES, ClientGoneError, Headers
from projections.store.memory import MemoryStore
from tests.serving import COMPOSED, settings
from tests.shop_views import fill

TYPENAME = b'{"query": "{ __typename }"}'
ANSWER = b'{"data":{"__typename":"Query"}}'


async def until(condition: Callable[[], bool]) -> None:
    """Returns once it holds."""
    while not condition():  # noqa: ASYNC110 - what is waited for is none of the test's own
        await asyncio.sleep(0)


class Endpoint:
    """Answers the short way with what `work` does, and knows what came."""

    def __init__(self, work: Callable[[bytes, Receive], Awaitable[bytes]]) -> None:
        self.work = work
        self.bodies: list[bytes] = []

    async def post(self, headers: Headers, body: bytes, receive: Receive) -> Reply:
        self.bodies.append(body)
        return told(await self.work(body, receive), 200, JSON_MEDIA_TYPE)


class Talk:
    """A connection to a server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def answer(self) -> tuple[bytes, bytes]:
        """The next answer: head and body."""
        async with asyncio.timeout(5):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head)
            return head, await self.reader.readexactly(int(length[1]) if length else 0)

    async def ask(self, request: bytes) -> tuple[bytes, bytes]:
        """Sends a request and takes its answer."""
        self.writer.write(request)
        return await self.answer()


class Served:
    """A server: connections to it, and what uvicorn knows of them."""

    def __init__(self, port: int, state: ServerState) -> None:
        self.state = state
        self._port = port
        self._talks: list[Talk] = []

    async def talk(self) -> Talk:
        self._talks.append(Talk(*await asyncio.open_connection("127.0.0.1", self._port)))
        return self._talks[-1]

    def connections(self) -> list[GraphQLProtocol]:
        """Those that are open."""
        return [connection for connection in self.state.connections if isinstance(connection, GraphQLProtocol)]

    async def close(self) -> None:
        for talk in self._talks:
            talk.writer.close()
        async with asyncio.timeout(5):
            await until(lambda: not self.state.connections and not self.state.tasks)


@asynccontextmanager
async def serving(
    protocol: type[HttpToolsProtocol], endpoint: Endpoint | None = None, **parts: Any
) -> AsyncGenerator[Served]:
    """The app behind a protocol, or an endpoint of the test's, which only the short way asks."""
    store = MemoryStore()
    await fill(store)
    app = create_app(settings(), COMPOSED, store)
    config = uvicorn.Config(app, http=protocol, access_log=False, log_config=None, proxy_headers=False)
    config.load()
    server_state = ServerState()
    loop = asyncio.get_running_loop()
    async with app.router.lifespan_context(app) as lifespan:
        state: Mapping[str, Any] = {**(lifespan or {}), **({"endpoint": endpoint} if endpoint else {})}
        server = await loop.create_server(
            lambda: protocol(config=config, server_state=server_state, app_state=dict(state)), "127.0.0.1", 0
        )
        served = Served(server.sockets[0].getsockname()[1], server_state)
        try:
            yield served
        finally:
            server.close()
            await served.close()


def post(body: bytes = TYPENAME, *lines: bytes, path: bytes = b"/graphql", version: bytes = b"1.1") -> bytes:
    head = [b"POST %b HTTP/%b" % (path, version), b"Host: gateway.test", b"X-Correlation-Id: c-1", *lines]
    if not any(line.lower().startswith(b"content-type") for line in lines):
        head.append(b"Content-Type: application/json")
    if not any(line.lower().startswith((b"content-length", b"transfer")) for line in lines):
        head.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*head, b"", body])


@pytest.mark.parametrize(
    "request_bytes",
    [
        post(),
        post(b'{"query": "{ order(id: \\"o-1\\") { status } nobody: order(id: \\"o-9\\") { status } }"}'),
        post(TYPENAME, b"Accept: application/graphql-response+json"),
        post(b'{"query": "{ nothing }"}', b"Accept: application/graphql-response+json"),
        post(b'{"query": "{ nothing }"}'),
        post(b"{"),
        post(b""),
        post(TYPENAME, b"Content-Type: text/plain"),
        post(TYPENAME, b"Content-Encoding: gzip"),
        post(TYPENAME, b"Headrace-After: nonsense"),
        post(TYPENAME, b"Connection: close"),
        post(TYPENAME, b"Content-Length: %d \t" % len(TYPENAME)),
        post(TYPENAME, b"X-Correlation-Id: blanks \t"),
        post(TYPENAME, version=b"1.0"),
        post(TYPENAME, path=b"/graphql?a=b"),
        post(b"x" * (MAX_BODY_BYTES + 1)),
        post(b"%x\r\n%b\r\n0\r\n\r\n" % (len(TYPENAME), TYPENAME), b"Transfer-Encoding: chunked"),
        b"GET /graphql?query=%7B__typename%7D HTTP/1.1\r\nHost: gateway.test\r\nX-Correlation-Id: c-1\r\n\r\n",
        b"PUT /graphql HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
    ],
    ids=range(20),
)
async def test_answers_are_those_of_the_app_byte_for_byte(request_bytes: bytes) -> None:
    answers: list[tuple[bytes, bytes]] = []
    for protocol in (HttpToolsProtocol, GraphQLProtocol):
        async with serving(protocol) as served:
            served.state.default_headers = [(b"date", b"Sat, 21 Nov 2026 17:00:00 GMT")]
            answers.append(await (await served.talk()).ask(request_bytes))
    assert answers[0] == answers[1]


H2C = (
    b"Connection: Upgrade, HTTP2-Settings",
    b"Upgrade: h2c",
    b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
)


async def test_an_offer_to_go_on_in_http_2_is_passed_by() -> None:
    async with serving(GraphQLProtocol) as served:
        talk = await served.talk()
        for _ in range(2):  # the connection is kept
            head, body = await talk.ask(post(TYPENAME, *H2C))
            assert head.startswith(b"HTTP/1.1 200 ")
            assert body == b'{"data":{"__typename":"Query"}}'


async def test_what_reads_like_an_offer_is_left_in_a_body() -> None:
    endpoint = Endpoint(echo)
    text = b"a\r\nUpgrade: h2c\r\nb\r\n\r\n"
    async with serving(GraphQLProtocol, endpoint) as served:
        talk = await served.talk()
        request = post(text)
        talk.writer.write(request[: -len(text)])
        await until(lambda: any(not connection._is_between for connection in served.connections()))
        talk.writer.write(text)
        await talk.answer()
        talk.writer.write(post(text, *H2C))
        await talk.answer()
    assert endpoint.bodies == [text, text]


async def echo(body: bytes, receive: Receive) -> bytes:
    return body


async def test_a_body_may_come_byte_by_byte() -> None:
    endpoint = Endpoint(echo)
    async with serving(GraphQLProtocol, endpoint) as served:
        talk = await served.talk()
        for number in range(len(request := post())):
            talk.writer.write(request[number : number + 1])
            await asyncio.sleep(0)
        assert (await talk.answer())[1] == TYPENAME
        assert (await talk.ask(post(b"another")))[1] == b"another"
    assert endpoint.bodies == [TYPENAME, b"another"]


async def test_an_answer_leaves_in_one_write() -> None:
    written: list[bytes] = []

    class Watched(GraphQLProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            class Transport(type(transport)):  # type: ignore[misc]
                def write(self, data: bytes) -> None:
                    written.append(data)
                    super().write(data)

            transport.__class__ = Transport
            super().connection_made(transport)  # type: ignore[arg-type]

    async with serving(Watched, Endpoint(echo)) as served:
        head, body = await (await served.talk()).ask(post())
    assert written == [head + body]


async def test_requests_that_do_not_wait_for_their_answers_are_answered_in_order() -> None:
    async with serving(GraphQLProtocol) as served:
        talk = await served.talk()
        livez = b"GET /livez HTTP/1.1\r\nHost: gateway.test\r\n\r\n"
        talk.writer.write(post() + livez + post(b"{") + post())
        bodies = [(await talk.answer())[1] for _ in range(4)]
        assert bodies[:2] == [ANSWER, b"ok\n"]
        assert b"BAD_REQUEST" in bodies[2]
        assert bodies[3] == ANSWER
        assert (await talk.ask(post()))[1] == ANSWER


async def test_who_expects_to_be_told_to_go_on_is_told() -> None:
    async with serving(GraphQLProtocol) as served:
        talk = await served.talk()
        request = post(TYPENAME, b"Expect: 100-continue")
        head, _ = await talk.ask(request.removesuffix(TYPENAME))
        assert head.startswith(b"HTTP/1.1 100 ")
        assert (await talk.ask(TYPENAME))[1] == ANSWER


async def test_a_client_that_goes_away_is_noticed() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def until_gone(body: bytes, receive: Receive) -> bytes:
        began.set()
        assert (await receive())["type"] == "http.disconnect"
        ended.set()
        raise ClientGoneError

    async with serving(GraphQLProtocol, Endpoint(until_gone)) as served, asyncio.timeout(5):
        talk = await served.talk()
        talk.writer.write(post())
        await began.wait()
        talk.writer.close()
        await ended.wait()


async def test_what_is_under_way_is_answered_before_its_connection_is_closed() -> None:
    began, may_end = asyncio.Event(), asyncio.Event()

    async def held(body: bytes, receive: Receive) -> bytes:
        began.set()
        await may_end.wait()
        return body

    async with serving(GraphQLProtocol, Endpoint(held)) as served, asyncio.timeout(5):
        talk, idle = await served.talk(), await served.talk()
        talk.writer.write(post())
        await began.wait()
        for connection in list(served.state.connections):
            connection.shutdown()
        assert await idle.reader.read() == b""
        assert len(served.state.tasks) == 1
        may_end.set()
        head, body = await talk.answer()
        assert b"connection: close\r\n" in head
        assert body == TYPENAME
        assert await talk.reader.read() == b""


async def test_what_takes_too_long_to_drain_is_told_so() -> None:
    began = asyncio.Event()

    async def held(body: bytes, receive: Receive) -> bytes:
        began.set()
        await asyncio.Event().wait()
        return body

    async with serving(GraphQLProtocol, Endpoint(held)) as served, asyncio.timeout(5):
        talk = await served.talk()
        talk.writer.write(post())
        await began.wait()
        (task,) = served.state.tasks
        task.cancel()
        head, _ = await talk.answer()
        assert head.startswith(b"HTTP/1.1 500 ")
        assert await talk.reader.read() == b""


async def test_what_should_not_be_is_answered_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def fails(body: bytes, receive: Receive) -> bytes:
        raise asyncio.InvalidStateError("not meant")

    async with serving(GraphQLProtocol, Endpoint(fails)) as served:
        talk = await served.talk()
        head, _ = await talk.ask(post())
        assert head.startswith(b"HTTP/1.1 500 ")
        assert b"connection: close" in head
        assert await talk.reader.read() == b""
    assert "a request failed" in caplog.text


async def test_an_answer_waits_for_a_client_that_does_not_read() -> None:
    large = b"x" * 16_000_000  # more than the buffers of both sockets take

    async def much(body: bytes, receive: Receive) -> bytes:
        return large

    endpoint = Endpoint(much)
    async with serving(GraphQLProtocol, endpoint) as served, asyncio.timeout(10):
        talk = await served.talk()
        talk.writer.write(post())
        await until(lambda: any(connection.flow.write_paused for connection in served.connections()))
        talk.writer.write(post())
        await until(lambda: len(endpoint.bodies) == 2)
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(served.state.tasks) == 1
        for _ in range(2):
            assert (await talk.answer())[1] == large
