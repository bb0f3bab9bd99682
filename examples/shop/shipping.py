"""The shipping service: which lines of an order travel together, and whether they arrived.

It listens to `shop.orders`, so that it knows the lines of an order and whether the order is still alive.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, assert_never

from msgspec import Meta
from msgspec.structs import replace
from sqlalchemy import Connection

from examples.shop.service.aggregates import holders
from examples.shop.service.declare import Change, Context, Creation, Event, Input, Listening, Topic, Value
from examples.shop.service.errors import FieldProblem, RefusedError
from examples.shop.service.fields import Key, LineNumber, Name, Text
from examples.shop.service.replicas import replica


class ShipmentStatus(StrEnum):
    CREATED = "CREATED"
    DISPATCHED = "DISPATCHED"
    DELIVERY_FAILED = "DELIVERY_FAILED"
    DELIVERED = "DELIVERED"


class Shipment(Value):
    order_id: str
    customer_id: str
    status: ShipmentStatus
    carrier: str | None
    line_numbers: tuple[int, ...]
    created_at: datetime
    dispatched_at: datetime | None = None
    delivered_at: datetime | None = None


class ShipmentCreated(Event):
    """`line_numbers` ascend."""

    order_id: str
    customer_id: str
    carrier: str | None
    line_numbers: tuple[int, ...]
    created_at: datetime


class ShipmentDispatched(Event):
    order_id: str
    customer_id: str
    dispatched_at: datetime


class DeliveryFailed(Event):
    order_id: str
    customer_id: str
    reason: str
    failed_at: datetime


class ShipmentDelivered(Event):
    order_id: str
    customer_id: str
    line_numbers: tuple[int, ...]
    delivered_at: datetime


class CreateShipment(Input):
    order: Key
    line_numbers: Annotated[tuple[LineNumber, ...], Meta(min_length=1, max_length=100)]
    carrier: Name | None = None


class DispatchShipment(Input):
    shipment: Key | None = None


class ConfirmDelivery(Input):
    shipment: Key | None = None


class FailDelivery(Input):
    reason: Text
    shipment: Key | None = None


def claim(order_id: str, line_number: int) -> str:
    """The name that keeps a line from travelling twice."""
    return f"line:{order_id}:{line_number}"


def line_claims(shipment: Shipment) -> frozenset[str]:
    return frozenset(claim(shipment.order_id, number) for number in shipment.line_numbers)


class KnownOrder(Value):
    """What this service keeps of an order."""

    customer_id: str
    line_numbers: tuple[int, ...]
    cancelled: bool = False


class PlacedLine(Value):
    number: int


class OrderPlaced(Event):
    customer_id: str
    lines: tuple[PlacedLine, ...]


class OrderCancelled(Event):
    customer_id: str


def remember_order(order: KnownOrder | None, event: OrderPlaced | OrderCancelled) -> KnownOrder | None:
    if isinstance(event, OrderPlaced):
        return KnownOrder(event.customer_id, tuple(line.number for line in event.lines))
    lines = order.line_numbers if order else ()
    return KnownOrder(event.customer_id, lines, cancelled=True)


orders = Listening(
    topic=Topic("shop.orders", "order"),
    events={"shop.orders.OrderPlaced": OrderPlaced, "shop.orders.OrderCancelled": OrderCancelled},
    kept=KnownOrder,
    remember=remember_order,
)


@dataclass(frozen=True)
class KnownLines:
    """The order, and which of the wanted lines are in which shipment already."""

    order: KnownOrder | None
    shipped: Mapping[int, str]


def known_lines(connection: Connection, command: CreateShipment) -> KnownLines:
    wanted = {claim(command.order, number): number for number in command.line_numbers}
    shipped = {wanted[name]: shipment for name, shipment in holders(connection, wanted).items()}
    return KnownLines(replica(connection, orders, command.order), shipped)


def create(command: CreateShipment, known: KnownLines, now: datetime) -> Sequence[Event]:
    """Only lines of a known, living order, and each line in one shipment only."""
    if known.order is None:
        unknown = FieldProblem("#/order", "is not a known order")
        raise RefusedError("ORDER_UNKNOWN", "There is no such order", [unknown], may_arrive=True)
    if known.order.cancelled:
        raise RefusedError("ORDER_CANCELLED", "The order is cancelled")
    problems = line_problems(command, known.order, known.shipped)
    if problems:
        raise RefusedError("LINES_NOT_SHIPPABLE", "Not all these lines can be shipped", problems)
    lines = tuple(sorted(command.line_numbers))
    return [ShipmentCreated(command.order, known.order.customer_id, command.carrier, lines, now)]


def line_problems(command: CreateShipment, order: KnownOrder, shipped: Mapping[int, str]) -> list[FieldProblem]:
    problems: list[FieldProblem] = []
    seen: set[int] = set()
    for index, number in enumerate(command.line_numbers):
        pointer = f"#/lineNumbers/{index}"
        if number not in order.line_numbers:
            problems.append(FieldProblem(pointer, "is not a line of the order"))
        elif number in shipped:
            problems.append(FieldProblem(pointer, f"is in shipment {shipped[number]}"))
        elif number in seen:
            problems.append(FieldProblem(pointer, "is there twice"))
        seen.add(number)
    return problems


def dispatch(shipment: Shipment, command: DispatchShipment, now: datetime) -> Sequence[Event]:
    """What is packed goes out; what came back may go out again."""
    if shipment.status not in (ShipmentStatus.CREATED, ShipmentStatus.DELIVERY_FAILED):
        raise RefusedError(f"SHIPMENT_{shipment.status}", f"The shipment is {shipment.status}")
    return [ShipmentDispatched(shipment.order_id, shipment.customer_id, now)]


def confirm_delivery(shipment: Shipment, command: ConfirmDelivery, now: datetime) -> Sequence[Event]:
    """Only what is on its way can arrive."""
    refuse_unless_dispatched(shipment)
    return [ShipmentDelivered(shipment.order_id, shipment.customer_id, shipment.line_numbers, now)]


def fail_delivery(shipment: Shipment, command: FailDelivery, now: datetime) -> Sequence[Event]:
    """Only what is on its way can fail to arrive."""
    refuse_unless_dispatched(shipment)
    return [DeliveryFailed(shipment.order_id, shipment.customer_id, command.reason, now)]


def refuse_unless_dispatched(shipment: Shipment) -> None:
    if shipment.status is not ShipmentStatus.DISPATCHED:
        raise RefusedError("SHIPMENT_NOT_DISPATCHED", f"The shipment is {shipment.status}, not DISPATCHED")


ShipmentEvent = ShipmentCreated | ShipmentDispatched | DeliveryFailed | ShipmentDelivered


def evolve(shipment: Shipment | None, event: ShipmentEvent) -> Shipment | None:
    if isinstance(event, ShipmentCreated):
        status = ShipmentStatus.CREATED
        return Shipment(event.order_id, event.customer_id, status, event.carrier, event.line_numbers, event.created_at)
    if shipment is None:
        raise ValueError(f"{type(event).__name__} is not the first fact of a shipment")
    match event:
        case ShipmentDispatched():
            return replace(shipment, status=ShipmentStatus.DISPATCHED, dispatched_at=event.dispatched_at)
        case DeliveryFailed():
            return replace(shipment, status=ShipmentStatus.DELIVERY_FAILED)
        case ShipmentDelivered():
            return replace(shipment, status=ShipmentStatus.DELIVERED, delivered_at=event.delivered_at)
        case _:
            assert_never(event)


context = Context(
    name="shipping",
    topic=Topic("shop.shipments", "shipment"),
    id_prefix="s",
    state=Shipment,
    evolve=evolve,
    claims=line_claims,
    listens=[orders],
    commands=[
        Creation("/shipments", CreateShipment, create, lookup=known_lines),
        Change("/shipments/{shipment}/dispatch", DispatchShipment, dispatch),
        Change("/shipments/{shipment}/confirm-delivery", ConfirmDelivery, confirm_delivery),
        Change("/shipments/{shipment}/fail", FailDelivery, fail_delivery),
    ],
)
