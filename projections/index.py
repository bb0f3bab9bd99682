"""Which lists a read model keeps of its rows: by which filters, in which order.

Invariants: an index is a frozen value; whether it fits its view is checked when the projection is built.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Generic, TypeVar

from projections.arguments import check_items, check_name, check_type
from projections.errors import DefinitionError
from projections.shape import sortable, unwrap

V = TypeVar("V")

MAX_OPTIONAL_FILTERS: Final = 3
"""Each optional filter doubles the entries a row has in an index: 2^3 = 8 at most."""


@dataclass(frozen=True)
class Index(Generic[V]):
    """An ordered list of a projection's rows per combination of filter values.

    Args:
        name: unique in the projection.
        filters: fields of the view; "status?" may be left out of a query. Rows whose required filter is None are not listed.
        sort: the field that orders the list, "-placed_at" for newest first; equal values are ordered by key. None: by key.
    """

    name: str
    filters: tuple[str, ...] = ()
    sort: str | None = None

    @cached_property
    def required(self) -> tuple[str, ...]:
        """Filters that every query gives."""
        return tuple(name for name in self.filters if not name.endswith("?"))

    @cached_property
    def optional(self) -> tuple[str, ...]:
        """Filters that a query may leave out, without the question mark."""
        return tuple(name[:-1] for name in self.filters if name.endswith("?"))

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """All filters, in the declared order, without question marks."""
        return tuple(name.removesuffix("?") for name in self.filters)

    @cached_property
    def sort_field(self) -> str | None:
        """The field that orders the list, without the minus sign."""
        return self.sort.removeprefix("-") if self.sort else None

    @cached_property
    def descending(self) -> bool:
        """Whether the list runs from the largest sort value to the smallest."""
        return bool(self.sort and self.sort.startswith("-"))


def check_indexes(indexes: Sequence[Index[Any]], known: Mapping[str, Any], view: str, where: str) -> None:
    """Raises DefinitionError unless all fit a view with these annotations by field name, and each has a name of its own."""
    check_items(indexes, Index, "indexes", where)
    names: dict[str, str] = {}
    for index in indexes:
        place = f"{where}, Index {index.name!r}"
        check_name(index.name, names, place)
        names[index.name] = "another index"
        check_items(index.filters, str, "filters", place)
        if index.sort is not None:
            check_type(index.sort, str, "sort", place)
        if len(index.optional) > MAX_OPTIONAL_FILTERS:
            raise DefinitionError(
                f"{len(index.optional)} optional filters", where=place, mend=f"keep to {MAX_OPTIONAL_FILTERS}"
            )
        wanted = [*index.fields, *([index.sort_field] if index.sort_field else [])]
        for name in wanted:
            if name not in known:
                raise DefinitionError(
                    f"{view} has no field {name!r}",
                    where=place,
                    mend=f"use one of {', '.join(sorted(known))}, or add the field to {view}",
                )
        for number, name in enumerate(index.fields):
            if name in index.fields[:number]:
                raise DefinitionError(f"{name!r} is filtered by twice", where=place, mend="name each filter once")
            if not unwrap(known[name]).filterable:
                raise DefinitionError(
                    f"{name!r} cannot be filtered by", where=place, mend="use a str, int, bool, date or Enum"
                )
        if index.sort_field and not sortable(known[index.sort_field]):
            raise DefinitionError(
                f"{index.sort_field!r} cannot be sorted by", where=place, mend="use str, int, Decimal, date, datetime"
            )
