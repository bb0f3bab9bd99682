"""The orders service: what was bought, at which price, and how far it has come.

It listens to `shop.products` for the prices that it sells at, and to `shop.shipments`: an order is completed when all
its lines are delivered.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, assert_never

from msgspec import Meta
from msgspec.structs import replace
from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, bindparam, insert, select

from examples.shop.service.aggregates import Addition, load, record
from examples.shop.service.declare import Change, Context, Creation, Event, Heard, Input, Listening, Topic, Value
from examples.shop.service.errors import FieldProblem, RefusedError
from examples.shop.service.fields import Key, LineNumber, Quantity, Text, cents, plain
from examples.shop.service.outbox import Trace
from examples.shop.service.replicas import replicas_of

# --- facts and state -------------------------------------------------------------------------------------------------


class OrderStatus(StrEnum):
    PLACED = "PLACED"
    CONFIRMED = "CONFIRMED"
    CANCELLED = "CANCELLED"
    COMPLETED = "COMPLETED"


class OrderLine(Value):
    """`amount` = quantity x unit price when placed; `discount` and `tax` are shares of it (0.05 = 5 %)."""

    number: int
    product_id: str
    quantity: Decimal
    amount: Decimal
    discount: Decimal
    tax: Decimal


class Order(Value):
    customer_id: str
    status: OrderStatus
    placed_at: datetime
    total: Decimal
    lines: tuple[OrderLine, ...]


class OrderPlaced(Event):
    customer_id: str
    placed_at: datetime
    total: Decimal
    lines: tuple[OrderLine, ...]


class OrderConfirmed(Event):
    customer_id: str
    confirmed_at: datetime


class OrderCancelled(Event):
    customer_id: str
    reason: str | None
    cancelled_at: datetime


class OrderCompleted(Event):
    customer_id: str
    completed_at: datetime


OrderEvent = OrderPlaced | OrderConfirmed | OrderCancelled | OrderCompleted


def evolve(order: Order | None, event: OrderEvent) -> Order | None:
    if isinstance(event, OrderPlaced):
        return Order(event.customer_id, OrderStatus.PLACED, event.placed_at, event.total, event.lines)
    if order is None:
        raise ValueError(f"{type(event).__name__} is not the first fact of an order")
    match event:
        case OrderConfirmed():
            return replace(order, status=OrderStatus.CONFIRMED)
        case OrderCancelled():
            return replace(order, status=OrderStatus.CANCELLED)
        case OrderCompleted():
            return replace(order, status=OrderStatus.COMPLETED)
        case _:
            assert_never(event)


# --- commands --------------------------------------------------------------------------------------------------------


class PlaceOrderLine(Input):
    product: Key
    quantity: Quantity


class PlaceOrder(Input):
    customer: Key
    lines: Annotated[tuple[PlaceOrderLine, ...], Meta(min_length=1, max_length=100)]


class ConfirmOrder(Input):
    order: Key | None = None


class CancelOrder(Input):
    order: Key | None = None
    reason: Text | None = None


class Offer(Event):
    """What this service reads and keeps of a product."""

    price: Decimal
    available: bool


def place(command: PlaceOrder, offers: Mapping[str, Offer], now: datetime) -> Sequence[Event]:
    """Only known, available products, at the catalog's price."""
    refuse_what_is_not_on_offer(command, offers)
    lines = tuple(priced_line(number, line, offers[line.product]) for number, line in enumerate(command.lines, start=1))
    return [OrderPlaced(command.customer, now, total(lines), lines)]


def confirm(order: Order, command: ConfirmOrder, now: datetime) -> Sequence[Event]:
    """Once, and only what was placed and not cancelled since."""
    if order.status is not OrderStatus.PLACED:
        raise RefusedError(f"ORDER_{order.status}", f"The order is {order.status}, not PLACED")
    return [OrderConfirmed(order.customer_id, now)]


def cancel(order: Order, command: CancelOrder, now: datetime) -> Sequence[Event]:
    """Not once completed, and not twice."""
    if order.status in (OrderStatus.COMPLETED, OrderStatus.CANCELLED):
        raise RefusedError(f"ORDER_{order.status}", f"The order is {order.status}")
    return [OrderCancelled(order.customer_id, command.reason, now)]


def refuse_what_is_not_on_offer(command: PlaceOrder, offers: Mapping[str, Offer]) -> None:
    unknown: list[FieldProblem] = []
    unavailable: list[FieldProblem] = []
    for index, line in enumerate(command.lines):
        offer = offers.get(line.product)
        if offer is None:
            unknown.append(FieldProblem(f"#/lines/{index}/product", "is not a known product"))
        elif not offer.available:
            unavailable.append(FieldProblem(f"#/lines/{index}/product", "is no longer for sale"))
    if unknown:
        raise RefusedError("PRODUCT_UNKNOWN", "There is no such product", unknown + unavailable, may_arrive=True)
    if unavailable:
        raise RefusedError("PRODUCT_UNAVAILABLE", "A product is no longer for sale", unavailable)


def priced_line(number: int, line: PlaceOrderLine, offer: Offer) -> OrderLine:
    nil = Decimal("0.00")
    return OrderLine(number, line.product, plain(line.quantity), cents(line.quantity * offer.price), nil, nil)


def total(lines: Sequence[OrderLine]) -> Decimal:
    """The sum of amount x (1 - discount) x (1 + tax), to the cent."""
    return cents(sum((line.amount * (1 - line.discount) * (1 + line.tax) for line in lines), Decimal(0)))


# --- what other services tell ----------------------------------------------------------------------------------------

products = Listening(
    topic=Topic("shop.products", "product", compacted=True),
    events={"shop.products.ProductState": Offer},
    kept=Offer,
    remember=lambda _, event: event,
)


def offers_for(connection: Connection, command: PlaceOrder) -> Mapping[str, Offer]:
    """The offers for the products that a new order names."""
    return replicas_of(connection, products, {line.product for line in command.lines})


class ShipmentDelivered(Event):
    """What this service reads of a delivery."""

    order_id: Key
    line_numbers: tuple[LineNumber, ...]


own_tables = MetaData()
delivered_lines = Table(
    "delivered_lines",
    own_tables,
    Column("order_id", String(128), primary_key=True),
    Column("number", Integer, primary_key=True),
)
_DELIVERED = select(delivered_lines).where(delivered_lines.c.order_id.in_(bindparam("orders", expanding=True)))


def complete_delivered_orders(connection: Connection, heard: Sequence[Heard], now: datetime) -> bool:
    """Notes the lines that arrived, and completes the orders that have all of theirs and are still alive."""
    deliveries = [fact.event for fact in heard if isinstance(fact.event, ShipmentDelivered)]
    if not deliveries:
        return False
    delivered = note_deliveries(connection, deliveries)
    alive = (OrderStatus.PLACED, OrderStatus.CONFIRMED)
    completed = [
        Addition(stored, [(OrderCompleted(stored.state.customer_id, now), now)])
        for stored in load(connection, context, delivered.keys()).values()
        if stored.state is not None
        and stored.state.status in alive
        and {line.number for line in stored.state.lines} <= delivered[stored.id]
    ]
    if completed:
        record(connection, context, completed, Trace())
    return bool(completed)


def note_deliveries(connection: Connection, deliveries: Sequence[ShipmentDelivered]) -> dict[str, set[int]]:
    """All the lines, known before or new, that have arrived of the orders of these deliveries."""
    delivered: dict[str, set[int]] = {delivery.order_id: set() for delivery in deliveries}
    for order_id, number in connection.execute(_DELIVERED, {"orders": list(delivered)}):
        delivered[order_id].add(number)
    fresh: list[dict[str, str | int]] = []
    for delivery in deliveries:
        new = set(delivery.line_numbers) - delivered[delivery.order_id]
        delivered[delivery.order_id] |= new
        fresh.extend({"order_id": delivery.order_id, "number": number} for number in sorted(new))
    if fresh:
        connection.execute(insert(delivered_lines), fresh)
    return delivered


class Delivered(Value):
    """Of a shipment, its version is all that has to be kept."""


shipments = Listening(
    topic=Topic("shop.shipments", "shipment"),
    events={"shop.shipments.ShipmentDelivered": ShipmentDelivered},
    kept=Delivered,
    remember=lambda _, __: Delivered(),
    react=complete_delivered_orders,
)

context = Context(
    name="orders",
    topic=Topic("shop.orders", "order"),
    id_prefix="o",
    state=Order,
    evolve=evolve,
    listens=[products, shipments],
    tables=own_tables,
    commands=[
        Creation("/orders", PlaceOrder, place, lookup=offers_for),
        Change("/orders/{order}/confirm", ConfirmOrder, confirm),
        Change("/orders/{order}/cancel", CancelOrder, cancel),
    ],
)
