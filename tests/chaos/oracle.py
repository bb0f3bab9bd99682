"""What the read models should hold after a log: a plain fold over dictionaries.

Invariants: shares no code with what it judges but the names of keys; does not look at the order in which copies came, only at
which versions there are in a usable form.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple
from zlib import crc32

from projections.store.keys import filter_text, queue_place
from tests.chaos.contents import Doc, Expected, Happened, Model
from tests.chaos.history import LOOSE, Fact, Message, moment
from tests.chaos.models import ORDERS_TOPIC, PRODUCTS_TOPIC, TIMELINE_BOUND

ORDERS: Final = "chaos_orders"
PRODUCTS: Final = "chaos_products"
ACTIVITY: Final = "chaos_activity"

IN_TIMELINE: Final = ("Placed", "Confirmed", "Removed")
SPOILS_TIMELINE: Final = ("body", "garbage", "wire", "evolve", "subject", "key")

View = dict[str, Any]


class Logged(NamedTuple):
    """A message and where it ended up."""

    message: Message
    offset: int

    @property
    def coordinates(self) -> str:
        return f"{self.message.topic}/{self.message.partition}/{self.offset}"


def expected(log: Iterable[Logged], partitions: int) -> dict[str, Expected]:
    """By the name of the projection, what it should hold once it has read all of a log."""
    entries = list(log)
    orders = _documents([row for row in entries if row.message.topic == ORDERS_TOPIC], is_state=False)
    products = _documents([row for row in entries if row.message.topic == PRODUCTS_TOPIC], is_state=True)
    _derive_orders(orders.model)
    _derive_products(products.model)
    found = {ORDERS: orders, PRODUCTS: products, ACTIVITY: _activity(entries)}
    for name, topic in ((ORDERS, ORDERS_TOPIC), (PRODUCTS, PRODUCTS_TOPIC), (ACTIVITY, ORDERS_TOPIC)):
        ends = {f"{topic}/{number}": 0 for number in range(partitions)}
        for row in entries:
            if row.message.topic == topic:
                at = f"{topic}/{row.message.partition}"
                ends[at] = max(ends[at], row.offset + 1)
        found[name].ends = ends
    return found


def _documents(log: list[Logged], *, is_state: bool) -> Expected:
    found = Expected(Model())
    usable: defaultdict[str, dict[tuple[int, int], Fact]] = defaultdict(dict)
    copies: defaultdict[str, defaultdict[tuple[int, int], set[str]]] = defaultdict(lambda: defaultdict(set))
    for row in log:
        fact = row.message.fact
        if row.message.broken in LOOSE:
            found.model.quarantine.add(row.coordinates)
        elif fact is not None:
            copies[fact.id][fact.at].add(row.coordinates)
            if row.message.broken is None:
                usable[fact.id][fact.at] = fact
    for id, places in copies.items():
        doc, waiting = (_latest if is_state else _folded)(usable[id], set(places))
        if waiting:
            doc = doc._replace(is_parked=True)
            found.model.queues[id] = {queue_place(*at): "" for at in waiting}
        for at in waiting:
            found.copies[id, queue_place(*at)] = places[at]
        found.model.documents[id] = doc
    return found


def _folded(usable: Mapping[tuple[int, int], Fact], known: set[tuple[int, int]]) -> tuple[Doc, set[tuple[int, int]]]:
    """The fold of the versions that follow each other without a gap, and the later ones, which wait."""
    epoch, version = 0, 0
    view: View | None = None
    while True:
        if (epoch, version + 1) in usable:
            version += 1
        elif (epoch + 1, 1) in usable:
            epoch, version, view = epoch + 1, 1, None
        else:
            break
        view = evolved(view, usable[epoch, version])
    return Doc(epoch, version, view), {at for at in known if at > (epoch, version)}


def evolved(view: View | None, fact: Fact) -> View | None:
    data = fact.data or {}
    if fact.kind == "Viewed":
        return view
    if fact.kind == "Removed":
        return None
    if fact.kind == "Placed":
        start = {"customerId": data["customerId"], "placedAt": data["placedAt"], "status": "OPEN"}
        before = view or {"folded": 0, "trail": 0}
        view = {**before, **start, "total": data["amount"]}
    elif view is None:
        return None
    elif fact.kind == "Added":
        view = {**view, "total": str(Decimal(view["total"]) + Decimal(data["amount"]))}
    else:
        view = {**view, "status": "CONFIRMED"}
    chained = crc32(f"{view['trail']},{fact.mark}".encode()) >> 1
    return {**view, "folded": view["folded"] + 1, "trail": chained}


def _latest(usable: Mapping[tuple[int, int], Fact], known: set[tuple[int, int]]) -> tuple[Doc, set[tuple[int, int]]]:
    at = max(usable, default=(0, 0))
    data = usable[at].data if usable else None
    return Doc(*at, data), {place for place in known if place > at}


class _Lists:
    """Ordered lists under construction: ids by their sort value, then by themselves."""

    def __init__(self, model: Model) -> None:
        self._rows: defaultdict[str, list[tuple[Any, bytes, str]]] = defaultdict(list)
        self._model = model

    def add(self, name: str, values: tuple[Any, ...], sort: Any, id: str) -> None:
        self._rows[":".join((name, *map(filter_text, values)))].append((sort, id.encode(), id))

    def close(self) -> None:
        for name, rows in self._rows.items():
            self._model.lists[name] = [id for _, _, id in sorted(rows)]


def _derive_orders(model: Model) -> None:
    lists = _Lists(model)
    for id, doc in model.documents.items():
        if doc.view is None:
            continue
        customer, status, placed_at = doc.view["customerId"], doc.view["status"], doc.view["placedAt"]
        total = Decimal(doc.view["total"])
        for chosen in (None, status):
            lists.add("i:by_customer", (customer, chosen), placed_at, id)
            lists.add("i:by_status", (chosen,), total, id)
        lists.add("m:last_order", (customer,), placed_at, id)
        lists.add("m:least_total", (placed_at[:10],), total, id)
        _add(model, f"m:orders:{filter_text(customer)}", 1)
        if status == "CONFIRMED":
            _add(model, f"m:spent:{filter_text(customer)}", int(total * 100))
    lists.close()
    model.numbers = {name: number for name, number in model.numbers.items() if number}


def _derive_products(model: Model) -> None:
    lists = _Lists(model)
    for id, doc in model.documents.items():
        if doc.view is None:
            continue
        category, price = doc.view["category"], Decimal(doc.view["price"])
        for chosen in (None, category):
            lists.add("i:by_category", (chosen,), price, id)
        lists.add("m:dearest", (category,), price, id)
        _add(model, f"m:products:{filter_text(category)}", 1)
        _add(model, f"m:stock:{filter_text(category)}", doc.view["stock"])
    lists.close()
    model.numbers = {name: number for name, number in model.numbers.items() if number}


def _add(model: Model, name: str, number: int) -> None:
    model.numbers[name] = model.numbers.get(name, 0) + number


def _activity(log: Iterable[Logged]) -> Expected:
    """Per customer the newest of what happened. A timeline needs no version, and does not look at what it does not name."""
    found = Expected(Model())
    happened: defaultdict[str, dict[str, tuple[int, Happened]]] = defaultdict(dict)
    for row in log:
        fact, broken = row.message.fact, row.message.broken
        if row.message.topic != ORDERS_TOPIC or fact is None or fact.data is None:
            continue
        is_named = fact.kind in IN_TIMELINE
        if broken == "type" or (is_named and broken in SPOILS_TIMELINE):
            found.model.quarantine.add(row.coordinates)
        elif is_named and broken != "tombstone":
            entry = Happened(
                fact.event_id, f"{fact.kind} {fact.mark}", moment(fact.mark), f"chaos.{fact.kind}", f"order/{fact.id}"
            )
            happened[fact.data["customerId"]][fact.event_id] = (fact.mark, entry)
    for key, entries in happened.items():
        newest = sorted(entries.values())[-TIMELINE_BOUND:]
        found.model.timelines[key] = [entry for _, entry in newest]
    return found
