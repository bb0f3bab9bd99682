"""A small read model and the records of its publisher, for the unit tests of the projector."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from typing import Any, assert_never

from projections import Event, Index, Part, Projection, View, replace
from projections.record import Record


class Item(Part):
    sku: str
    price: Decimal


class Opened(Event):
    owner: str
    at: datetime
    items: list[Item]


class Renamed(Event):
    event_type = "other.team.Renamed"
    owner: str


class Broken(Event):
    how: str


class Closed(Event):
    pass


class CartView(View):
    owner: str
    renames: int
    at: datetime
    items: list[Item]


def evolve(view: CartView | None, event: Opened | Renamed | Broken | Closed) -> CartView | None:
    match event:
        case Opened():
            return CartView(owner=event.owner, renames=0, at=event.at, items=event.items)
        case Renamed():
            return replace(view, owner=event.owner, renames=view.renames + 1) if view else None
        case Broken():
            if event.how == "raise":
                raise RuntimeError("a defect of the author")
            naive = datetime(2024, 1, 1)  # what the codec must refuse
            return replace(view, at=naive) if view else None
        case Closed():
            return None
        case _:
            assert_never(event)


by_owner = Index[CartView]("by_owner", filters=("owner?",), sort="-at")
carts = Projection(name="carts", version=1, topics=["shop.carts"], aggregate="cart", evolve=evolve, indexes=[by_owner])


class CartState(Event):
    owner: str


class StateView(View):
    owner: str
    seen: int


def take(view: StateView | None, event: CartState) -> StateView:
    return StateView(owner=event.owner, seen=view.seen + 1 if view else 1)


by_state_owner = Index[StateView]("by_owner", filters=("owner",))
cart_states = Projection(
    name="cart_states",
    version=1,
    topics=["shop.cart-states"],
    aggregate="cart",
    state=True,
    evolve=take,
    indexes=[by_state_owner],
)

OPENED: dict[str, Any] = {"owner": "ann", "at": "2024-05-01T12:00:00Z", "items": [{"sku": "s", "price": "1.50"}]}


def headers(
    id: str, version: object, kind: str, *, epoch: object = None, aggregate: str = "cart", time: str | None = None
) -> dict[str, bytes]:
    """The CloudEvents headers of a record."""
    found = {
        "ce_specversion": "1.0",
        "ce_id": f"{id}-{version}",
        "ce_source": "/carts",
        "ce_type": kind,
        "ce_subject": f"{aggregate}/{id}",
        "ce_aggregateversion": str(version),
        "ce_time": time or "2024-05-01T12:00:00.123Z",
    }
    if epoch is not None:
        found["ce_aggregateepoch"] = str(epoch)
    return {name: value.encode() for name, value in found.items()}


def record(
    id: str = "c-1",
    version: object = 1,
    kind: str = "shop.carts.Opened",
    data: object = OPENED,
    *,
    offset: int = 0,
    topic: str = "shop.carts",
    **more: Any,
) -> Record:
    """A record in binary mode; `data` None is a null value, bytes are taken as they are."""
    value = data if data is None or isinstance(data, bytes) else json.dumps(data).encode()
    return Record(topic, 0, offset, id.encode(), value, tuple(headers(id, version, kind, **more).items()), 1_000)
