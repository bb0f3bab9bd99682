"""Functions that bring the fields of a struct into their wire form, written out for each struct and compiled.

Invariants: pure; a field is changed in place, and only when it is not in its form already; what is None stays so. Compiled code is
made of the names of the struct's own fields, which are identifiers, and of texts that are written in this package.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
from msgspec.structs import force_setattr

from projections.shape import FieldType, struct_fields, unwrap

Check: TypeAlias = Callable[..., Any]
"""Takes a struct, and after it those that it may share fields with; returns it. Raises what the normal form of a field raises."""


class Scalar(NamedTuple):
    """The wire form of a type: an expression that is true of `{0}` when it is not in it for sure, and what returns the form."""

    is_odd: str
    normal: Callable[[Any], Any]
    names: Mapping[str, Any]
    """What the expression speaks of."""


Scalars: TypeAlias = Mapping[type[Any], Scalar]


def check_of(struct: type[msgspec.Struct], scalars: Scalars, like: Sequence[type[Any]] = ()) -> Check | None:
    """The function for a struct, None when no field of it has to be looked at.

    `like` are the types of the further arguments, structs that are in their form: a field that is the very one of theirs is not
    looked at.
    """
    source = _Source(scalars)
    source.fields("value", struct, [(f"other{n}", frozenset(kind.__struct_fields__)) for n, kind in enumerate(like)], 1)
    if not source.lines:
        return None
    arguments = ", ".join(["value", *(f"other{n}" for n in range(len(like)))])
    code = "\n".join([f"def check({arguments}):", *source.lines, "    return value"])
    exec(code, source.names)  # noqa: S102 - see the invariants
    check: Check = source.names["check"]
    return check


class _Source:
    """The lines of one function, and what they speak of."""

    def __init__(self, scalars: Scalars) -> None:
        self.lines: list[str] = []
        self.names: dict[str, Any] = {"force_setattr": force_setattr}
        self._scalars = scalars
        self._count = 0

    def fields(
        self, owner: str, struct: type[msgspec.Struct], like: Iterable[tuple[str, frozenset[str]]], depth: int
    ) -> None:
        """Looks at every field of a struct that has to be looked at."""
        for name, annotation in struct_fields(struct, where=struct.__name__).items():
            kind = unwrap(annotation)
            if not _is_looked_at(kind, self._scalars):
                continue
            found = self._new("v")
            differs = [
                f"{found} is not None",
                *(f"{found} is not {other}.{name}" for other, has in like if name in has),
            ]
            self._add(depth, f"{found} = {owner}.{name}")
            scalar = self._scalars.get(kind.item)
            if kind.is_list or scalar is None:
                self._add(depth, f"if {' and '.join(differs)}:")
                self._inside(kind, found, f"force_setattr({owner}, {name!r}, {{}})", depth + 1)
            else:
                self._add(depth, f"if {' and '.join([*differs, self._odd(scalar, found)])}:")
                self._add(depth + 1, f"force_setattr({owner}, {name!r}, {self._named(scalar.normal)}({found}))")

    def _inside(self, kind: FieldType, found: str, change: str, depth: int) -> None:
        """Looks at what a field holds: a struct, or a list of structs or scalars."""
        item = found
        if kind.is_list:
            item = self._new("v")
            self._add(depth, f"for {item} in {found}:")
            depth += 1
        scalar = self._scalars.get(kind.item)
        if scalar is not None:
            self._add(depth, f"if {item} is not None and {self._odd(scalar, item)}:")
            self._add(depth + 1, change.format(f"{self._named(_each(scalar.normal))}({found})"))
            self._add(depth + 1, "break")
        else:
            if kind.is_list:
                self._add(depth, f"if {item} is not None:")
                depth += 1
            self.fields(item, kind.item, (), depth)

    def _odd(self, scalar: Scalar, found: str) -> str:
        self.names.update(scalar.names)
        return scalar.is_odd.format(found)

    def _named(self, function: Callable[[Any], Any]) -> str:
        name = self._new("f")
        self.names[name] = function
        return name

    def _new(self, start: str) -> str:
        self._count += 1
        return f"{start}{self._count}"

    def _add(self, depth: int, line: str) -> None:
        self.lines.append(_INDENT * depth + line)


_INDENT: Final = "    "


def _is_looked_at(kind: FieldType, scalars: Scalars) -> bool:
    """Whether a field has a wire form of its own, or holds a struct with such a field."""
    if kind.item in scalars or not issubclass(kind.item, msgspec.Struct):
        return kind.item in scalars
    annotations = struct_fields(kind.item, where=kind.item.__name__).values()
    return any(_is_looked_at(unwrap(annotation), scalars) for annotation in annotations)


def _each(normal: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The form of a list of them, which is a list or a tuple."""
    return lambda values: type(values)([None if value is None else normal(value) for value in values])
