"""What the documents of a projection come to, per key: how many, how much, the least, the largest.

Invariants: a measure is a frozen value; what it says follows from the stored documents alone, so a replay changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, Generic, Literal, Protocol, TypeAlias, TypeVar

from projections.errors import DefinitionError
from projections.shape import NAME, unwrap

V = TypeVar("V")

Kind: TypeAlias = Literal["count", "total", "least", "largest"]
KeyOf: TypeAlias = str | Callable[[V], "str | int | date | None"]

KINDS: Final = ("count", "total", "least", "largest")
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
        places: digits behind the point of a total of Decimals, exact; a row with more of them is set aside.

    A count is an int, 0 without rows; a total is of its field's type, 0 without rows; an extreme is None without rows.
    """

    name: str
    kind: Kind
    by: KeyOf[V]
    of: str | None = None
    where: Callable[[V], bool] | None = None
    places: int = 2

    @property
    def is_extreme(self) -> bool:
        """Whether it is the least or the largest of something."""
        return self.kind in ("least", "largest")

    def check(self, fields: Mapping[str, Any], view: str, where: str) -> None:
        """Raises DefinitionError when it does not fit a view with these annotations by field name."""
        place = f"{where}, Measure {self.name!r}"
        if self.kind not in KINDS:
            raise DefinitionError(f"there is no kind {self.kind!r}", where=place, mend=f"use one of {', '.join(KINDS)}")
        if (self.of is None) != (self.kind == "count"):
            mend = "leave `of` out of a count, and name a field for the others"
            raise DefinitionError(f"a {self.kind} of {self.of!r}", where=place, mend=mend)
        for name in (self.by, self.of):
            if isinstance(name, str) and name not in fields:
                mend = f"use one of {', '.join(sorted(fields))}"
                raise DefinitionError(f"{view} has no field {name!r}", where=place, mend=mend)
        if isinstance(self.by, str) and not unwrap(fields[self.by]).filterable:
            mend = "use a str, int, bool, date or Enum, or a function of the view"
            raise DefinitionError(f"it cannot be kept per {self.by!r}", where=place, mend=mend)
        if self.of is not None:
            kinds = _ORDERED if self.is_extreme else _TOTALLED
            found = unwrap(fields[self.of])
            if found.is_list or found.item not in kinds:
                mend = f"use a field of type {', '.join(kind.__name__ for kind in kinds)}"
                raise DefinitionError(f"a {self.kind} of {self.of!r}, a {found.spelled()}", where=place, mend=mend)
        if not 0 <= self.places <= MAX_PLACES:
            raise DefinitionError(f"{self.places} places", where=place, mend=f"keep 0 to {MAX_PLACES}")


class _Named(Protocol):
    @property
    def name(self) -> str: ...


def check_measures(
    measures: Sequence[Measure[Any]], indexes: Sequence[_Named], fields: Mapping[str, Any], view: str, where: str
) -> None:
    """Raises DefinitionError unless all fit the view, and each has a name of its own."""
    taken = {index.name for index in indexes}
    for measure in measures:
        if not NAME.match(measure.name) or measure.name in taken:
            mend = "give every measure and index its own name, of a-z, 0-9 and _"
            place = f"{where}, Measure {measure.name!r}"
            raise DefinitionError("the name is not plain, or taken", where=place, mend=mend)
        taken.add(measure.name)
        measure.check(fields, view, where)
