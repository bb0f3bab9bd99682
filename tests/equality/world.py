"""A small random shop: what is stored of it as plain dictionaries, and the same put into a store in memory.

Invariants: follows from its seed; `documents` hold views as they are stored, in the wire form of every scalar; references lead
nowhere now and then, texts are of any script, and one order has more payments than a plain list may show.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple, TypeAlias

from projections.contexts.activity import activity
from projections.contexts.catalog import product_docs
from projections.contexts.customers import customer_docs
from projections.contexts.orders import order_docs
from projections.contexts.payments import payment_docs
from projections.contexts.shipping import shipment_docs
from projections.store.memory import MemoryStore
from projections.timeline import Happening
from projections.wire import Codec
from tests.serving import happen, mark_built, put
from tests.shop_contexts import PROJECTIONS

BUCKETS: Final = 2
VIEWS: Final = {model.name: model for model in (customer_docs, product_docs, order_docs, payment_docs, shipment_docs)}

Name: TypeAlias = tuple[str, str]
"""A document's projection and key."""

_TEXTS: Final = (
    "Ada", "Zoë", "Bolt & Nut", "名前", "🛒 cart", 'say "hi"', "back\\slash", "", "a\nb", "łódź", "Ω", "z" * 70, "z" * 64 + "a",
)  # fmt: skip
_SEGMENTS: Final = ("BUILDING", "MACHINERY", "a:b/c", "Möbel")
_BRANDS: Final = ("Brand#1", "Brand#2", "")
_CATEGORIES: Final = ("STEEL", "TIN", "ÖL")


class Stored(NamedTuple):
    """A document: its version, and its view, None for one that was deleted."""

    version: int
    view: dict[str, Any] | None


@dataclass
class World:
    """The shop. `cursors` are learnt from answers: of a list and a cursor the row that it names."""

    seed: int
    documents: dict[Name, Stored] = field(default_factory=dict[Name, Stored])
    entries: dict[str, list[dict[str, Any]]] = field(default_factory=dict[str, list[dict[str, Any]]])
    cursors: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])

    def keys(self, projection: str) -> list[str]:
        """The keys of a projection, also of what was deleted."""
        return [key for of, key in self.documents if of == projection]

    def rows(self, projection: str) -> list[tuple[str, dict[str, Any]]]:
        """What a projection's lists are made of."""
        return [(key, found.view) for (of, key), found in self.documents.items() if of == projection and found.view]


def build(seed: int) -> World:
    """The shop of a seed."""
    world, rng = World(seed), random.Random(f"world {seed}")
    for number in range(7):
        world.documents["customers", f"c-{number}"] = Stored(rng.randint(1, 9), _customer(rng))
    for number in range(8):
        world.documents["products", f"p-{number}"] = Stored(rng.randint(1, 9), _product(rng))
    for number in range(22):
        world.documents["orders", f"o-{number}"] = Stored(rng.randint(1, 2**31 - 1), _order(rng))
    for number in range(24):
        world.documents["payments", f"pay-{number}"] = Stored(rng.randint(1, 4), _payment(rng, _key(rng, "o", 20, 23)))
    for number in range(101):
        world.documents["payments", f"many-{number}"] = Stored(1, _payment(rng, "o-21"))
    for number in range(16):
        world.documents["shipments", f"s/{number}"] = Stored(rng.randint(1, 4), _shipment(rng))
    for name in [name for name in world.documents if rng.random() < 0.06 and not name[1].startswith("many-")]:
        world.documents[name] = Stored(9, None)
    for number in range(4):
        world.entries[f"c-{number}"] = [_entry(rng, f"e-{number}-{place}") for place in range(rng.choice([1, 3, 12]))]
    return world


async def fill(store: MemoryStore, world: World) -> None:
    """Puts it into a store as the projector would. Raises AssertionError when what is stored is not what the world says."""
    await mark_built(store, PROJECTIONS, buckets=BUCKETS)
    for (projection, key), (version, view) in world.documents.items():
        model = VIEWS[projection]
        codec: Codec[Any] = Codec(model.view)
        typed = None if view is None else codec.decode(json.dumps(view).encode())
        assert typed is None or json.loads(codec.encode(typed)) == view, (projection, key, view)
        await put(store, model, key, typed, version, BUCKETS)
    for key, entries in world.entries.items():
        for entry in entries:
            typed_entry = Codec(Happening).decode(json.dumps(entry).encode())
            await happen(store, activity, key, typed_entry, BUCKETS)


def _key(rng: random.Random, prefix: str, there: int, of: int) -> str:
    """A key that is there as often as not: of so many the first ones are."""
    return f"{prefix}-{rng.randrange(of) if rng.random() < 0.5 else rng.randrange(there)}"


def _money(rng: random.Random) -> str:
    return f"{rng.choice([0, rng.randrange(10**6), rng.randrange(10**10)]) / 100:.2f}"


def _time(rng: random.Random) -> str:
    micros = rng.choice([0, 0, 120_000])
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=rng.randrange(24 * 5), microseconds=micros)
    return at.replace(tzinfo=None).isoformat() + "Z"


def _customer(rng: random.Random) -> dict[str, Any]:
    return {
        "name": rng.choice(_TEXTS),
        "email": rng.choice([None, "ada@example.org", "é@x"]),
        "segment": rng.choice(_SEGMENTS),
        "nation": rng.choice(_TEXTS),
        "since": rng.choice([None, "2020-02-29", "1999-12-31"]),
    }


def _product(rng: random.Random) -> dict[str, Any]:
    return {
        "sku": f"S-{rng.randrange(99)}",
        "title": rng.choice(_TEXTS),
        "brand": rng.choice(_BRANDS),
        "category": rng.choice(_CATEGORIES),
        "price": _money(rng),
        "available": rng.random() < 0.5,
    }


def _order(rng: random.Random) -> dict[str, Any]:
    return {
        "customerId": _key(rng, "c", 4, 9),
        "status": rng.choice(["PLACED", "CONFIRMED", "CANCELLED", "COMPLETED"]),
        "placedAt": _time(rng),
        "total": _money(rng),
        "lines": [
            {
                "number": number,
                "productId": _key(rng, "p", 8, 10),
                "quantity": rng.choice(["1", "2.5", "0.000001"]),
                "amount": _money(rng),
                "discount": "0.05",
                "tax": rng.choice(["0.00", "0.19", "-1"]),
            }
            for number in range(1, rng.choice([1, 2, 4]))
        ],
    }


def _payment(rng: random.Random, order: str) -> dict[str, Any]:
    return {
        "orderId": order,
        "customerId": "c-1",
        "status": rng.choice(["AUTHORIZED", "CAPTURED", "REFUNDED", "FAILED"]),
        "amount": _money(rng),
        "captured": _money(rng),
        "refunded": "0.00",
        "authorizedAt": _time(rng),
    }


def _shipment(rng: random.Random) -> dict[str, Any]:
    return {
        "orderId": _key(rng, "o", 20, 24),
        "customerId": "c-2",
        "status": rng.choice(["CREATED", "DISPATCHED", "DELIVERY_FAILED", "DELIVERED"]),
        "carrier": rng.choice([None, "RAIL", "Ω-air"]),
        "lineNumbers": [rng.randrange(9) for _ in range(rng.randrange(3))],
        "createdAt": _time(rng),
        "dispatchedAt": rng.choice([None, _time(rng)]),
        "deliveredAt": None,
    }


def _entry(rng: random.Random, event_id: str) -> dict[str, Any]:
    return {
        "what": rng.choice(_TEXTS) or "nothing",
        "at": _time(rng),
        "type": "shop.orders.OrderPlaced",
        "subject": f"order/o-{rng.randrange(20)}",
        "eventId": event_id,
        "correlationId": rng.choice([None, "corr-1"]),
        "topic": "shop.orders",
        "partition": rng.randrange(6),
        "offset": str(2**40 + rng.randrange(99)),
    }


class Words:
    """What arguments of operations are given: values that name something in the shop, and values that do not."""

    _PREFIXES: Final[Mapping[str, tuple[str, str]]] = {
        "customer": ("Customer", "customers"),
        "product": ("Product", "products"),
        "order": ("Order", "orders"),
        "payment": ("Payment", "payments"),
        "shipment": ("Shipment", "shipments"),
    }
    _LISTS: Final[Mapping[tuple[str, str], str]] = {
        ("Query", "orders"): "orders.by_status",
        ("Query", "customers"): "customers.by_segment",
        ("Query", "products"): "products.by_brand",
        ("Customer", "orders"): "orders.by_customer",
        ("Customer", "activity"): "activity:",
    }
    _MALFORMED: Final = (
        "",
        " ",
        ":",
        "Order:",
        "Nope:o-1",
        "a b",
        ".",
        "..",
        "x" * 256,
        "Order:.",
        "Order:o 1",
        "PageInfo:x",
        "\t",
    )
    _UNKNOWN: Final = ("o-999", "Order:o-999", "Customer:ö", "Product:a:b", "7", "Shipment:" + "y" * 255)
    _GARBAGE: Final = ("", "x", "é", "AAAA", "not a cursor", "A" * 1100)

    def __init__(self, world: World) -> None:
        self._ids = {
            name: [(key, f"{entity}:{key}") for key in world.keys(projection) if not key.startswith("many-")]
            for name, (entity, projection) in self._PREFIXES.items()
        }
        self._all = [id for ids in self._ids.values() for _, id in ids]
        self._cursors: dict[str, list[str]] = {}
        for list_name, cursor in world.cursors:
            self._cursors.setdefault(list_name, []).append(cursor)
        self._days = sorted({view["placedAt"][:10] for _, view in world.rows("orders")})

    def value(self, rng: random.Random, parent: str, name: str, argument: str) -> Any:
        """A value for an argument of a field, good ones mostly."""
        if argument in ("id", "ids"):
            return self._id(rng, name)
        if argument in ("first", "last"):
            return rng.choice([0, 1, 1, 2, 2, 3, 5, 100]) if rng.random() < 0.98 else rng.choice([-1, 101, 2**31 - 1])
        if argument in ("after", "before"):
            return self._cursor(rng, self._LISTS[parent, name])
        if argument == "day":
            return rng.choice(self._days) if rng.random() < 0.8 else "2031-01-01"
        known: Sequence[str] = {"segment": _SEGMENTS, "brand": _BRANDS, "category": _CATEGORIES}[argument]
        return rng.choice(known) if rng.random() < 0.85 else "nobody's"

    def _id(self, rng: random.Random, name: str) -> Any:
        chance = rng.random()
        if chance < 0.03:
            return rng.choice(self._MALFORMED)
        if chance < 0.06:
            return rng.choice(self._UNKNOWN)
        if chance < 0.07:
            return rng.randrange(100)
        own = self._ids.get(name)
        if own is None or chance < 0.1:
            return rng.choice(self._all)
        return rng.choice(rng.choice(own))

    def _cursor(self, rng: random.Random, of: str) -> str:
        own = self._cursors.get(of)
        chance = rng.random()
        if chance < 0.03 or not self._cursors:
            return rng.choice(self._GARBAGE)
        if own is None or chance < 0.06:
            return rng.choice(self._cursors[rng.choice(sorted(self._cursors))])
        return rng.choice(own)


def cents(texts: Sequence[str]) -> str:
    """The sum of amounts of money, to the cent."""
    return str(sum((Decimal(text) for text in texts), Decimal("0.00")).quantize(Decimal("0.01")))
