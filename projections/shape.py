"""Which types a field may have, and what a field's annotation says: the grammar shared by events, views and the graph.

Invariants: pure; a type outside the grammar raises DefinitionError naming the class and field.
"""

from __future__ import annotations

import re
import types
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Final, Union, get_args, get_origin, get_type_hints

import msgspec

from projections.errors import DefinitionError

NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}\Z")
"""What projections, aggregates, indexes and measures may be called: a part of keys and of GraphQL names."""

SCALARS: Final = (str, int, float, bool, Decimal, date, datetime)


@dataclass(frozen=True)
class FieldType:
    """An annotation taken apart: `list[Line] | None` is item=Line, is_list, nullable."""

    item: type[Any]
    is_list: bool = False
    nullable: bool = False
    item_nullable: bool = False
    marks: tuple[Any, ...] = ()

    @property
    def filterable(self) -> bool:
        """Whether an index may filter by it: the value has one short text form."""
        return not self.is_list and (self.item in (str, int, bool, date) or issubclass(self.item, Enum))

    def spelled(self) -> str:
        """The annotation as an author would write it."""
        text = self.item.__name__
        if self.is_list:
            text = f"list[{text}{' | None' if self.item_nullable else ''}]"
        return f"{text} | None" if self.nullable else text


def members(annotation: Any) -> tuple[Any, ...]:
    """The members of a union, or the annotation alone; Annotated is looked through."""
    if get_origin(annotation) is Annotated:
        return members(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return tuple(kind for arg in get_args(annotation) for kind in members(arg))
    return (annotation,)


def unwrap(annotation: Any) -> FieldType:
    """Takes an annotation apart. Raises TypeError for one that has no place in the grammar."""
    marks: tuple[Any, ...] = ()
    while get_origin(annotation) is Annotated:
        annotation, *extra = get_args(annotation)
        marks = (*marks, *extra)
    nullable = False
    if get_origin(annotation) in (Union, types.UnionType):
        rest = [arg for arg in get_args(annotation) if arg is not type(None)]
        nullable = len(rest) < len(get_args(annotation))
        if len(rest) != 1:
            raise TypeError("a union of several types")
        inner = unwrap(rest[0])
        return FieldType(
            inner.item, inner.is_list, nullable or inner.nullable, inner.item_nullable, marks + inner.marks
        )
    if get_origin(annotation) in (list, tuple):
        arguments = get_args(annotation)
        if not arguments or (get_origin(annotation) is tuple and arguments[1:] != (...,)):
            raise TypeError(f"{annotation!r}")
        inner = unwrap(arguments[0])
        if inner.is_list:
            raise TypeError("a list of lists")
        return FieldType(inner.item, True, False, inner.nullable, marks + inner.marks)
    if not isinstance(annotation, type):
        raise TypeError(f"{annotation!r}")
    return FieldType(annotation, False, False, False, marks)


def sortable(annotation: Any) -> bool:
    """Whether an index may be ordered by it: the value has an order-preserving text form (store/keys.py)."""
    kind = unwrap(annotation)
    return not kind.is_list and kind.item in (str, int, Decimal, date, datetime)


def type_hints(annotated: Any, name: str, *, where: str) -> dict[str, Any]:
    """The annotations of a function or class, evaluated. Raises DefinitionError."""
    try:
        return get_type_hints(annotated, include_extras=True)
    except Exception as error:  # noqa: BLE001 - an annotation is an expression: it may raise anything
        raise DefinitionError(
            f"the annotations of {name} cannot be read: {error}",
            where=where,
            mend="import every name at the top of the module, not under TYPE_CHECKING or inside a function",
        ) from None


def struct_fields(struct: type[msgspec.Struct], *, where: str, inside: tuple[type[Any], ...] = ()) -> dict[str, Any]:
    """Annotations by field name, each checked against the grammar, nested structs too. Raises DefinitionError.

    `inside` are the structs that hold this one.
    """
    if struct in inside:
        raise DefinitionError(
            f"{struct.__name__} holds itself",
            where=where,
            mend="keep the key of the other one instead of the whole of it",
        )
    hints = type_hints(struct, struct.__name__, where=where)
    found = {name: hints[name] for name in struct.__struct_fields__}
    for name, annotation in found.items():
        place = f"{where}, field {name!r}"
        try:
            kind = unwrap(annotation)
        except TypeError as fault:
            raise DefinitionError(
                f"type {fault} is not one a read model can have",
                where=place,
                mend="use str, int, float, bool, Decimal, date, datetime, an Enum, a Part, a list of these, or `| None`",
            ) from None
        if issubclass(kind.item, msgspec.Struct):
            struct_fields(kind.item, where=place, inside=(*inside, struct))
        elif issubclass(kind.item, Enum):
            if not all(isinstance(member.value, str) for member in kind.item):
                raise DefinitionError(
                    f"{kind.item.__name__} has values that are not strings", where=place, mend="use string values"
                )
        elif kind.item not in SCALARS:
            raise DefinitionError(
                f"type {kind.item.__name__} is not one a read model can have",
                where=place,
                mend="use str, int, float, bool, Decimal, date, datetime, an Enum, a Part, a list of these, or `| None`",
            )
    return found
