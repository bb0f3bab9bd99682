"""Tests of a read model without a broker or a store: `given(order_docs, placed, confirmed).expect(OrderView(...))`.

Invariants: events and views go through their JSON form on the way, old events through their upcasts, so what a test shows is
what is read and stored.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from operator import attrgetter
from typing import Any, Final, Generic, TypeVar

from projections.declare import Event, Projection, View
from projections.entries import Entries, index_entries, units
from projections.measure import Measure
from projections.store.keys import LEFT_OUT, filter_text, index_list, measure_list, member
from projections.timeline import Timeline
from projections.upcasts import upcasts_of
from projections.wire import Codec

V = TypeVar("V", bound=View)
E = TypeVar("E", bound=Event)


class Deleted:
    """A tombstone on a state topic: `given(product_docs, state, DELETED).expect(None)`."""


DELETED: Final = Deleted()


class Given(Generic[V]):
    """What a history of one aggregate comes to."""

    def __init__(self, projection: Projection[V, Any], view: V | None, key: str) -> None:
        self._projection = projection
        self._key = key
        self.view = view

    def expect(self, view: V | None) -> Given[V]:
        """Fails unless the stored view equals this one; None: there is nothing to show."""
        assert self.view == view, f"\nexpected {view!r}\nfound    {self.view!r}"  # noqa: S101
        return self

    def expect_listed(self, index: str, *values: str) -> Given[V]:
        """Fails unless the row is in that list; `values` as in the index's filters, "*" for one that is left out.

        Raises LookupError for an index that there is not, TypeError when the values are not one for each of its filters.
        """
        declared = _named(self._projection.index, index, "index", [known.name for known in self._projection.indexes])
        if len(values) != len(declared.filters):
            wanted = ", ".join(declared.filters) or "none"
            raise TypeError(f"the index {index!r} takes a value for each of its filters ({wanted}), not {len(values)}")
        lists = {entry.list for entry in index_entries(self._projection, self._key, self.view)}
        name = index_list(index, [value if value == LEFT_OUT else filter_text(value) for value in values])
        row = "no row"
        if self.view is not None:
            found = ", ".join(f"{field}={getattr(self.view, field)!r}" for field in declared.fields)
            row = f"a row with {found or 'no filters'}"
        assert name in lists, f"\nexpected in {index} {values!r}\nfound    {row}"  # noqa: S101
        return self

    def expect_measured(self, measure: str, by: Any, value: Any) -> Given[V]:
        """Fails unless this is what the row adds to a measure that is kept by `by`: a number for a count or a total, the value
        that is compared for a least or largest one; 0, or None, where it does not count.

        Raises LookupError for a measure that there is not.
        """
        declared = _named(self._projection.measure, measure, "measure", [m.name for m in self._projection.measures])
        found, fits = self._measured(declared, measure_list(measure, filter_text(by)), value)
        assert fits, f"\nexpected {measure} of {by!r} {value!r}\nfound    {found!r}"  # noqa: S101
        return self

    def _measured(self, measure: Measure[V], name: str, value: Any) -> tuple[Any, bool]:
        """What the row adds, as it is shown, and whether that is the value."""
        entries = Entries(self._projection)
        if measure.is_extreme:
            lists = {entry.list: entry.member for entry in entries.lists(self._key, self.view)}
            wanted = None if value is None else member(value, self._key)
            shown = attrgetter(measure.of or "")(self.view) if name in lists else None
            return shown, lists.get(name) == wanted
        added = entries.numbers(self.view).get(name, 0)
        is_decimal = isinstance(value, Decimal)
        shown = Decimal(added).scaleb(-measure.places) if is_decimal and measure.kind == "total" else added
        return shown, added == units(value, 0 if measure.kind == "count" else measure.places)


def given(projection: Projection[V, E], *events: Event | Deleted, key: str = "k-1") -> Given[V]:
    """Folds a history from nothing, events of old types too.

    Raises what the projector would set a record aside for (WireError, an upcast's or evolve's own), TypeError for a timeline and
    for an event that the projection does not take.
    """
    if isinstance(projection, Timeline):
        raise TypeError(f"a timeline is not folded: test its function, {projection.entry.__qualname__}(event, id)")
    read = _reading(projection)
    view: V | None = None
    views: Codec[V] = Codec(projection.view)
    for event in events:
        if isinstance(event, Deleted):
            view = None
            continue
        folded = projection.evolve(view, read(event))
        view = None if folded is None else views.decode(views.encode(folded))
    return Given(projection, view, key)


def _reading(projection: Projection[Any, Any]) -> Callable[[Event], Any]:
    """What reads an event as the projector does."""
    where = f"Projection {projection.name!r}"
    upcasts = {
        upcast.old: upcast for upcast in upcasts_of(projection.upcasts, projection.events, Event, where).values()
    }

    def read(event: Event) -> Any:
        kind = type(event)
        if kind not in upcasts and not isinstance(event, tuple(projection.events.values())):
            known = ", ".join(known.__name__ for known in (*projection.events.values(), *upcasts))
            raise TypeError(f"the projection {projection.name!r} takes {known}, not {kind.__name__}")
        codec: Codec[Event] = Codec(kind)
        found = codec.decode(codec.encode(event))
        if (upcast := upcasts.get(kind)) is None:
            return found
        return Codec[Event](upcast.new).normal(upcast.apply(found))

    return read


N = TypeVar("N")


def _named(find: Callable[[str], N], name: str, what: str, known: list[str]) -> N:
    try:
        return find(name)
    except KeyError:
        raise LookupError(f"there is no {what} {name!r}: there is {', '.join(known) or 'none'}") from None
