"""Output types: entities, parts, enums and connections as fresh Strawberry classes.

Invariants: every class exists, empty, before any is filled, so cycles between contexts cost nothing; stored fields resolve by
attribute, edges by the request's rows.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, Final

import strawberry

from gateway.compose.code import by_value, code_field
from gateway.compose.connections import (
    connection_arguments,
    connection_types,
    forward_arguments,
    resolve_connection,
    resolve_timeline,
)
from gateway.compose.numbers import shown_number
from gateway.compose.signature import Argument, resolver
from gateway.engine.stored import StoredRow
from gateway.errors import TooManyRowsError
from projections.shape import FieldType, struct_fields, unwrap
from schema.activity import Activity
from schema.declare import Computed, Many, One
from schema.model import FieldModel, Graph, Kind, ObjectModel
from schema.model.rows import ruled_field
from schema.paging import Window
from schema.per_key import Measured, Timed
from schema.ports import RowPage
from schema.receipt import Node

_VERSION: Final = "How many events the owner had recorded."
_ORDER: Final = (
    "The lower half of the number that orders the owner's records: not a count, and it may be lower than it was before."
)


class TypeBuilder:
    """Builds every output type of a graph once."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._enums = {name: _fresh_enum(kind) for name, kind in graph.enums.items()}
        self._shells: dict[str, type[Any]] = {
            name: type(name, (Node,) if model.projection is not None else (), {})
            for name, model in graph.objects.items()
        }
        self._connections: dict[str, type[Any]] = {}
        for model in graph.objects.values():
            self._fill(model)

    def shell(self, name: str) -> type[Any]:
        """The class of an object type."""
        return self._shells[name]

    def enum(self, kind: type[Enum]) -> type[Enum]:
        """The public enum of an author's enum."""
        return self._enums[kind.__name__]

    def connection(self, entity: str) -> type[Any]:
        """The connection type of an entity."""
        return self._connection(entity, self._shells[entity])

    def _connection(self, name: str, item: type[Any]) -> type[Any]:
        if name not in self._connections:
            self._connections[name] = connection_types(name, item)
        return self._connections[name]

    def annotation(self, kind: FieldType) -> Any:
        """A public annotation with author classes replaced by built ones."""
        item: Any = kind.item
        if item.__name__ in self._shells and self.graph.objects[item.__name__].cls is item:
            item = self._shells[item.__name__]
        elif isinstance(item, type) and issubclass(item, Enum):
            item = self.enum(item)
        if kind.is_list:
            item = list[item | None] if kind.item_nullable else list[item]
        return item | None if kind.nullable else item

    def filters(
        self, declaration: Many | Any, names: tuple[str, ...], required: tuple[str, ...]
    ) -> dict[str, Argument]:
        """Arguments for an index's filters; one that a row rule goes by is the principal's, not the client's, to give."""
        fields = struct_fields(declaration.projection.view, where=declaration.projection.name)
        found: dict[str, Argument] = {}
        ruled = ruled_field(declaration.projection, self.graph.objects)
        for name in names:
            if name == ruled:
                continue
            item = unwrap(fields[name]).item
            kind: Any = self.enum(item) if issubclass(item, Enum) else item
            found[name] = Argument(kind if name in required else kind | None, name in required)
        return found

    def _fill(self, model: ObjectModel) -> None:
        shell = self._shells[model.name]
        annotations: dict[str, Any] = {}
        if model.projection is not None:
            annotations |= {"key": strawberry.ID, "version": int}
            shell.key = strawberry.field(description="The owner's own id.")
            shell.version = strawberry.field(description=_VERSION if model.projection.version_of is None else _ORDER)
            shell.is_type_of = classmethod(_is_row_of(model.name))
        for field in model.fields.values():
            built, annotation = self._field(field)
            if annotation is not None:
                annotations[field.name] = annotation
            setattr(shell, field.name, built)
        shell.__annotations__ = annotations
        strawberry.type(shell, name=model.name, description=_clean(model.description))

    def _field(self, field: FieldModel) -> tuple[Any, Any]:
        options: dict[str, Any] = {
            "description": field.metadata.description,
            "deprecation_reason": field.metadata.deprecation,
        }
        declaration = field.declaration
        if field.kind is Kind.CODE:
            return code_field(field.code, self._replaced), None
        if isinstance(declaration, Computed):
            annotation = self.annotation(field.type)
            return strawberry.field(resolver=resolver(_computed(declaration), annotation), **options), None
        if isinstance(declaration, One):
            annotation = self.annotation(field.type)
            return strawberry.field(resolver=resolver(_one(declaration), annotation), **options), None
        if isinstance(declaration, Many) and field.connection:
            arguments = self.filters(declaration, declaration.index.optional, ()) | connection_arguments()
            function = _connected(declaration, field.via or "")
            returns = self.connection(field.target or "")
            return strawberry.field(resolver=resolver(function, returns, arguments), **options), None
        if isinstance(declaration, Many):
            annotation = list[self.annotation(FieldType(field.type.item))]  # type: ignore[misc]
            function = _list(declaration, field.via or "", field.graphql_name)
            return strawberry.field(resolver=resolver(function, annotation), **options), None
        if isinstance(declaration, Measured):
            return strawberry.field(
                resolver=resolver(_measure(declaration, field), self.annotation(field.type)), **options
            ), None
        if isinstance(declaration, Timed):
            returns = self._connection(Activity.__name__, Activity)
            return strawberry.field(
                resolver=resolver(_timeline(declaration), returns, forward_arguments()), **options
            ), None
        return strawberry.field(**options), self.annotation(field.type)

    def _replaced(self, annotation: Any) -> Any:
        """An author's annotation in a code field, with built types put in."""
        return self.annotation(unwrap(annotation))


def _fresh_enum(kind: type[Enum]) -> type[Enum]:
    copy = Enum(kind.__name__, [(member.name, member.value) for member in kind])  # type: ignore[misc]
    own_doc = kind.__dict__.get("__doc__")
    return strawberry.enum(copy, description=_clean(own_doc))


def _is_row_of(name: str) -> Callable[..., bool]:
    def is_type_of(cls: type[Any], source: Any, info: Any) -> bool:
        return StoredRow.is_of(source, name)

    return is_type_of


def _clean(text: str | None) -> str | None:
    return " ".join(text.split()) if text else None


def _computed(declaration: Computed) -> Callable[..., Any]:
    return lambda root, info: by_value(declaration.fn(*(getattr(root, need) for need in declaration.needs)))


def _one(declaration: One) -> Callable[..., Any]:
    def resolve(root: Any, info: Any) -> Any:
        key = getattr(root, declaration.via)
        return None if key is None else info.context.rows.one(declaration.projection, key)

    return resolve


def _connected(declaration: Many, via: str) -> Callable[..., Any]:
    def resolve(root: Any, info: Any, **arguments: Any) -> Any:
        return resolve_connection(info, declaration.projection, declaration.index, arguments, {via: root.key})

    return resolve


def _measure(declaration: Measured, field: FieldModel) -> Callable[..., Any]:
    def resolve(root: Any, info: Any) -> Any:
        asked = info.context.rows.measure(declaration.projection, declaration.measure, root.key)
        return shown_number(asked, field.type, declaration.measure, field.graphql_name)

    return resolve


def _timeline(declaration: Timed) -> Callable[..., Any]:
    def resolve(root: Any, info: Any, **arguments: Any) -> Any:
        return resolve_timeline(info, declaration.timeline, root.key, arguments)

    return resolve


def _list(declaration: Many, via: str, name: str) -> Callable[..., Any]:
    window = Window(limit=declaration.limit, after=None, before=None, backward=False)

    async def rows(page: Any) -> list[Any]:
        found: RowPage = await page
        if found.has_next:
            raise TooManyRowsError(f"{name} has more than {declaration.limit} rows")
        return [row for _, row in found.rows]

    def resolve(root: Any, info: Any) -> Any:
        return rows(info.context.rows.page(declaration.projection, declaration.index.name, {via: root.key}, window))

    return resolve
