"""Struct types made for exactly what a selection shows of a stored view or part.

Invariants: what is decoded is typed, so a stored value that does not fit is noticed; attributes have synthetic names, response
names come by `rename`, because aliases are hostile input (`__slots__` breaks a class); what is not selected is skipped.

A shape is two types: one to decode (`In`, by the names that are stored) and one to encode (`Out`, by the names of the answer).
Where both would be the same there is only one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from functools import cache
from operator import attrgetter
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec
from strawberry.utils.str_converters import to_camel_case

from gateway.engine.errors import NotCompiledError
from projections.shape import FieldType, struct_fields, unwrap
from projections.wire import MAX_INT, MIN_INT, Codec, encode_plain

_WIRE: Final[Mapping[type, Any]] = {
    str: str,
    int: Annotated[int, msgspec.Meta(ge=MIN_INT, le=MAX_INT)],
    float: float,
    bool: bool,
    Decimal: str,
    datetime: str,
    date: str,
}
"""The JSON type of each scalar: it is stored in the form in which it is shown."""
_ITSELF: Final = (str, int, float, bool)
"""Types whose values are stored as JSON has them."""
_NOWHERE: Final = "~"
"""Begins names of JSON that no view stores: fields of views are Python's names."""


def wire_type(kind: FieldType) -> Any:
    """What a stored leaf is decoded as."""
    item: Any = _WIRE.get(kind.item)
    if item is None:
        item = Literal[tuple(member.value for member in kind.item)] if issubclass(kind.item, Enum) else Any
    if kind.is_list:
        item = list[item | None] if kind.item_nullable else list[item]
    return item | None if kind.nullable else item


class _Declared(NamedTuple):
    """What a struct declares: by field its annotation, what that says, what msgspec says of it, and the name that is stored."""

    annotations: Mapping[str, Any]
    kinds: Mapping[str, FieldType]
    infos: Mapping[str, msgspec.structs.FieldInfo]
    names: Mapping[str, str]
    stored: frozenset[str]


@cache
def _declared(struct: type[msgspec.Struct]) -> _Declared:
    """Read once for each view and part that contexts declare: to evaluate annotations takes longer than the rest of an object."""
    annotations = struct_fields(struct, where=struct.__name__)
    kinds = {name: unwrap(annotation) for name, annotation in annotations.items()}
    infos = {info.name: info for info in msgspec.structs.fields(struct)}
    names = {name: to_camel_case(name) for name in annotations}
    return _Declared(annotations, kinds, infos, names, frozenset(names.values()))


class In:
    """What is decoded of one stored struct: grows while a selection is compiled."""

    def __init__(self, struct: type[msgspec.Struct]) -> None:
        self._declared = _declared(struct)
        self._attributes: dict[str, str] = {}
        self._types: dict[str, Any] = {}
        self._parts: dict[str, In] = {}
        self._own: list[tuple[str, str]] = []
        self._struct: type[msgspec.Struct] | None = None

    def leaf(self, name: str, kind: FieldType) -> str:
        """The attribute that a stored leaf is decoded into."""
        attribute = self._attribute(name)
        self._types.setdefault(name, wire_type(kind))
        return attribute

    def own_leaf(self, name: str) -> str:
        """As `leaf`, in the type that the view itself declares."""
        return self.leaf(name, self._declared.kinds[name])

    def raw(self, name: str) -> tuple[str, Callable[[Any], Any]]:
        """The attribute with the bytes of a stored field, and what reads a value in the field's own type out of them.

        Where the form in which it is stored is a value of that type there is nothing to read; elsewhere bounds are looked at, too.
        """
        kind = self._declared.kinds[name]
        if kind.item in _ITSELF:
            return self.leaf(name, kind), itself
        attribute = self._attribute(name)
        self._types[name] = msgspec.Raw
        codec: Codec[Any] = Codec(msgspec.defstruct("Needed", [("value", self._declared.annotations[name])]))
        return attribute, lambda stored: codec.decode(b'{"value":%b}' % bytes(stored)).value

    def part(self, name: str) -> tuple[str, In]:
        """The attribute that a nested struct (or a list of them) is decoded into, and what of it."""
        attribute = self._attribute(name)
        if name not in self._parts:
            self._parts[name] = In(self._declared.kinds[name].item)
        return attribute, self._parts[name]

    def own(self, response: str) -> str:
        """An attribute for what is put there after decoding, whatever was decoded: named as in the answer where no declared stored
        name is, so that it can be encoded as it is.
        """
        attribute = f"p{len(self._own)}"
        is_free = response not in self._declared.stored and all(response != shown for _, shown in self._own)
        self._own.append((attribute, response if is_free else f"{_NOWHERE}{attribute}"))
        return attribute

    def is_raw(self, name: str) -> bool:
        """Whether the attribute of a field has its bytes."""
        return self._types.get(name) is msgspec.Raw

    def struct(self, order: tuple[str, ...]) -> type[msgspec.Struct]:
        """The type to decode, its attributes in this order, others behind. Made once: nothing is added after it."""
        if self._struct is None:
            self._struct = self._made(order)
        return self._struct

    def _made(self, order: tuple[str, ...]) -> type[msgspec.Struct]:
        fields: dict[str, Any] = {}
        rename: dict[str, str] = {}
        for name, attribute in self._attributes.items():
            fields[attribute] = (attribute, self._type(name), *self._default(name))
            rename[attribute] = self._declared.names[name]
        for attribute, shown in self._own:
            fields[attribute] = (attribute, Any, None)
            rename[attribute] = shown
        ordered = [fields[attribute] for attribute in dict.fromkeys((*order, *fields))]
        return msgspec.defstruct("In", ordered, rename=rename, kw_only=True, gc=False)

    def stored_names(self) -> Mapping[str, str]:
        """By attribute the name in the stored JSON, which for what is put there is what it is encoded as."""
        found = {attribute: self._declared.names[name] for name, attribute in self._attributes.items()}
        return found | dict(self._own)

    def list_type(self, name: str) -> Any:
        """The type of a nested field as a whole, to read it out of its bytes."""
        return self._nested(name, self._declared.kinds[name])

    def _attribute(self, name: str) -> str:
        return self._attributes.setdefault(name, f"d{len(self._attributes)}")

    def _type(self, name: str) -> Any:
        if name in self._types:
            return self._types[name]
        return self._nested(name, self._declared.kinds[name])

    def _nested(self, name: str, kind: FieldType) -> Any:
        item: Any = self._parts[name].struct(())
        if kind.is_list:
            item = list[item | None] if kind.item_nullable else list[item]
        return item | None if kind.nullable else item

    def _default(self, name: str) -> tuple[Any, ...]:
        """What a view that was stored without the field has in it, as its author declared."""
        info = self._declared.infos[name]
        if info.default is msgspec.NODEFAULT and info.default_factory is msgspec.NODEFAULT:
            return ()
        value = info.default if info.default is not msgspec.NODEFAULT else info.default_factory()
        data = encode_plain(value)
        if self.is_raw(name):
            return (msgspec.Raw(data),)
        plain = msgspec.json.decode(data)
        if isinstance(plain, dict) or (isinstance(plain, list) and plain):
            raise NotCompiledError(f"the default of {name!r} is an object or a list that is not empty")
        return (msgspec.field(default_factory=list),) if plain == [] and plain is not None else (plain,)


def itself(value: Any) -> Any:
    """Reads what needs no reading."""
    return value


@dataclass(frozen=True)
class Shape:
    """How stored objects become those of the answer: `decode` a list, then `out(*pick(one))` of each unless `out` is None."""

    decode: Callable[[bytes], Any]
    struct: type[msgspec.Struct]
    out: type[msgspec.Struct] | None
    pick: Callable[[Any], Any]

    @property
    def shown(self) -> type[msgspec.Struct]:
        """The type of the objects in the answer."""
        return self.out or self.struct


def out_struct(responses: tuple[str, ...]) -> type[msgspec.Struct]:
    """A type to encode with these names; its attributes are f0, f1, ... in that order."""
    names = [f"f{number}" for number in range(len(responses))]
    return msgspec.defstruct(
        "Out", [(name, Any) for name in names], rename=dict(zip(names, responses, strict=True)), gc=False
    )


def picker(attributes: tuple[str, ...]) -> Callable[[Any], Any]:
    """A function that gives these attributes of an object as a tuple."""
    if len(attributes) == 1:
        [only] = attributes
        return lambda source: (getattr(source, only),)
    return attrgetter(*attributes) if attributes else lambda _: ()
