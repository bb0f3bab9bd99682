"""What every field of the shop's graph means: the oracle's own table.

Invariants: a field is a function of its source and its arguments; what is not in the table is a value that the source has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC
from typing import Any, Final, TypeAlias

from tests.equality.facts import fits, instant
from tests.equality.faults import Fault
from tests.equality.lists import Row, check_page, paged
from tests.equality.shop import BAD, ENTITIES, LISTS, UNFIT, FieldError, Shop, Source
from tests.equality.world import cents

Meaning: TypeAlias = Callable[[Shop, Source, Mapping[str, Any]], Any]
"""A field of a source with its arguments. Raises FieldError."""

MAY_BE_GONE: Final = frozenset(
    {("Shipment", "dispatchedAt"), ("Shipment", "deliveredAt"), ("Activity", "correlationId")}
)
"""Fields that documents of before them do not have."""
PLAIN_LIST: Final = 100


def value_of(shop: Shop, source: Source, name: str, kind: Any, arguments: Mapping[str, Any]) -> Any:
    """The value of a field: a leaf in its wire form, a Source, a list, None. Raises FieldError."""
    edge = _EDGES.get((source.type, name))
    if edge is not None:
        return edge(shop, source, arguments)
    if source.type == "PageInfo" or source.type.endswith(("Connection", "Edge")) or name in ("id", "key", "version"):
        return source.values[name]
    stored = "at" if (source.type, name) == ("Activity", "when") else name
    if stored not in source.values:
        if (source.type, name) in MAY_BE_GONE:
            return None
        raise FieldError(UNFIT)
    value = source.values[stored]
    if not fits(value, kind):
        raise FieldError(UNFIT)
    if name == "lines":
        return [Source("OrderLine", item, source.trip) for item in value]
    return value


def _one(projection: str, via: str) -> Meaning:
    def read(shop: Shop, source: Source, arguments: Mapping[str, Any]) -> Any:
        key = source.values.get(via)
        if not isinstance(key, str):
            raise FieldError(UNFIT)
        return shop.by_key(projection, key, source.trip)

    return read


def _get(name: str) -> Meaning:
    return lambda shop, source, arguments: shop.by_id(arguments["id"], source.trip, name)


def _node(shop: Shop, source: Source, arguments: Mapping[str, Any]) -> Any:
    return shop.by_id(arguments["id"], source.trip)


def _nodes(shop: Shop, source: Source, arguments: Mapping[str, Any]) -> Any:
    if len(arguments["ids"]) > 100:
        raise FieldError(BAD)
    found: list[Any] = []
    for id in arguments["ids"]:
        try:
            found.append(shop.by_id(id, source.trip))
        except FieldError as error:
            found.append(error)
    return found


def _connection(name: str, listed: str, *filters: str) -> Meaning:
    def read(shop: Shop, source: Source, arguments: Mapping[str, Any]) -> Any:
        check_page(shop, listed, arguments)
        asked = {at: arguments.get(at) for at in filters}
        found = shop.rows(listed, source.trip, source.key, **asked)
        cursors = {key: cursor for (of, cursor), key in shop.world.cursors.items() if of == listed}
        rows = [Row(sort, cursors.get(key, "?"), key, None) for sort, key, _ in found]
        return paged(shop, name, listed, rows, arguments, LISTS[listed][1], source.trip)

    return read


def _list(listed: str) -> Meaning:
    def read(shop: Shop, source: Source, arguments: Mapping[str, Any]) -> Any:
        projection = listed.partition(".")[0]
        rows = shop.rows(listed, source.trip, source.key)
        shown = [shop.shown(projection, key, source.trip) for _, key, _ in rows[:PLAIN_LIST]]
        if len(rows) > PLAIN_LIST:
            raise FieldError("TOO_MANY_ROWS")
        return [row for row in shown if row is not None]

    return read


def _activity(shop: Shop, source: Source, arguments: Mapping[str, Any]) -> Any:
    check_page(shop, "activity:", arguments)
    cursors = {key: cursor for (of, cursor), key in shop.world.cursors.items() if of == "activity:"}
    rows: list[Row] = []
    for sort, entry in shop.entries(source.key, source.trip):
        fault = shop.faults.entries.get((source.key, entry["eventId"]))
        rows.append(Row(sort, cursors.get(entry["eventId"], "?"), entry["eventId"], _entry(entry, fault, source.trip)))
    return paged(shop, "Activity", "activity:", rows, arguments, True, source.trip)


def _entry(entry: dict[str, Any], fault: Fault | None, trip: int) -> Source | FieldError:
    if fault is not None and fault.kind == "broken":
        return FieldError(UNFIT)
    return Source("Activity", fault.view if fault and fault.view is not None else entry, trip + 1)


def _orders_of(shop: Shop, source: Source, name: str) -> list[dict[str, Any]]:
    shop.measure(name, source.trip)
    return [view for _, view in shop.world.rows("orders") if view["customerId"] == source.key]


def _count(shop: Shop, source: Source, arguments: Mapping[str, Any]) -> Any:
    return len(_orders_of(shop, source, "orders.order_count"))


def _spent(shop: Shop, source: Source, arguments: Mapping[str, Any]) -> Any:
    found = _orders_of(shop, source, "orders.total_spent")
    return cents([view["total"] for view in found if view["status"] != "CANCELLED"])


def _last_at(shop: Shop, source: Source, arguments: Mapping[str, Any]) -> Any:
    return max(
        (view["placedAt"] for view in _orders_of(shop, source, "orders.last_order_at")), key=instant, default=None
    )


def _revenue(shop: Shop, source: Source, arguments: Mapping[str, Any]) -> Any:
    shop.measure("orders.revenue_by_day", source.trip)
    found = [view for _, view in shop.world.rows("orders") if view["status"] != "CANCELLED"]
    return cents(
        [view["total"] for view in found if str(instant(view["placedAt"]).astimezone(UTC).date()) == arguments["day"]]
    )


_EDGES: Final[Mapping[tuple[str, str], Meaning]] = {
    ("Query", "node"): _node,
    ("Query", "nodes"): _nodes,
    **{("Query", name.lower()): _get(name) for name in ENTITIES},
    ("Query", "orders"): _connection("Order", "orders.by_status", "status"),
    ("Query", "customers"): _connection("Customer", "customers.by_segment", "segment"),
    ("Query", "products"): _connection("Product", "products.by_brand", "brand", "category"),
    ("Query", "revenue"): _revenue,
    ("Customer", "orders"): _connection("Order", "orders.by_customer", "status"),
    ("Customer", "orderCount"): _count,
    ("Customer", "totalSpent"): _spent,
    ("Customer", "lastOrderAt"): _last_at,
    ("Customer", "activity"): _activity,
    ("Order", "customer"): _one("customers", "customerId"),
    ("Order", "payments"): _list("payments.by_order"),
    ("Order", "shipments"): _list("shipments.by_order"),
    ("OrderLine", "product"): _one("products", "productId"),
    ("Payment", "order"): _one("orders", "orderId"),
    ("Shipment", "order"): _one("orders", "orderId"),
    ("Activity", "lineage"): lambda shop, source, arguments: source._replace(type="Lineage"),
}
