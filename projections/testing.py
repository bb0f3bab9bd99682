"""Tests of a read model without a broker or a store: `given(order_docs, placed, confirmed).expect(OrderView(...))`.

Invariants: events and views go through their JSON form on the way, so what a test shows is what is read and stored.
"""

from __future__ import annotations

from typing import Any, Final, Generic, TypeVar

from projections.declare import Event, Projection, View
from projections.entries import Entries, index_entries, units
from projections.store.keys import LEFT_OUT, filter_text, index_list, measure_list, member
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
        """Fails unless the row is in that list; `values` as in the index's filters, "*" for one that is left out."""
        lists = {entry.list for entry in index_entries(self._projection, self._key, self.view)}
        wanted = index_list(index, [value if value == LEFT_OUT else filter_text(value) for value in values])
        assert wanted in lists, f"\nexpected in {wanted}\nfound in    {sorted(lists)}"  # noqa: S101
        return self

    def expect_measured(self, measure: str, by: Any, value: Any) -> Given[V]:
        """Fails unless this is what the row adds to a measure that is kept by `by`: a number for a count or a total, the value
        that is compared for a least or largest one; 0, or None, where it does not count.
        """
        declared = self._projection.measure(measure)
        name = measure_list(measure, filter_text(by))
        entries = Entries(self._projection)
        if declared.is_extreme:
            lists = {entry.list: entry.member for entry in entries.lists(self._key, self.view)}
            found: Any = lists.get(name)
            wanted: Any = None if value is None else member(value, self._key)
        else:
            found = entries.numbers(self.view).get(name, 0)
            wanted = units(value, 0 if declared.kind == "count" else declared.places)
        assert found == wanted, f"\nexpected {name} {wanted!r}\nfound    {found!r}"  # noqa: S101
        return self


def given(projection: Projection[V, E], *events: E | Deleted, key: str = "k-1") -> Given[V]:
    """Folds a history from nothing. Raises what the projector would set a record aside for (WireError, evolve's own)."""
    view: V | None = None
    views: Codec[V] = Codec(projection.view)
    for event in events:
        if isinstance(event, Deleted):
            view = None
            continue
        codec: Codec[E] = Codec(type(event))
        folded = projection.evolve(view, codec.decode(codec.encode(event)))
        view = None if folded is None else views.decode(views.encode(folded))
    return Given(projection, view, key)
