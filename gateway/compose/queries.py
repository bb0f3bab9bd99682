"""Root fields of Query: `get`, `find`, `measure`, and the gateway's own `node` and `nodes`.

Invariants: ids are checked before anything is read; an unknown id is null, a malformed one an error.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

import strawberry

from gateway.compose.connections import connection_arguments, resolve_connection
from gateway.compose.numbers import shown_number
from gateway.compose.signature import Argument, resolver
from gateway.compose.types import TypeBuilder
from projections.shape import FieldType
from schema.declare import Find, Get, Metadata
from schema.errors import BadInputError
from schema.ids import check_count, key_of, parse_id
from schema.model import Graph, RootModel
from schema.model.graph import camel
from schema.per_key import Measured
from schema.receipt import Node


def query_fields(graph: Graph, types: TypeBuilder) -> dict[str, Any]:
    """The namespace of the Query class."""
    fields: dict[str, Any] = {"node": _node(graph), "nodes": _nodes(graph)}
    for name, root in graph.queries.items():
        declaration = root.declaration
        if isinstance(declaration, Get):
            returns: Any = types.shell(root.target) | None
            arguments = {"id": Argument(strawberry.ID, required=True, description="Global id, or the owner's key.")}
            function = _get(declaration, root.target, frozenset(graph.entities))
        elif isinstance(declaration, Find):
            returns = types.connection(root.target)
            index = declaration.index
            arguments = types.filters(declaration, index.fields, index.required) | connection_arguments()
            function = _find(declaration)
        else:
            returns, arguments, function = _measured(declaration, root, types)
        fields[name] = strawberry.field(
            resolver=resolver(function, returns, arguments), **_options(declaration.metadata)
        )
    return fields


def _options(metadata: Metadata) -> dict[str, Any]:
    return {"description": metadata.description, "deprecation_reason": metadata.deprecation}


def _measured(
    declaration: Measured, root_model: RootModel, types: TypeBuilder
) -> tuple[Any, dict[str, Argument], Callable[..., Any]]:
    """Type, the one argument, and resolver of a measure."""
    by, kind = root_model.by, root_model.type
    if by is None or by.name is None or by.type is None or kind is None:
        raise TypeError(f"{root_model.place} was read as a measure without an argument")
    name = by.name

    def resolve(root: Any, info: Any, **arguments: Any) -> Any:
        value = arguments[name]
        value = value.value if isinstance(value, Enum) else value
        asked = info.context.rows.measure(declaration.projection, declaration.measure, value)
        return shown_number(asked, kind, declaration.measure, camel(root_model.name))

    return types.annotation(kind), {name: Argument(types.annotation(FieldType(by.type.item)), required=True)}, resolve


def _get(declaration: Get, target: str, entities: frozenset[str]) -> Callable[..., Any]:
    def resolve(root: Any, info: Any, id: str) -> Any:
        return info.context.rows.one(declaration.projection, key_of(id, target, entities))

    return resolve


def _find(declaration: Find) -> Callable[..., Any]:
    def resolve(root: Any, info: Any, **arguments: Any) -> Any:
        return resolve_connection(info, declaration.projection, declaration.index, arguments, {})

    return resolve


def _by_id(graph: Graph) -> Callable[[Any, str], Any]:
    projections = {name: model.projection for name, model in graph.entities.items()}

    def read(info: Any, id: str) -> Any:
        type_name, key = parse_id(id, projections)
        return info.context.rows.one(projections[type_name], key)

    return read


def _node(graph: Graph) -> Any:
    read = _by_id(graph)
    return strawberry.field(
        resolver=resolver(
            lambda root, info, id: read(info, id), Node | None, {"id": Argument(strawberry.ID, required=True)}
        ),
        description="Anything by its global id; null when there is nothing.",
    )


def _nodes(graph: Graph) -> Any:
    read = _by_id(graph)

    def resolve(root: Any, info: Any, ids: list[str]) -> list[Any]:
        check_count(ids)
        return [_or_error(read, info, id) for id in ids]

    return strawberry.field(
        resolver=resolver(resolve, list[Node | None], {"ids": Argument(list[strawberry.ID], required=True)}),
        description="One entry per id, in order; null where there is nothing. At most 100.",
    )


def _or_error(read: Callable[[Any, str], Any], info: Any, id: str) -> Any:
    """An exception as a value is the error of its own entry, and leaves the other entries alone."""
    try:
        return read(info, id)
    except BadInputError as error:
        return error
