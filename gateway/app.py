"""The gateway's composition root: settings in, a Starlette app out, and what lives as long as it does.

Invariants: importing starts nothing; the app starts whether or not store and services are there, and finds them by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Any, Final

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from gateway.commands.forward import CommandForwarder
from gateway.compose import Composed
from gateway.consistency.token import TokenCodec
from gateway.consistency.wait import ChangeHub
from gateway.engine.documents import Documents
from gateway.engine.engine import Engine
from gateway.engine.plain import PlainExecutor
from gateway.engine.reader import BatchedReader
from gateway.engine.served import read_models
from gateway.engine.trusted import pin, read_trusted, warm
from gateway.http.attended import Attendance
from gateway.http.graphiql.page import page, static_routes
from gateway.http.graphql import GraphQLEndpoint
from gateway.http.probes import Probes
from gateway.http.request import Headers
from gateway.settings import GatewaySettings
from gateway.telemetry import observe_executions
from projections.store.port import ReaderStore
from projections.store.redis import RedisStore
from schema.ports import ANONYMOUS, Principal


def create_app(
    settings: GatewaySettings,
    composed: Composed,
    store: ReaderStore | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
    principal_of: Callable[[Headers], Principal] | None = None,
) -> Starlette:
    """The app that serves a composed graph.

    A `store` that is given stands in for Redis and is not closed; a `transport` stands in for the network to the services;
    `principal_of` says who asks, nobody in particular without it. Raises TrustedDocumentsError.
    """

    documents = Documents(composed.schema, composed.graph, settings.limits)
    trusted = pin(read_trusted(Path(settings.trusted_documents)), documents) if settings.trusted_documents else {}

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[Mapping[str, Any]]:
        opened = store or open_store(settings)
        try:
            async with (
                _client(transport) as client,
                _background() as tasks,
            ):
                parts = _parts(settings, composed, opened, client, tasks, documents, principal_of or _anyone)
                observe_executions(parts["endpoint"].engine.counts)
                for operation in trusted.values():
                    warm(operation, parts["endpoint"].engine)
                yield parts
        finally:
            if store is None:
                await opened.close()

    return _App(routes=_ROUTES, lifespan=lifespan)


def open_store(settings: GatewaySettings) -> RedisStore:
    """The store that the settings name; nothing is connected yet."""
    return RedisStore(settings.redis_url, timeout_s=settings.store_timeout_ms / 1000, cluster=settings.redis_cluster)


def _client(transport: httpx.AsyncBaseTransport | None) -> httpx.AsyncClient:
    """The client for commands. It keeps no cookies: what a service sets for one caller is not another's."""
    refuse = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
    return httpx.AsyncClient(
        transport=transport, follow_redirects=False, trust_env=False, limits=_LIMITS, cookies=refuse
    )


_LIMITS: Final = httpx.Limits(max_connections=200, max_keepalive_connections=50)


@asynccontextmanager
async def _background() -> AsyncGenerator[asyncio.TaskGroup]:
    """A task group whose tasks are cancelled when it is left."""
    try:
        async with asyncio.TaskGroup() as tasks:
            yield tasks
            raise _Leaving
    except* _Leaving:
        pass


class _Leaving(Exception):  # noqa: N818 - a signal, not an error
    """Ends the task group of a lifespan."""


def _parts(
    settings: GatewaySettings,
    composed: Composed,
    store: ReaderStore,
    client: httpx.AsyncClient,
    tasks: asyncio.TaskGroup,
    documents: Documents,
    principal_of: Callable[[Headers], Principal],
) -> Mapping[str, Any]:
    """What the routes find in `request.state`."""
    reader = BatchedReader(store, tasks, deadline_s=settings.store_timeout_ms / 1000)
    models = read_models(composed.graph, settings.buckets)
    endpoint = GraphQLEndpoint(
        documents=documents,
        engine=Engine(composed.schema, composed.graph, models, reader, max_nodes=settings.max_nodes),
        executor=PlainExecutor(composed.schema),
        models=models,
        reader=reader,
        hub=ChangeHub(store, reader, tasks),
        commands=CommandForwarder(client, settings.services, timeout_s=settings.command_timeout_ms / 1000),
        tokens=TokenCodec(settings.token_keys, settings.token_audience),
        page=page("/graphql", composed.examples(), _PLAN_HEADERS if settings.show_plans else None),
        max_wait_ms=settings.max_wait_ms,
        attendance=Attendance(settings.operation_timeout_ms / 1000),
        shows_plans=settings.show_plans,
        principal_of=principal_of,
    )
    return {"endpoint": endpoint, "probes": Probes(store, models, composed.sdl())}


_PLAN_HEADERS: Final = {"Headrace-Plan": "0"}
"""In GraphiQL's editor of headers: who wants a plan makes it 1."""


def _anyone(_: Headers) -> Principal:
    return ANONYMOUS


class _App(Starlette):
    """Hands on what is for `/graphql` before any middleware and routing: these cost a request as much as its answer."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/graphql":
            endpoint: GraphQLEndpoint = scope["state"]["endpoint"]
            await endpoint(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


async def _livez(request: Request) -> Response:
    probes: Probes = request.state.probes
    return await probes.livez(request)


async def _readyz(request: Request) -> Response:
    probes: Probes = request.state.probes
    return await probes.readyz(request)


async def _schema(request: Request) -> Response:
    probes: Probes = request.state.probes
    return await probes.schema(request)


_ROUTES: Final[Sequence[BaseRoute]] = [
    Route("/livez", _livez),
    Route("/readyz", _readyz),
    Route("/schema.graphql", _schema),
    *static_routes(),
]
