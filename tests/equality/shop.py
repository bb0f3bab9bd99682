"""The shop as the oracle reads it: documents, lists and timelines out of plain dictionaries, under faults.

Invariants: shares neither reader nor declarations with the product; every read is on the books of the trip that it is made in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from tests.equality.facts import bucket, instant, is_key
from tests.equality.faults import Faults
from tests.equality.world import World

ENTITIES: Final = {
    "Customer": "customers",
    "Product": "products",
    "Order": "orders",
    "Payment": "payments",
    "Shipment": "shipments",
}
TYPES: Final = {projection: name for name, projection in ENTITIES.items()}
AWAY: Final = "READ_MODEL_UNAVAILABLE"
BUILDING: Final = "READ_MODEL_REBUILDING"
UNFIT: Final = "UNREADABLE_DOCUMENT"
BAD: Final = "BAD_USER_INPUT"
LISTS: Final[Mapping[str, tuple[str | None, bool, str]]] = {
    "orders.by_status": (None, True, "placedAt"),
    "orders.by_customer": ("customerId", True, "placedAt"),
    "customers.by_segment": (None, False, "name"),
    "products.by_brand": (None, False, "title"),
    "payments.by_order": ("orderId", False, "authorizedAt"),
    "shipments.by_order": ("orderId", False, "createdAt"),
}
"""By list: what of a row names its owner, whether the largest comes first, what it is ordered by."""


class FieldError(Exception):
    """A field failed, or stands in the place of an item that did."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Source(NamedTuple):
    """An object of an answer: what it is, what is known of it, and the trip that what it leads to is read in."""

    type: str
    values: Mapping[str, Any]
    trip: int
    key: str = ""


@dataclass
class Shop:
    """Answers fields out of the world as it is under faults; trips in `lost` are not answered."""

    world: World
    faults: Faults
    lost: frozenset[int] = frozenset()
    asked: dict[int, set[str]] = field(default_factory=dict[int, set[str]])
    _sorts: dict[tuple[str, str], tuple[Any, ...]] = field(default_factory=dict[tuple[str, str], tuple[Any, ...]])

    def by_key(self, projection: str, key: str, trip: int) -> Source | None:
        """A document, read by itself. Raises FieldError."""
        self._note(trip, projection)
        found = self._document(projection, key, trip)
        if isinstance(found, FieldError):
            raise found
        if found is None and self._is_gone(projection, key, trip) and (projection, bucket(key)) in self.faults.unbuilt:
            raise FieldError(BUILDING)
        return found

    def by_id(self, text: str, trip: int, expected: str | None = None) -> Source | None:
        """A document by its global id, or by its key where the type is known. Raises FieldError."""
        name, colon, key = text.partition(":")
        if not colon and expected is not None:
            name, key = expected, text
        if name not in ENTITIES or expected not in (None, name) or not is_key(key):
            raise FieldError(BAD)
        return self.by_key(ENTITIES[name], key, trip)

    def rows(
        self, listed: str, trip: int, parent: str = "", **filters: str | None
    ) -> list[tuple[tuple[Any, ...], str, dict[str, Any]]]:
        """What a list holds, in its order: place, key, view."""
        projection = listed.partition(".")[0]
        self._note(trip, projection)
        self._check(projection, listed)
        by, descending, sort = LISTS[listed]
        found = [
            (self.place_of(projection, key, view, sort), key, view)
            for key, view in self.world.rows(projection)
            if (by is None or view[by] == parent)
            and all(view[name] == to for name, to in filters.items() if to is not None)
        ]
        return sorted(found, key=lambda row: row[0], reverse=descending)

    def shown(self, projection: str, key: str, trip: int) -> Source | FieldError | None:
        """What a page shows for a row. Raises FieldError for what spoils the page."""
        found = self._document(projection, key, trip, on_page=True)
        if isinstance(found, FieldError) and found.code == AWAY:
            raise found
        return found

    def measure(self, name: str, trip: int) -> None:
        """Looks whether a measure can be read. Raises FieldError."""
        self._note(trip, "orders")
        self._check("orders", name)

    def entries(self, key: str, trip: int) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
        """Somebody's timeline, newest first. Raises FieldError."""
        self._note(trip, "activity")
        self._check("activity", "activity:")
        found = [((instant(entry["at"]), entry["eventId"]), entry) for entry in self.world.entries.get(key, ())]
        return sorted(found, key=lambda row: row[0], reverse=True)

    def _note(self, trip: int, model: str) -> None:
        self.asked.setdefault(trip, set()).add(model)
        if trip in self.lost:
            raise FieldError(AWAY)

    def _check(self, model: str, listed: str) -> None:
        if any(of == model for of, _ in self.faults.unbuilt):
            raise FieldError(BUILDING)
        if listed in self.faults.failing:
            raise FieldError(AWAY)

    def _is_gone(self, projection: str, key: str, trip: int) -> bool:
        """Whether nothing is stored, not even that it was deleted."""
        fault = self.faults.of((projection, key), trip)
        return fault.kind == "missing" if fault else (projection, key) not in self.world.documents

    def _document(self, projection: str, key: str, trip: int, *, on_page: bool = False) -> Source | FieldError | None:
        stored = self.world.documents.get((projection, key))
        fault = self.faults.of((projection, key), trip, on_page=on_page)
        view = stored.view if stored else None
        if fault is not None:
            if fault.kind in ("error", "broken"):
                return FieldError(AWAY if fault.kind == "error" else UNFIT)
            view = fault.view
        if view is None:
            return None
        name = TYPES[projection]
        own = {"id": f"{name}:{key}", "key": key, "version": stored.version if stored else 1}
        return Source(name, {**view, **own}, trip + 1, key)

    def place_of(self, projection: str, key: str, view: Mapping[str, Any], sort: str) -> tuple[Any, ...]:
        """What a row is ordered by in a list."""
        name = (projection, key)
        if name not in self._sorts:
            value = view[sort]
            self._sorts[name] = (
                instant(value) if sort.endswith("At") else value[:64].replace("\0", "\1").encode(),
                key.encode(),
            )
        return self._sorts[name]
