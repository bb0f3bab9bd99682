"""A gateway in this process, asked through its ASGI interface: what a request costs without a network in between.

Invariants: it is the composed gateway of the catalogs, over a store that the caller opens and closes; its commands go nowhere.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
from starlette.types import ASGIApp, Message

from benchmarks.errors import BrokenRunError
from gateway.app import create_app
from gateway.compose import compose
from gateway.http.graphql import GraphQLEndpoint
from gateway.settings import gateway_settings
from projections.catalog import PROJECTIONS
from projections.store.port import ReaderStore
from schema.catalog import CONTEXTS

_KEY: Final = base64.urlsafe_b64encode(b"b" * 32).decode()
_SETTINGS: Final = {
    "HEADRACE_REDIS_URL": "redis://127.0.0.1:1",  # unused: the store is given
    "HEADRACE_SERVICES": ",".join(f"{context.name}=http://127.0.0.1:1" for context in CONTEXTS),
    "HEADRACE_TOKEN_KEYS": f"b1:{_KEY}",
}
_HEADERS: Final = [(b"host", b"gateway"), (b"content-type", b"application/json")]


class InnerGateway:
    """A gateway and its parts; made by `gateway_over`."""

    def __init__(self, app: ASGIApp, state: Mapping[str, Any]) -> None:
        self._app = app
        self._state = state
        self.endpoint: GraphQLEndpoint = state["endpoint"]

    async def answer(self, body: bytes) -> bytes:
        """The body of the answer to a POST of `body` to /graphql. Raises BrokenRunError for a status that is not 200."""
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": "/graphql",
            "raw_path": b"/graphql",
            "root_path": "",
            "query_string": b"",
            "headers": _HEADERS,
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 1),
            "state": dict(self._state),
        }
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        answer = b"".join(message.get("body", b"") for message in sent)
        if sent[0]["status"] != 200:
            raise BrokenRunError(f"the gateway answered {sent[0]['status']}: {answer[:500]!r}")
        return answer


@asynccontextmanager
async def gateway_over(store: ReaderStore) -> AsyncGenerator[InnerGateway]:
    """A gateway that reads from `store`."""
    app = create_app(gateway_settings(_SETTINGS), compose(CONTEXTS, PROJECTIONS), store)
    async with app.router.lifespan_context(app) as state:
        yield InnerGateway(app, state or {})


def request_body(query: str, after: str | None = None, **policy: Any) -> bytes:
    """A GraphQL request; with a token, and a read policy, in its extensions."""
    consistency = {"after": after, **policy} if after is not None else policy
    extensions = {"extensions": {"consistency": consistency}} if consistency else {}
    return msgspec.json.encode({"query": query, **extensions})


def read_answer(body: bytes) -> dict[str, Any]:
    """The decoded answer. Raises BrokenRunError when it has errors."""
    answer: dict[str, Any] = msgspec.json.decode(body)
    if "errors" in answer:
        raise BrokenRunError(f"the gateway answered {answer['errors']}")
    return answer
