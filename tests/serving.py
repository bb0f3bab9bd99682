"""A gateway in the test's own process, over any store and a network of the test's making."""

import base64
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.app import create_app
from gateway.compose import compose
from gateway.http.request import Headers
from gateway.settings import GatewaySettings, gateway_settings
from projections.declare import Projection, View
from projections.entries import Entries
from projections.log.port import Partition
from projections.store import keys
from projections.store.change import Append, Applied, BucketChange, Change
from projections.store.document import Document
from projections.store.keys import Bucket, bucket_of
from projections.store.port import ProjectorStore, ReaderStore
from projections.timeline import Happening, Timeline
from projections.wire import Codec
from schema.ports import Principal
from tests.shop_contexts import CONTEXTS, PROJECTIONS

COMPOSED = compose(CONTEXTS, PROJECTIONS)
NAMES = ("customers", "catalog", "orders", "payments", "shipping")
KEY = base64.urlsafe_b64encode(b"k" * 32).decode()

Handler = Callable[[httpx.Request], httpx.Response]


def settings(**changes: str) -> GatewaySettings:
    """Settings that need no server."""
    environ = {
        "HEADRACE_REDIS_URL": "redis://127.0.0.1:1",
        "HEADRACE_SERVICES": ",".join(f"{name}=http://{name}.test" for name in NAMES),
        "HEADRACE_TOKEN_KEYS": f"t1:{KEY}",
    }
    return gateway_settings(environ | changes)


class Client:
    """Sends GraphQL to a gateway."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def ask(
        self, query: str, variables: Mapping[str, Any] | None = None, *, headers: Mapping[str, str] = {}, **body: Any
    ) -> dict[str, Any]:
        """The decoded answer of a POST, whatever its status."""
        response = await self.http.post(
            "/graphql", json={"query": query, "variables": variables, **body}, headers=dict(headers)
        )
        answer: dict[str, Any] = response.json()
        return answer

    async def data(self, query: str, variables: Mapping[str, Any] | None = None, **body: Any) -> dict[str, Any]:
        """The data of an answer without errors."""
        answer = await self.ask(query, variables, **body)
        assert "errors" not in answer, answer["errors"]
        data: dict[str, Any] = answer["data"]
        return data


@asynccontextmanager
async def gateway(
    store: ReaderStore,
    handler: Handler | None = None,
    *,
    composed: Any = COMPOSED,
    principal_of: Callable[[Headers], Principal] | None = None,
    **changes: str,
) -> AsyncGenerator[Client]:
    """A gateway over `store`; commands reach `handler`, which refuses the connection when it is None."""

    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    app = create_app(settings(**changes), composed, store, httpx.MockTransport(handler or refuse), principal_of)
    async with app.router.lifespan_context(app) as state:
        transport = httpx.ASGITransport(_with_state(app, state or {}))
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway.test") as http:
            yield Client(http)


def _with_state(app: ASGIApp, state: Mapping[str, Any]) -> ASGIApp:
    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] = dict(state)
        await app(scope, receive, send)

    return call


MARK: Final = Partition("marked", 0)


async def put(
    store: ProjectorStore,
    projection: Projection[Any, Any],
    id: str,
    view: View | None,
    version: int = 1,
    buckets: int = 1,
    *,
    flags: int = 0,
) -> None:
    """Stores a view as the projector would, whatever was there, in a bucket that is built."""
    bucket = Bucket(projection.name, projection.version, bucket_of(id, buckets))
    codec: Codec[View] = Codec(projection.view)
    (old,) = await store.documents(bucket, [id])
    old_view = codec.decode(old.view) if old and old.view else None
    entries = Entries(projection)
    before, after = entries.lists(id, old_view), entries.lists(id, view)
    amounts = Counter(entries.numbers(view))
    amounts.subtract(entries.numbers(old_view))
    change = BucketChange(
        bucket,
        [Change(id, old, Document(0, version, 0, codec.encode(view) if view else None, flags))],
        removed=_by_list(before - after),
        added=_by_list(after - before),
        deltas={name: amount for name, amount in amounts.items() if amount},
        caught_up=[MARK],
        partitions=[MARK],
    )
    outcome = await store.apply(change)
    assert isinstance(outcome, Applied), outcome


def _by_list(places: Iterable[tuple[str, bytes]]) -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = {}
    for name, member in places:
        found.setdefault(name, []).append(member)
    return found


async def happen(
    store: ProjectorStore, timeline: Timeline[Any], key: str, happening: Happening, buckets: int = 1
) -> None:
    """Appends an entry to somebody's timeline as the projector would, in a bucket that is built."""
    bucket = Bucket(timeline.name, timeline.version, bucket_of(key, buckets))
    member = keys.member(happening.at, happening.event_id)
    append = Append(key, happening.event_id, member, Codec(Happening).encode(happening))
    change = BucketChange(bucket, appends=[append], timeline_bound=timeline.bound, caught_up=[MARK], partitions=[MARK])
    outcome = await store.apply(change)
    assert isinstance(outcome, Applied), outcome


async def mark_built(
    store: ProjectorStore, models: Iterable[Projection[Any, Any] | Timeline[Any]] = PROJECTIONS, buckets: int = 1
) -> None:
    """Every bucket of these read models is built, and what is not in it is not there."""
    for model in models:
        for number in range(buckets):
            bucket = Bucket(model.name, model.version, number)
            outcome = await store.apply(BucketChange(bucket, caught_up=[MARK], partitions=[MARK]))
            assert isinstance(outcome, Applied), outcome
