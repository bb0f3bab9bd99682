"""A shop of a few thousand orders, stored through the product's own `apply`: what every peer reads.

Invariants: each order has five lines of different products, a customer, one payment and one shipment; everything is at version 1,
in bucket 0, and marked as built; the same numbers give the same shop.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from benchmarks.errors import BrokenRunError
from projections.batch import MAX_ITEMS
from projections.contexts.catalog import ProductView, product_docs
from projections.contexts.customers import CustomerView, customer_docs
from projections.contexts.orders import Line, OrderStatus, OrderView, order_docs
from projections.contexts.payments import PaymentStatus, PaymentView, payment_docs
from projections.contexts.shipping import ShipmentStatus, ShipmentView, shipment_docs
from projections.declare import Projection, View
from projections.entries import Entries
from projections.log.port import Partition
from projections.store.change import Applied, BucketChange, Change
from projections.store.document import Document
from projections.store.keys import Bucket
from projections.store.port import ProjectorStore
from projections.wire import Codec

LINES: Final = 5
_DAY: Final = datetime(2026, 1, 1, tzinfo=UTC)
_CENT: Final = Decimal("0.01")
_NOWHERE: Final = Partition("composition", 0)
_SEGMENTS: Final = ("AUTOMOBILE", "BUILDING", "FURNITURE", "HOUSEHOLD", "MACHINERY")
_NATIONS: Final = ("FRANCE", "KENYA", "PERU", "JAPAN", "CANADA", "EGYPT", "INDIA")
_CARRIERS: Final = ("RAIL", "TRUCK", "SHIP", None)

Rows = Mapping[str, View]
"""Views by id."""


@dataclass(frozen=True)
class Shop:
    """Ids and views by projection."""

    customers: Rows
    products: Rows
    orders: Mapping[str, OrderView]
    payments: Rows
    shipments: Rows

    def by_projection(self) -> Iterator[tuple[Projection[Any, Any], Rows]]:
        """What is stored where."""
        yield customer_docs, self.customers
        yield product_docs, self.products
        yield order_docs, self.orders
        yield payment_docs, self.payments
        yield shipment_docs, self.shipments


def shop(orders: int) -> Shop:
    """So many orders, a customer for each seven of them, and a product for each four; at least LINES products."""
    chosen = random.Random(1)
    customers = [f"c-{number}" for number in range(max(1, orders // 7))]
    products = [f"p-{number}" for number in range(max(LINES, orders // 4))]
    placed = {f"o-{number}": _order(number, chosen, customers, products) for number in range(orders)}
    return Shop(
        customers={id: _customer(number, chosen) for number, id in enumerate(customers)},
        products={id: _product(number, chosen) for number, id in enumerate(products)},
        orders=placed,
        payments={f"pay-{id[2:]}": _payment(id, order) for id, order in placed.items()},
        shipments={f"s-{id[2:]}": _shipment(id, order, chosen) for id, order in placed.items()},
    )


async def fill(store: ProjectorStore, stocked: Shop) -> None:
    """Stores a shop. Raises BrokenRunError when something of it is there already."""
    for projection, rows in stocked.by_projection():
        bucket = Bucket(projection.name, projection.version, 0)
        ids = list(rows)
        for first in range(0, len(ids), MAX_ITEMS):
            await _apply(store, _change(projection, bucket, rows, ids[first : first + MAX_ITEMS]))
        await _apply(store, BucketChange(bucket, caught_up=[_NOWHERE], partitions=[_NOWHERE]))


def _change(projection: Projection[Any, Any], bucket: Bucket, rows: Rows, ids: Sequence[str]) -> BucketChange:
    entries, codec = Entries(projection), Codec(type(rows[ids[0]]))
    added: dict[str, list[bytes]] = defaultdict(list)
    deltas: Counter[str] = Counter()
    changes: list[Change] = []
    for id in ids:
        for name, member in entries.lists(id, rows[id]):
            added[name].append(member)
        deltas.update(entries.numbers(rows[id]))
        changes.append(Change(id, None, Document(0, 1, 0, codec.encode(rows[id]))))
    return BucketChange(bucket, changes, added=added, deltas=deltas)


async def _apply(store: ProjectorStore, change: BucketChange) -> None:
    outcome = await store.apply(change)
    if not isinstance(outcome, Applied) or outcome.applied != len(change.changes):
        raise BrokenRunError(f"rows of {change.bucket.projection} were not stored: {outcome}")


def _customer(number: int, chosen: random.Random) -> CustomerView:
    return CustomerView(
        name=f"Customer {number} & Söhne",
        email=f"c{number}@example.org",
        segment=chosen.choice(_SEGMENTS),
        nation=chosen.choice(_NATIONS),
        since=date(2020, 1, 1) + timedelta(days=number % 1000),
    )


def _product(number: int, chosen: random.Random) -> ProductView:
    return ProductView(
        sku=f"S-{number:06d}",
        title=f"Bolt, hot-dipped, number {number}",
        brand=f"Brand#{number % 25}",
        category="STEEL",
        price=_money(chosen, 100),
        available=number % 9 != 0,
    )


def _order(number: int, chosen: random.Random, customers: Sequence[str], products: Sequence[str]) -> OrderView:
    lines = [
        Line(
            number=at,
            product_id=id,
            quantity=Decimal(chosen.randint(1, 50)),
            amount=_money(chosen, 5000),
            discount=Decimal(chosen.randint(0, 10)) * _CENT,
            tax=Decimal(chosen.randint(0, 8)) * _CENT,
        )
        for at, id in enumerate(chosen.sample(products, LINES), 1)
    ]
    total = sum((line.amount * (1 - line.discount) * (1 + line.tax) for line in lines), Decimal(0))
    return OrderView(
        customer_id=chosen.choice(customers),
        status=chosen.choice(list(OrderStatus)),
        placed_at=_DAY + timedelta(minutes=7 * number),
        total=total.quantize(_CENT),
        lines=lines,
    )


def _payment(order_id: str, order: OrderView) -> PaymentView:
    is_captured = order.status is OrderStatus.COMPLETED
    return PaymentView(
        order_id=order_id,
        customer_id=order.customer_id,
        status=PaymentStatus.CAPTURED if is_captured else PaymentStatus.AUTHORIZED,
        amount=order.total,
        captured=order.total if is_captured else Decimal("0.00"),
        refunded=Decimal("0.00"),
        authorized_at=order.placed_at + timedelta(minutes=3),
    )


def _shipment(order_id: str, order: OrderView, chosen: random.Random) -> ShipmentView:
    created, is_delivered = order.placed_at + timedelta(hours=5), order.status is OrderStatus.COMPLETED
    return ShipmentView(
        order_id=order_id,
        customer_id=order.customer_id,
        status=ShipmentStatus.DELIVERED if is_delivered else ShipmentStatus.CREATED,
        carrier=chosen.choice(_CARRIERS),
        line_numbers=[line.number for line in order.lines],
        created_at=created,
        dispatched_at=created + timedelta(hours=2) if is_delivered else None,
        delivered_at=created + timedelta(days=2) if is_delivered else None,
    )


def _money(chosen: random.Random, up_to: int) -> Decimal:
    return Decimal(chosen.randint(100, up_to * 100)) * _CENT
