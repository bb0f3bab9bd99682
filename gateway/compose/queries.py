"""Root fields of Query: `get`, `find`, and the gateway's own `node` and `nodes`.

Invariants: ids are checked before anything is read; an unknown id is null, a malformed one an error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import strawberry

from gateway.compose.connections import connection_arguments, resolve_connection
from gateway.compose.signature import Argument, resolver
from gateway.compose.types import TypeBuilder
from schema.declare import Find, Get
from schema.errors import BadInputError
from schema.ids import key_of, parse_id
from schema.model import Graph, RootModel
from schema.receipt import Node

MAX_NODES: Final = 100


def query_fields(graph: Graph, types: TypeBuilder) -> dict[str, Any]:
    """The namespace of the Query class."""
    fields: dict[str, Any] = {"node": _node(graph), "nodes": _nodes(graph)}
    for name, root in graph.queries.items():
        declaration = root.declaration
        options: dict[str, Any] = {"description": declaration.metadata.description}
        if isinstance(declaration, Get):
            returns: Any = types.shell(root.target) | None
            arguments = {"id": Argument(strawberry.ID, required=True, description="Global id, or the owner's key.")}
            function = _get(declaration, root.target, frozenset(graph.entities))
        else:
            returns = types.connection(root.target)
            index = declaration.index
            arguments = types.filters(declaration, index.fields, index.required) | connection_arguments()
            function = _find(declaration, root)
        fields[name] = strawberry.field(resolver=resolver(function, returns, arguments), **options)
    return fields


def _get(declaration: Get, target: str, entities: frozenset[str]) -> Callable[..., Any]:
    def resolve(root: Any, info: Any, id: str) -> Any:
        return info.context.rows.one(declaration.projection, key_of(id, target, entities))

    return resolve


def _find(declaration: Find, root_model: RootModel) -> Callable[..., Any]:
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
        if len(ids) > MAX_NODES:
            raise BadInputError(f"at most {MAX_NODES} ids")
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
