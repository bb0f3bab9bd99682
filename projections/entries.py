"""View -> where it is listed and what it adds to measures: an index's rows, contributions to the least and largest, numbers.

Invariants: pure; compiled once per projection; what is taken out for an old view is what was put in for it, so that lists and
numbers follow from the stored documents alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final, NamedTuple, TypeAlias

from projections.arguments import is_key_type
from projections.declare import Index, Projection
from projections.measure import Measure
from projections.store.keys import SEPARATOR, Entry, filter_text, index_list, measure_list, sort_text

MAX_CONTRIBUTION: Final = 2**53
"""In units of the last place: what a row may add to a total. A thousand of the largest rows fit into a number of 63 bits."""

Place: TypeAlias = tuple[str, bytes]
"""As `keys.Entry`: the name of a list, and the member in it."""

CACHED: Final = 4096
"""Texts that are kept: the rows of a batch share customers, days and states, and a row is in several lists."""

_sorted = lru_cache(maxsize=CACHED, typed=True)(sort_text)
_EXACT: Final = Context(prec=60)


class Move(NamedTuple):
    """The difference that one change of an aggregate makes: no place is in both lists."""

    removed: list[Place]
    added: list[Place]
    amounts: list[tuple[str, int]]


@dataclass(frozen=True)
class _Listing:
    """An index, or an extreme: `fed` is what of a view it depends on (None: not listed), `lists` the names of its lists.

    What is fed is the filters' values and, last, the value that orders.
    """

    fed: Callable[[Any], Any]
    lists: Callable[[tuple[Any, ...]], Sequence[str]]

    def note(self, was: Any, now: Any, key: bytes, move: Move) -> None:
        """Adds what changes when this was fed and that is now; they differ."""
        if was is None:
            move.added.extend(self._places(now, key))
        elif now is None:
            move.removed.extend(self._places(was, key))
        elif was[-1] != now[-1]:
            move.removed.extend(self._places(was, key))
            move.added.extend(self._places(now, key))
        else:
            member = _sorted(now[-1]) + key
            before, after = self.lists(was[:-1]), self.lists(now[:-1])
            move.removed.extend([(name, member) for name in before if name not in after])
            move.added.extend([(name, member) for name in after if name not in before])

    def _places(self, fed: Any, key: bytes) -> list[Place]:
        member = _sorted(fed[-1]) + key
        return [(name, member) for name in self.lists(fed[:-1])]


@dataclass(frozen=True)
class _Number:
    """A count or a total: `fed` is what it is kept by and the value; `name` and `amount` what comes of these."""

    fed: Callable[[Any], Any]
    name: Callable[[Any], str]
    amount: Callable[[Any], int]

    def note(self, was: Any, now: Any, move: Move) -> None:
        """Adds what changes when this was fed and that is now; they differ."""
        if was is not None and now is not None and was[0] == now[0]:
            move.amounts.append((self.name(now[0]), self.amount(now[1]) - self.amount(was[1])))
            return
        if was is not None:
            move.amounts.append((self.name(was[0]), -self.amount(was[1])))
        if now is not None:
            move.amounts.append((self.name(now[0]), self.amount(now[1])))


class Entries:
    """The lists and numbers of one projection."""

    def __init__(self, projection: Projection[Any, Any]) -> None:
        extremes = [measure for measure in projection.measures if measure.is_extreme]
        numbers = [measure for measure in projection.measures if not measure.is_extreme]
        self._listings = (*map(_index, projection.indexes), *map(_extreme, extremes))
        self._numbers = tuple(map(_number, numbers))
        self._keeps = bool(self._listings or self._numbers)
        self._full: dict[str, int] = {}

    def __bool__(self) -> bool:
        """Whether there is anything to keep."""
        return self._keeps

    def lists(self, id: str, view: Any | None) -> set[Entry]:
        """All places of a view, in indexes and among the contributions to the least and largest."""
        return {Entry(*place) for place in self.move(id, None, view).added}

    def numbers(self, view: Any | None) -> Mapping[str, int]:
        """What a view adds to counts and totals, by the number's name; a total in units of its last place."""
        return dict(self.move("", None, view).amounts)

    def close_off(self, numbers: Mapping[str, int]) -> None:
        """From now on refuses what would add to a number (1) or take from it (-1): it has no room left in that direction."""
        self._full.update(numbers)

    def move(self, id: str, old: Any | None, new: Any | None) -> Move:
        """What changes when a view takes another's place.

        Raises what an author's function raises, TypeError or ValueError for what a measure cannot hold.
        """
        move = Move([], [], [])
        key = SEPARATOR + id.encode()
        for listing in self._listings:
            was = None if old is None else listing.fed(old)
            now = None if new is None else listing.fed(new)
            if was != now:
                listing.note(was, now, key, move)
        for number in self._numbers:
            was = None if old is None else number.fed(old)
            now = None if new is None else number.fed(new)
            if was != now:
                number.note(was, now, move)
        for name, amount in move.amounts if self._full else ():
            if amount * self._full.get(name, 0) > 0:
                raise ValueError(f"{name!r} has no room for {amount} more: a measure has 63 bits")
        return move


def merged(moves: Sequence[Move]) -> Move:
    """The difference that several changes of one aggregate make, one after the other; what came and went is not in it."""
    if len(moves) == 1:
        return moves[0]
    places: dict[Place, int] = {}
    amounts: dict[str, int] = {}
    for move in moves:
        for place in move.removed:
            places[place] = places.get(place, 0) - 1
        for place in move.added:
            places[place] = places.get(place, 0) + 1
        for name, amount in move.amounts:
            amounts[name] = amounts.get(name, 0) + amount
    removed = [place for place, count in places.items() if count < 0]
    added = [place for place, count in places.items() if count > 0]
    return Move(removed, added, [(name, amount) for name, amount in amounts.items() if amount])


def index_entries(projection: Projection[Any, Any], id: str, view: Any | None) -> set[Entry]:
    """All places that a view has in the lists of its projection; none when there is no view."""
    return Entries(projection).lists(id, view)


def units(value: int | Decimal, places: int) -> int:
    """A number in units of 10^-places. Raises ValueError when it is not a whole number of them, or too large for a total."""
    scaled = _EXACT.scaleb(value, places) if isinstance(value, Decimal) else value
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
    values_of = _values((*index.fields, index.sort_field) if index.sort_field else index.fields)
    unsorted = () if index.sort_field else (None,)

    def fed(view: Any) -> tuple[Any, ...] | None:
        values = values_of(view)
        for number in required:
            if values[number] is None:
                return None
        return values + unsorted if unsorted else values

    @lru_cache(maxsize=CACHED)
    def lists(filters: tuple[Any, ...]) -> list[str]:
        found = [start]
        for value, is_required in zip(filters, must, strict=True):
            if value is None:
                found = [name + ":*" for name in found]
                continue
            text = ":" + filter_text(value)
            found = [name + end for name in found for end in ((text,) if is_required else (":*", text))]
        return found

    return _Listing(fed, lists)


def _values(names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    if len(names) > 1:
        return attrgetter(*names)
    return lambda view: tuple([getattr(view, name) for name in names])


def _fed(measure: Measure[Any]) -> Callable[[Any], tuple[Any, Any] | None]:
    """What of a view a measure depends on: what it is kept by, and the value; None when the view does not count."""
    if isinstance(measure.by, str) and measure.of is not None and measure.where is None:
        both: Callable[[Any], tuple[Any, Any]] = attrgetter(measure.by, measure.of)

        def fed_plainly(view: Any) -> tuple[Any, Any] | None:
            found = both(view)
            return None if found[0] is None or found[1] is None else found

        return fed_plainly
    by: Callable[[Any], Any] = attrgetter(measure.by) if isinstance(measure.by, str) else _checked(measure)
    of: Callable[[Any], Any] = attrgetter(measure.of) if measure.of else lambda view: 1
    where, name = measure.where, measure.name

    def fed(view: Any) -> tuple[Any, Any] | None:
        if where is not None:
            counts = where(view)
            if counts is False:
                return None
            if counts is not True:
                raise TypeError(f"`where` of measure {name!r} returned a {type(counts).__name__}, not a bool")
        key = by(view)
        value = of(view)
        return None if key is None or value is None else (key, value)

    return fed


def _checked(measure: Measure[Any]) -> Callable[[Any], Any]:
    by: Any = measure.by

    def key(view: Any) -> Any:
        found = by(view)
        if found is not None and not is_key_type(type(found)):
            raise TypeError(f"measure {measure.name!r} cannot be kept by a {type(found).__name__}")
        return found

    return key


def _extreme(measure: Measure[Any]) -> _Listing:
    name = _named(measure)
    return _Listing(_fed(measure), lambda by: (name(by[0]),))


def _number(measure: Measure[Any]) -> _Number:
    places = measure.places
    return _Number(_fed(measure), _named(measure), lambda value: units(value, places))


def _named(measure: Measure[Any]) -> Callable[[Any], str]:
    """The name of the list or number that is kept by a value."""
    start = measure.name
    return lru_cache(maxsize=CACHED, typed=True)(lambda by: measure_list(start, filter_text(by)))
