"""What is stored, as the plain executor shows it: each field is read when it is asked for, and fails by itself.

Invariants: immutable; a leaf is shown as it is stored, after a look at its JSON type; a field that does not fit its declaration is
an error of whoever asks for it, bytes that are no JSON object one of the place of the object; code gets typed values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Final

import msgspec

from gateway.engine.shapes import wire_type
from gateway.errors import UnreadableDocumentError
from projections.errors import WireError
from projections.shape import FieldType, struct_fields, unwrap
from projections.wire import Codec, encode_plain
from schema.ids import global_id
from schema.model import Graph, ObjectModel
from schema.model.graph import Kind
from schema.scalars import StoredText

_UNFIT: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, WireError)
_AS_TEXT: Final = (Decimal, datetime, date)
"""What is text in JSON, and of a type of its own in the graph."""


class _StoredField:
    """How one field is read out of its bytes: `show` as the graph shows it, `value` in the type that its author declared.

    Both raise what is in _UNFIT.
    """

    def __init__(self, name: str, annotation: Any, kind: FieldType, part: StoredType | None) -> None:
        self.name = name
        self._part = part
        self._kind = kind
        self._annotation = annotation
        self._is_text = kind.item in _AS_TEXT
        wire = wire_type(kind) if part is None else _nested(kind, part.raws)
        self._wire = msgspec.json.Decoder(wire)
        self._codec: Codec[Any] | None = None

    def show(self, raw: msgspec.Raw, place: str) -> Any:
        value = self._wire.decode(raw)
        if value is None or (self._part is None and not self._is_text):
            return value
        one = StoredText if self._part is None else self._part.object_at(place)
        if not self._kind.is_list:
            return one(value)
        return [None if item is None else one(item) for item in value]

    def value(self, raw: msgspec.Raw) -> Any:
        if self._codec is None:
            self._codec = Codec(msgspec.defstruct("Stored", [("value", self._annotation)]))
        return self._codec.decode(b'{"value":%b}' % bytes(raw)).value


class StoredType:
    """How a view, or a part of one, is read. `shown` are the types of those of its fields that the graph shows, `parts` how nested
    ones are read.
    """

    def __init__(
        self, struct: type[msgspec.Struct], shown: Mapping[str, FieldType], parts: Mapping[str, StoredType]
    ) -> None:
        annotations = struct_fields(struct, where=struct.__name__)
        infos = {info.name: info for info in msgspec.structs.fields(struct)}
        self.fields = {
            name: _StoredField(info.encode_name, annotations[name], shown.get(name, unwrap(annotations[name])), part)
            for name, info in infos.items()
            for part in [parts.get(name)]
        }
        defaults = {name: _default(info) for name, info in infos.items()}
        self.raws = msgspec.defstruct(
            "Raws",
            [(name, msgspec.Raw, default) for name, default in defaults.items()],
            rename={name: info.encode_name for name, info in infos.items()},
            gc=False,
        )
        self.decode = msgspec.json.Decoder(self.raws).decode

    def object_at(self, place: str) -> Callable[[Any], StoredObject]:
        """Makes objects of what `raws` decoded."""
        return lambda raws: StoredObject(self, place, None, raws)


class StoredObject:
    """An object that is stored: a part of a view, a row or an entry. Attributes are its fields, in their declared types."""

    __slots__ = (
        "__headrace_data__",
        "__headrace_place__",
        "__headrace_raws__",
        "__headrace_type__",
    )  # no field begins so

    def __init__(self, type: StoredType, place: str, data: bytes | None, raws: Any = None) -> None:
        self.__headrace_type__ = type
        self.__headrace_place__ = place
        self.__headrace_data__ = data
        self.__headrace_raws__ = raws

    def __getattr__(self, name: str) -> Any:
        field = self.__headrace_type__.fields.get(name)
        if field is None:
            raise AttributeError(name)
        return _read(self, field, field.value, name)


class StoredRow(StoredObject):
    """An entity as read (schema.ports.Row)."""

    __slots__ = ("__headrace_entity__", "id", "key", "version")

    def __init__(self, type: StoredType, entity: str, key: str, version: int, data: bytes) -> None:
        self.id = global_id(entity, key)
        self.key = key
        self.version = version
        self.__headrace_entity__ = entity
        super().__init__(type, self.id, data)

    @staticmethod
    def is_of(source: object, entity: str) -> bool:
        """Whether something is a row of that entity. Raises UnreadableDocumentError for one that is not stored as an object."""
        return isinstance(source, StoredRow) and source.__headrace_entity__ == entity and _raws(source) is not None


class StoredEntry(StoredObject):
    """An entry of a timeline as read (schema.activity.Activity). It stands for its own lineage, too."""

    __slots__ = ()

    @property
    def when(self) -> datetime:
        """The time of the event."""
        found: datetime = self.at
        return found

    @property
    def lineage(self) -> StoredEntry:
        """Where it comes from."""
        return self


def attribute(source: Any, name: str) -> Any:
    """How a field without code is resolved: as it is stored, or the source's attribute, an Enum as its value."""
    if isinstance(source, StoredObject):
        name = "at" if name == "when" and isinstance(source, StoredEntry) else name
        field = source.__headrace_type__.fields.get(name)
        if field is not None:
            place = source.__headrace_place__
            return _read(source, field, lambda raw: field.show(raw, place), name)
    value = getattr(source, name)
    return value.value if isinstance(value, Enum) else value


def readable(source: Any) -> Any:
    """The source itself, or the error that it is not stored as an object, as a value: that is then the error of its own place."""
    if isinstance(source, StoredObject):
        try:
            _raws(source)
        except UnreadableDocumentError as error:
            return error
    return source


def stored_type(graph: Graph, model: ObjectModel) -> StoredType:
    """How the views of an entity, or the parts that a type shows, are read."""
    shown = {name: field.type for name, field in model.fields.items() if field.kind in (Kind.STORED, Kind.NESTED)}
    parts = {
        name: stored_type(graph, graph.objects[field.target])
        for name, field in model.fields.items()
        if field.kind is Kind.NESTED and field.target is not None
    }
    return StoredType(model.view, shown, parts)


def _raws(source: StoredObject) -> Any:
    """The bytes of its fields. Raises UnreadableDocumentError."""
    if source.__headrace_raws__ is None:
        try:
            source.__headrace_raws__ = source.__headrace_type__.decode(source.__headrace_data__ or b"")
        except _UNFIT as fault:
            raise _unreadable(source.__headrace_place__) from fault
    return source.__headrace_raws__


def _read(source: StoredObject, field: _StoredField, read: Callable[[msgspec.Raw], Any], name: str) -> Any:
    raw = getattr(_raws(source), name)
    try:
        if raw is None:
            raise WireError(f"{field.name} is missing")
        return read(raw)
    except _UNFIT as fault:
        raise _unreadable(f"{field.name} of {source.__headrace_place__}") from fault


def _unreadable(what: str) -> UnreadableDocumentError:
    return UnreadableDocumentError(f"{what} is stored in another shape than it is declared")


def _default(info: msgspec.structs.FieldInfo) -> msgspec.Raw | None:
    """The bytes of what its author declared for a view that was stored without the field; None where it must be there."""
    if info.default is not msgspec.NODEFAULT:
        return msgspec.Raw(encode_plain(info.default))
    return None if info.default_factory is msgspec.NODEFAULT else msgspec.Raw(encode_plain(info.default_factory()))


def _nested(kind: FieldType, raws: type[msgspec.Struct]) -> Any:
    item: Any = raws
    if kind.is_list:
        item = list[item | None] if kind.item_nullable else list[item]
    return item | None if kind.nullable else item
