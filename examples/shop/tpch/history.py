"""TPC-H rows become the history of the shop: one stream of aggregates per context, each with its facts from version 1 on.

Invariants
- Pure, and one aggregate in memory at a time.
- Keys are the data set's own; a fact's time is a date of the data set, at midnight in UTC, never the time of loading.
- What the data set has no date for takes the one that causes it: an order is confirmed on the day it is placed,
  completed when the last of its lines arrives, and paid for when it is completed.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from itertools import groupby
from operator import attrgetter

from examples.shop.catalog import ProductState
from examples.shop.customers import CustomerState
from examples.shop.orders import OrderCompleted, OrderConfirmed, OrderLine, OrderPlaced
from examples.shop.payments import PaymentAuthorized, PaymentCaptured
from examples.shop.service.declare import Event
from examples.shop.service.history import History
from examples.shop.shipping import ShipmentCreated, ShipmentDelivered, ShipmentDispatched
from examples.shop.tpch.rows import FINISHED, OPEN, LineItem, Open, OrderRow, order_rows, rows

# The data set's own "today" (TPC-H 4.2.2.12, CURRENTDATE): what arrives later has not arrived yet.
TODAY = datetime(1995, 6, 17, tzinfo=UTC)
# Customers and products have no dates; no order is older than this day (STARTDATE, ibidem).
FIRST_DAY = datetime(1992, 1, 1, tzinfo=UTC)


def customers(table: Open) -> Iterator[History]:
    """One per row of `customer`, one fact each."""
    nations = {key: name for key, name in rows(table("nation"), "n_nationkey", "n_name")}  # noqa: C416 - typed
    for key, name, nation, segment in rows(table("customer"), "c_custkey", "c_name", "c_nationkey", "c_mktsegment"):
        state = CustomerState(name=name, email=None, segment=segment, nation=nations[nation], since=None)
        yield History(key, [(state, FIRST_DAY)])


def products(table: Open) -> Iterator[History]:
    """One per row of `part`, one fact each."""
    for key, title, brand, category, price in rows(
        table("part"), "p_partkey", "p_name", "p_brand", "p_type", "p_retailprice"
    ):
        state = ProductState(f"P-{key}", title, brand, category, price=Decimal(price), available=True)
        yield History(key, [(state, FIRST_DAY)])


def orders(table: Open) -> Iterator[History]:
    """One per row of `orders`: placed (`O`), confirmed as well (`P`), completed as well (`F`)."""
    for order in order_rows(table):
        lines = tuple(map(_order_line, order.lines))
        facts: list[tuple[Event, datetime]] = [
            (OrderPlaced(order.customer, order.ordered_at, order.total, lines), order.ordered_at)
        ]
        if order.status != OPEN:
            facts.append((OrderConfirmed(order.customer, order.ordered_at), order.ordered_at))
        if order.status == FINISHED:
            completed_at = _completed_at(order)
            facts.append((OrderCompleted(order.customer, completed_at), completed_at))
        yield History(order.key, facts)


def payments(table: Open) -> Iterator[History]:
    """One per order: authorised, and captured in full once the order is completed."""
    for order in order_rows(table):
        authorized = PaymentAuthorized(order.key, order.customer, order.total, order.ordered_at)
        facts: list[tuple[Event, datetime]] = [(authorized, order.ordered_at)]
        if order.status == FINISHED:
            captured_at = _completed_at(order)
            facts.append((PaymentCaptured(order.key, order.customer, order.total, captured_at), captured_at))
        yield History(f"pay-{order.key}", facts)


def shipments(table: Open) -> Iterator[History]:
    """One per order and day on which lines of it are shipped, in the order of the days."""
    for order in order_rows(table):
        # Sorting is stable: within a day the lines stay in ascending number.
        by_day = sorted(order.lines, key=attrgetter("shipped_at"))
        for shipped_at, group in groupby(by_day, key=attrgetter("shipped_at")):
            yield _shipment(order, shipped_at, list(group))


STREAMS: Mapping[str, Callable[[Open], Iterator[History]]] = {
    "customers": customers,
    "catalog": products,
    "orders": orders,
    "payments": payments,
    "shipping": shipments,
}
"""By context, in the order of loading: each after those that its aggregates name."""


def count(table: Open) -> dict[str, int]:
    """How many aggregates each stream has, without making them."""
    ordered = _count(rows(table("orders"), "o_orderkey", "o_custkey"))
    of_order = groupby(rows(table("lineitem"), "l_orderkey", "l_shipdate"), key=lambda row: row[0])
    return {
        "customers": _count(rows(table("customer"), "c_custkey", "c_name")),
        "catalog": _count(rows(table("part"), "p_partkey", "p_name")),
        "orders": ordered,
        "payments": ordered,
        "shipping": sum(len(set(group)) for _, group in of_order),
    }


def _completed_at(order: OrderRow) -> datetime:
    return max(line.received_at for line in order.lines)


def _order_line(line: LineItem) -> OrderLine:
    return OrderLine(line.number, line.part, line.quantity, line.price, line.discount, line.tax)


def _shipment(order: OrderRow, shipped_at: datetime, lines: list[LineItem]) -> History:
    numbers = tuple(line.number for line in lines)
    created = ShipmentCreated(order.key, order.customer, lines[0].ship_mode, numbers, order.ordered_at)
    facts: list[tuple[Event, datetime]] = [(created, order.ordered_at)]
    if lines[0].status == FINISHED:
        facts.append((ShipmentDispatched(order.key, order.customer, shipped_at), shipped_at))
        delivered_at = max(line.received_at for line in lines)
        if delivered_at <= TODAY:
            facts.append((ShipmentDelivered(order.key, order.customer, numbers, delivered_at), delivered_at))
    return History(f"{order.key}-{shipped_at:%Y%m%d}", facts)


def _count(items: Iterable[object]) -> int:
    return sum(1 for _ in items)
