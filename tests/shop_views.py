"""Views of a small shop, for tests of the graph."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from projections.contexts.activity import activity
from projections.contexts.catalog import ProductView, product_docs
from projections.contexts.customers import CustomerView, customer_docs
from projections.contexts.orders import Line, OrderStatus, OrderView, order_docs
from projections.contexts.payments import PaymentStatus, PaymentView, payment_docs
from projections.contexts.shipping import ShipmentStatus, ShipmentView, shipment_docs
from projections.store.port import ProjectorStore
from projections.timeline import Happening
from tests.serving import happen, mark_built, put

DAY_ONE = datetime(2026, 1, 1, tzinfo=UTC)


def customer(name: str = "Ada", segment: str = "BUILDING") -> CustomerView:
    return CustomerView(name=name, email=None, segment=segment, nation="ENGLAND", since=None)


def product(title: str = "Bolt", brand: str = "Brand#1", category: str = "STEEL") -> ProductView:
    return ProductView(sku="S-1", title=title, brand=brand, category=category, price=Decimal("1.20"), available=True)


def order(
    number: int = 1, status: OrderStatus = OrderStatus.PLACED, customer_id: str = "c-1", lines: int = 2
) -> OrderView:
    return OrderView(
        customer_id=customer_id,
        status=status,
        placed_at=DAY_ONE + timedelta(days=number),
        total=Decimal("12.30"),
        lines=[
            Line(
                number=line,
                product_id=f"p-{line}",
                quantity=Decimal(2),
                amount=Decimal("2.40"),
                discount=Decimal("0.00"),
                tax=Decimal("0.00"),
            )
            for line in range(1, lines + 1)
        ],
    )


def payment(order_id: str = "o-1") -> PaymentView:
    return PaymentView(
        order_id=order_id,
        customer_id="c-1",
        status=PaymentStatus.AUTHORIZED,
        amount=Decimal("12.30"),
        captured=Decimal("0.00"),
        refunded=Decimal("0.00"),
        authorized_at=DAY_ONE,
    )


def shipment(order_id: str = "o-1") -> ShipmentView:
    return ShipmentView(
        order_id=order_id,
        customer_id="c-1",
        status=ShipmentStatus.CREATED,
        carrier="RAIL",
        line_numbers=[1, 2],
        created_at=DAY_ONE,
    )


def happening(number: int = 1) -> Happening:
    """An order was placed; `number` counts the days."""
    return Happening(
        what=f"Placed order o-{number} for 12.30",
        at=DAY_ONE + timedelta(days=number),
        type="shop.orders.OrderPlaced",
        subject=f"order/o-{number}",
        event_id=f"e-{number}",
        correlation_id=f"corr-{number}",
        topic="shop.orders",
        partition=3,
        offset=str(2**40 + number),
    )


async def fill(store: ProjectorStore, orders: int = 1, buckets: int = 1) -> None:
    """One customer, two products, `orders` orders with a payment and a shipment each, and what happened then."""
    await mark_built(store, buckets=buckets)
    await put(store, customer_docs, "c-1", customer(), buckets=buckets)
    for number in (1, 2):
        await put(store, product_docs, f"p-{number}", product(f"Bolt {number}"), buckets=buckets)
    for number in range(1, orders + 1):
        await put(store, order_docs, f"o-{number}", order(number), buckets=buckets)
        await put(store, payment_docs, f"pay-{number}", payment(f"o-{number}"), buckets=buckets)
        await put(store, shipment_docs, f"s-{number}", shipment(f"o-{number}"), buckets=buckets)
        await happen(store, activity, "c-1", happening(number), buckets=buckets)
