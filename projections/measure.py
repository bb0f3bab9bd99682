"""What the documents of a projection come to, per key: how many, how much, the least, the largest.

Invariants: a measure is a frozen value; what it says follows from the stored documents alone, so a replay changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, Generic, Literal, Protocol, TypeAlias, TypeVar

from projections.arguments import check_function, check_items, check_name, check_type
from projections.errors import DefinitionError
from projections.shape import unwrap

V = TypeVar("V")

Kind: TypeAlias = Literal["count", "total", "least", "largest"]
KeyOf: TypeAlias = str | Callable[[V], "str | int | date | None"]

KINDS: Final = ("count", "total", "least", "largest")
DEFAULT_PLACES: Final = 2
MAX_PLACES: Final = 6
"""A total is a whole number of units of 10^-places, of 63 bits: with six places up to nine million million."""
_TOTALLED: Final = (int, Decimal)
_ORDERED: Final = (int, Decimal, date, datetime)


@dataclass(frozen=True)
class Measure(Generic[V]):
    """A number, or an extreme, that is kept per key over the rows of a projection.

    Args:
        name: unique in the projection, among indexes too.
        kind: "count" of rows, "total" of a field, its "least" or its "largest" value.
        by: what it is kept per: a field of the view, or a pure function of it; rows for which that is None do not count.
        of: the field that is added up (int, Decimal) or compared (int, Decimal, date, datetime); rows where it is None do not
            count. None for a count.
        where: which rows count, a pure function of the view; None: all.
        places: digits behind the point of a total of Decimals, exact: a row with more of them is set aside. An extreme of
            Decimals is shown with at least so many.

    A count is an int, 0 without rows; a total is of its field's type, 0 without rows; an extreme is None without rows.
    """

    name: str
    kind: Kind
    by: KeyOf[V]
    of: str | None = None
    where: Callable[[V], bool] | None = None
    places: int = DEFAULT_PLACES

    @property
    def is_extreme(self) -> bool:
        """Whether it is the least or the largest of something."""
        return self.kind in ("least", "largest")

    def check(self, fields: Mapping[str, Any], view: type[Any], where: str) -> None:
        """Raises DefinitionError when it does not fit a view with these annotations by field name."""
        place = f"{where}, Measure {self.name!r}"
        self._check_what(place)
        for name in (self.by, self.of):
            if isinstance(name, str) and name not in fields:
                mend = f"use one of {', '.join(sorted(fields))}"
                raise DefinitionError(f"{view.__name__} has no field {name!r}", where=place, mend=mend)
        if not isinstance(self.by, str):
            check_function(self.by, "by", view, "key", place)
        elif not unwrap(fields[self.by]).filterable:
            mend = "use a str, int, bool, date or Enum, or a function of the view"
            raise DefinitionError(f"it cannot be kept per {self.by!r}", where=place, mend=mend)
        if self.where is not None:
            check_function(self.where, "where", view, "bool", place)
        self._check_numbers(fields, place)

    def _check_what(self, place: str) -> None:
        if self.kind not in KINDS:
            raise DefinitionError(f"there is no kind {self.kind!r}", where=place, mend=f"use one of {', '.join(KINDS)}")
        if self.of is not None:
            check_type(self.of, str, "of", place)
        if self.of is None and self.kind != "count":
            mend = "name a field of the view: of=..."
            raise DefinitionError(f"`of` is missing: a {self.kind} is of a field", where=place, mend=mend)
        if self.of is not None and self.kind == "count":
            raise DefinitionError(f"a count of {self.of!r}: a count is of rows", where=place, mend="leave `of` out")

    def _check_numbers(self, fields: Mapping[str, Any], place: str) -> None:
        found = None if self.of is None else unwrap(fields[self.of])
        if found is not None:
            kinds = _ORDERED if self.is_extreme else _TOTALLED
            if found.is_list or found.item not in kinds:
                mend = f"use a field of type {', '.join(kind.__name__ for kind in kinds)}"
                raise DefinitionError(f"a {self.kind} of {self.of!r}, a {found.spelled()}", where=place, mend=mend)
        check_type(self.places, int, "places", place)
        if not 0 <= self.places <= MAX_PLACES:
            raise DefinitionError(f"{self.places} places", where=place, mend=f"keep 0 to {MAX_PLACES}")
        if self.places != DEFAULT_PLACES and (found is None or found.item is not Decimal):
            what = "a count" if found is None else f"a {self.kind} of {found.spelled()}"
            raise DefinitionError(f"places for {what}: only Decimals have them", where=place, mend="leave `places` out")


class _Named(Protocol):
    @property
    def name(self) -> str: ...


def check_measures(
    measures: Sequence[Measure[Any]],
    indexes: Sequence[_Named],
    fields: Mapping[str, Any],
    view: type[Any],
    where: str,
) -> None:
    """Raises DefinitionError unless all are measures that fit the view, and each has a name of its own."""
    check_items(measures, Measure, "measures", where)
    taken = {index.name: "an index" for index in indexes}
    for measure in measures:
        place = f"{where}, Measure {measure.name!r}"
        check_name(measure.name, taken, place)
        taken[measure.name] = "another measure"
        measure.check(fields, view, where)
