"""Where a declaration stands, and what its annotations say: shared by all readers of declarations.

Invariants: pure; a fault names the class and the attribute.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_type_hints

from projections.shape import FieldType, unwrap
from schema.errors import CompositionError


def place_of(cls: type[Any]) -> str:
    """Where a class is, for an author: schema.contexts.orders.Order."""
    return f"{cls.__module__}.{cls.__qualname__}"


def hints_of(cls: type[Any]) -> dict[str, Any]:
    """Resolved annotations of a declaring class. Raises CompositionError for a name that is not there."""
    try:
        return get_type_hints(cls, include_extras=True)
    except NameError as fault:
        raise CompositionError(
            f"an annotation names {fault.name!r}, which its module does not have",
            where=place_of(cls),
            mend="import it at run time (not under TYPE_CHECKING)",
        ) from None


def read_type(annotation: Any, place: str) -> FieldType:
    """An annotation taken apart. Raises CompositionError for one that has no place in a graph."""
    try:
        return unwrap(annotation)
    except TypeError as fault:
        raise CompositionError(
            f"the annotation is {fault}",
            where=place,
            mend="use a scalar, an Enum, a @part, an @entity, a list of one, Connection[...], or `| None`",
        ) from None


def add_or_use(names: Sequence[str]) -> str:
    """How to mend the naming of what a projection does not keep."""
    return f"use one of {', '.join(names)}, or add it there" if names else "add it there: the projection keeps none yet"
