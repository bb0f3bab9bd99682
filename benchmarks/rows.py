"""The rows of a small order that benchmarks of reads look at, stored as the projector would store them."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from benchmarks.errors import BrokenRunError
from projections.contexts.catalog import ProductView, product_docs
from projections.contexts.customers import CustomerView, customer_docs
from projections.contexts.orders import Line, OrderStatus, OrderView, order_docs
from projections.contexts.payments import PaymentStatus, PaymentView, payment_docs
from projections.contexts.shipping import ShipmentStatus, ShipmentView, shipment_docs
from projections.declare import Projection, View
from projections.entries import Entries
from projections.store.change import Applied, BucketChange, Change
from projections.store.document import Document
from projections.store.keys import Bucket
from projections.store.port import ProjectorStore
from projections.wire import Codec

LINES: Final = 5
_DAY: Final = datetime(2026, 1, 1, tzinfo=UTC)

CUSTOMER: Final = CustomerView(name="Ada", email="ada@example.org", segment="BUILDING", nation="FRANCE", since=None)
ORDER: Final = OrderView(
    customer_id="c-1",
    status=OrderStatus.PLACED,
    placed_at=_DAY,
    total=Decimal("61.50"),
    lines=[
        Line(
            number=number,
            product_id=f"p-{number}",
            quantity=Decimal(2),
            amount=Decimal("12.30"),
            discount=Decimal("0.00"),
            tax=Decimal("0.00"),
        )
        for number in range(1, LINES + 1)
    ],
)
PAYMENT: Final = PaymentView(
    order_id="o-1",
    customer_id="c-1",
    status=PaymentStatus.AUTHORIZED,
    amount=Decimal("61.50"),
    captured=Decimal("0.00"),
    refunded=Decimal("0.00"),
    authorized_at=_DAY,
)
SHIPMENT: Final = ShipmentView(
    order_id="o-1",
    customer_id="c-1",
    status=ShipmentStatus.CREATED,
    carrier="RAIL",
    line_numbers=list(range(1, LINES + 1)),
    created_at=_DAY,
)

ROWS: Final[tuple[tuple[Projection[Any, Any], str, View], ...]] = (
    (customer_docs, "c-1", CUSTOMER),
    (order_docs, "o-1", ORDER),
    (payment_docs, "pay-1", PAYMENT),
    (shipment_docs, "s-1", SHIPMENT),
    *(
        (
            product_docs,
            f"p-{number}",
            ProductView(
                sku=f"S-{number}",
                title=f"Bolt {number}",
                brand="Alder",
                category="OFFICE",
                price=Decimal("6.15"),
                available=True,
            ),
        )
        for number in range(1, LINES + 1)
    ),
)
"""Projection, id and view of every row; all are at version 1."""


async def fill(store: ProjectorStore) -> None:
    """Stores `ROWS`. Raises BrokenRunError when something is there already."""
    for projection, id, view in ROWS:
        entries = Entries(projection)
        added: dict[str, list[bytes]] = {}
        for name, member in entries.lists(id, view):
            added.setdefault(name, []).append(member)
        change = Change(id, None, Document(0, 1, 0, Codec(type(view)).encode(view)))
        await _apply(store, projection, change, added=added, deltas=entries.numbers(view))


async def advance(store: ProjectorStore, version: int) -> None:
    """Raises the customer from `version - 1` to `version`; what is shown stays as it is. Returns when `apply` has."""
    view = Codec(CustomerView).encode(CUSTOMER)
    change = Change("c-1", Document(0, version - 1, 0, view), Document(0, version, 0, view))
    await _apply(store, customer_docs, change)


async def _apply(store: ProjectorStore, projection: Projection[Any, Any], change: Change, **more: Any) -> None:
    outcome = await store.apply(BucketChange(Bucket(projection.name, projection.version, 0), [change], **more))
    if not isinstance(outcome, Applied) or not outcome.applied:
        raise BrokenRunError(f"{change.id} was not stored: {outcome}")
