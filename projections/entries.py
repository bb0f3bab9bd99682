"""View -> where it is listed and what it adds to measures: an index's rows, contributions to the least and largest, numbers.

Invariants: pure; compiled once per projection; what is taken out for an old view is what was put in for it, so that lists and
numbers follow from the stored documents alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Context, Decimal
from enum import Enum
from operator import attrgetter
from typing import Any, Final, TypeAlias

from projections.declare import Index, Projection
from projections.measure import Measure
from projections.store.keys import SEPARATOR, Entry, filter_text, index_list, measure_list, sort_text

MAX_CONTRIBUTION: Final = 2**53
"""In units of the last place: what a row may add to a total. A thousand of the largest rows fit into a number of 63 bits."""

Place: TypeAlias = tuple[str, bytes]
"""As `keys.Entry`: the name of a list, and the member in it."""

_EXACT: Final = Context(prec=60)
_KEY_TYPES: Final = (str, int, date, Enum)


@dataclass
class Moves:
    """The difference that a series of changes of one aggregate makes; what was put in and taken out again is not in it."""

    removed: set[Place] = field(default_factory=set[Place])
    added: set[Place] = field(default_factory=set[Place])
    deltas: dict[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True)
class _Listing:
    """An index, or an extreme: `fed` is what of a view it depends on (None: not listed), `places` what comes of that."""

    fed: Callable[[Any], Any]
    places: Callable[[Any, bytes], Sequence[Place]]


@dataclass(frozen=True)
class _Number:
    """A count or a total: `fed` as above, `amount` the number's name and what is added to it."""

    fed: Callable[[Any], Any]
    amount: Callable[[Any], tuple[str, int]]


class Entries:
    """The lists and numbers of one projection."""

    def __init__(self, projection: Projection[Any, Any]) -> None:
        extremes = [measure for measure in projection.measures if measure.is_extreme]
        numbers = [measure for measure in projection.measures if not measure.is_extreme]
        self._listings = (*map(_index, projection.indexes), *map(_extreme, extremes))
        self._numbers = tuple(map(_number, numbers))

    def lists(self, id: str, view: Any | None) -> set[Entry]:
        """All places of a view, in indexes and among the contributions to the least and largest."""
        moves = Moves()
        self.move(id, None, view, moves)
        return {Entry(*place) for place in moves.added}

    def numbers(self, view: Any | None) -> Mapping[str, int]:
        """What a view adds to counts and totals, by the number's name; a total in units of its last place."""
        moves = Moves()
        self.move("", None, view, moves)
        return moves.deltas

    def move(self, id: str, old: Any | None, new: Any | None, moves: Moves) -> None:
        """Adds to `moves` what changes when a view takes another's place.

        Raises what an author's function raises, TypeError or ValueError for what a measure cannot hold; `moves` is then as before.
        """
        if old is new:
            return
        key = SEPARATOR + id.encode()
        removed: list[Place] = []
        added: list[Place] = []
        for listing in self._listings:
            was = None if old is None else listing.fed(old)
            now = None if new is None else listing.fed(new)
            if was == now:
                continue
            if was is not None:
                removed += listing.places(was, key)
            if now is not None:
                added += listing.places(now, key)
        amounts: list[tuple[str, int]] = []
        for number in self._numbers:
            was = None if old is None else number.fed(old)
            now = None if new is None else number.fed(new)
            if was == now:
                continue
            if was is not None:
                name, amount = number.amount(was)
                amounts.append((name, -amount))
            if now is not None:
                amounts.append(number.amount(now))
        _merge(moves, removed, added, amounts)


def _merge(moves: Moves, removed: list[Place], added: list[Place], amounts: list[tuple[str, int]]) -> None:
    for place in removed:
        if place in moves.added:
            moves.added.discard(place)
        else:
            moves.removed.add(place)
    for place in added:
        if place in moves.removed:
            moves.removed.discard(place)
        else:
            moves.added.add(place)
    for name, amount in amounts:
        moves.deltas[name] = moves.deltas.get(name, 0) + amount


def index_entries(projection: Projection[Any, Any], id: str, view: Any | None) -> set[Entry]:
    """All places that a view has in the lists of its projection; none when there is no view."""
    return Entries(projection).lists(id, view)


def units(value: int | Decimal, places: int) -> int:
    """A number in units of 10^-places. Raises ValueError when it is not a whole number of them, or too large for a total."""
    scaled = _EXACT.multiply(value, 10**places) if isinstance(value, Decimal) else value
    whole = int(scaled)
    if whole != scaled:
        raise ValueError(f"{value} has more than {places} places")
    if not -MAX_CONTRIBUTION <= whole <= MAX_CONTRIBUTION:
        raise ValueError(f"{value} is too large for a total")
    return whole


def _index(index: Index[Any]) -> _Listing:
    start = index_list(index.name, ())
    must = tuple(not name.endswith("?") for name in index.filters)
    required = tuple(number for number, is_required in enumerate(must) if is_required)
    names = (*index.fields, index.sort_field) if index.sort_field else index.fields
    values_of = _values(names)
    unsorted = None if index.sort_field else sort_text(None)

    def fed(view: Any) -> tuple[Any, ...] | None:
        values = values_of(view)
        for number in required:
            if values[number] is None:
                return None
        return values

    def places(values: tuple[Any, ...], key: bytes) -> list[Place]:
        lists = [start]
        for value, is_required in zip(values, must, strict=False):
            if value is None:
                lists = [name + ":*" for name in lists]
                continue
            text = ":" + filter_text(value)
            lists = [name + end for name in lists for end in ((text,) if is_required else (":*", text))]
        member = (unsorted or sort_text(values[-1])) + key
        return [(name, member) for name in lists]

    return _Listing(fed, places)


def _values(names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    if len(names) > 1:
        return attrgetter(*names)
    return lambda view: tuple(getattr(view, name) for name in names)


def _fed(measure: Measure[Any]) -> Callable[[Any], tuple[Any, Any] | None]:
    """What of a view a measure depends on: what it is kept by, and the value; None when the view does not count."""
    by: Callable[[Any], Any] = attrgetter(measure.by) if isinstance(measure.by, str) else measure.by
    of: Callable[[Any], Any] = attrgetter(measure.of) if measure.of else lambda view: 1
    where = measure.where

    def fed(view: Any) -> tuple[Any, Any] | None:
        if where is not None and not where(view):
            return None
        key = by(view)
        if key is None:
            return None
        if not isinstance(key, _KEY_TYPES):
            raise TypeError(f"measure {measure.name!r} cannot be kept by a {type(key).__name__}")
        value = of(view)
        return None if value is None else (key, value)

    return fed


def _extreme(measure: Measure[Any]) -> _Listing:
    def places(fed: tuple[Any, Any], key: bytes) -> list[Place]:
        return [(measure_list(measure.name, filter_text(fed[0])), sort_text(fed[1]) + key)]

    return _Listing(_fed(measure), places)


def _number(measure: Measure[Any]) -> _Number:
    def amount(fed: tuple[Any, Any]) -> tuple[str, int]:
        return measure_list(measure.name, filter_text(fed[0])), units(fed[1], measure.places)

    return _Number(_fed(measure), amount)
