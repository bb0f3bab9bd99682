"""The ASGI app: `uvicorn benchmarks.peers.strawberry.app:app`. REDIS_URL says where the store is, PEER_CACHES=1 turns caches on.

Invariants: DataLoaders live as long as a request, as the documentation of Strawberry has it.
"""

from __future__ import annotations

import base64
import os
from typing import Any, Final, cast

import strawberry
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.dataloader import DataLoader
from strawberry.extensions import ParserCache, SchemaExtension, ValidationCache
from strawberry.schema.config import StrawberryConfig

from benchmarks.peers.strawberry.stored import Stored
from benchmarks.peers.strawberry.types import SCALARS, Order, OrderConnection, OrderStatus, PageInfo, order_of

MARK_BYTES: Final = 4
"""Of a cursor, before the place in the list."""


@strawberry.type
class Query:
    @strawberry.field
    async def order(self, info: strawberry.Info[Any, None], id: strawberry.ID) -> Order | None:
        """By its key."""
        found = await info.context["orders"].load(str(id))
        return order_of(found) if found else None

    @strawberry.field
    async def orders(
        self,
        info: strawberry.Info[Any, None],
        status: OrderStatus | None = None,
        first: int = 20,
        after: str | None = None,
    ) -> OrderConnection:
        """Newest first."""
        place = base64.urlsafe_b64decode(after + "=" * (-len(after) % 4))[MARK_BYTES:] if after else None
        stored: Stored = info.context["stored_orders"]
        found = await stored.page(f"by_status:{status.value if status else '*'}", place, first + 1)
        return OrderConnection(
            nodes=[order_of(document) for document in found[:first]],
            page_info=PageInfo(has_next_page=len(found) > first),
        )


class ShopGraphQL(GraphQL[Any, None]):
    """Hands each request its DataLoaders."""

    def __init__(self, schema: strawberry.Schema, redis: Redis) -> None:
        super().__init__(schema)
        self._orders, self._customers = Stored(redis, "orders"), Stored(redis, "customers")
        self._products = Stored(redis, "products")
        self._payments, self._shipments = Stored(redis, "payments"), Stored(redis, "shipments")

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> dict[str, Any]:
        """See strawberry.asgi."""
        return {
            "stored_orders": self._orders,
            "orders": DataLoader(load_fn=self._orders.documents),
            "customers": DataLoader(load_fn=self._customers.documents),
            "products": DataLoader(load_fn=self._products.documents),
            "payments": DataLoader(load_fn=_by_order(self._payments)),
            "shipments": DataLoader(load_fn=_by_order(self._shipments)),
        }


def _by_order(stored: Stored) -> Any:
    async def load(orders: list[str]) -> list[list[dict[str, Any]]]:
        return await stored.listed([f"by_order:{order}" for order in orders])

    return load


def _app() -> Starlette:
    extensions: list[type[SchemaExtension]] = []
    if os.environ.get("PEER_CACHES") == "1":
        extensions = [ParserCache, ValidationCache]
    schema = strawberry.Schema(Query, extensions=extensions, config=StrawberryConfig(scalar_map=SCALARS))
    graphql = ShopGraphQL(schema, cast("Any", Redis).from_url(os.environ["REDIS_URL"]))
    return Starlette(routes=[Route("/graphql", graphql)])


app: Final = _app()
