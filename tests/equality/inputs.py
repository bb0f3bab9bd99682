"""Variables and arguments as the oracle reads them: coerced by the specification, for the inputs that queries of the shop take.

Invariants: uses the types of the published schema and the syntax tree, and no code of the product or of graphql-core's executor.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from graphql import (
    BooleanValueNode,
    EnumValueNode,
    GraphQLEnumType,
    GraphQLField,
    GraphQLList,
    GraphQLNonNull,
    GraphQLSchema,
    IntValueNode,
    ListTypeNode,
    ListValueNode,
    NamedTypeNode,
    NonNullTypeNode,
    NullValueNode,
    OperationDefinitionNode,
    StringValueNode,
    TypeNode,
    ValueNode,
    VariableNode,
)
from graphql.pyutils import Undefined

from tests.equality.shop import FieldError

LEFT_OUT: Final = object()


class RefusedError(Exception):
    """The request's variables do not fit: nothing is executed."""


def variables(schema: GraphQLSchema, operation: OperationDefinitionNode, given: Mapping[str, Any]) -> dict[str, Any]:
    """Coerced, with defaults. Raises RefusedError."""
    found: dict[str, Any] = {}
    for definition in operation.variable_definitions or ():
        name = definition.variable.name.value
        kind = _type(schema, definition.type)
        if name in given:
            found[name] = _coerced(given[name], kind)
        elif definition.default_value is not None:
            found[name] = literal(definition.default_value, kind, {})
        elif isinstance(kind, GraphQLNonNull):
            raise RefusedError(f"${name} is missing")
    return found


def arguments(field: GraphQLField, given: Mapping[str, ValueNode], known: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a field; one that was left out is not there. Raises FieldError for a null where none may be."""
    found: dict[str, Any] = {}
    for name, argument in field.args.items():
        value = literal(given[name], argument.type, known) if name in given else LEFT_OUT
        if value is LEFT_OUT and argument.default_value is not Undefined:
            value = argument.default_value
        if isinstance(argument.type, GraphQLNonNull) and (value is LEFT_OUT or value is None):
            raise FieldError("BAD_USER_INPUT")
        if value is not LEFT_OUT:
            found[name] = value
    return found


def literal(node: ValueNode, kind: Any, known: Mapping[str, Any]) -> Any:
    """The value of a literal that is known to fit, with variables in it; LEFT_OUT for a variable without a value."""
    if isinstance(node, VariableNode):
        return known.get(node.name.value, LEFT_OUT)
    if isinstance(node, NullValueNode):
        return None
    bare = kind.of_type if isinstance(kind, GraphQLNonNull) else kind
    if isinstance(bare, GraphQLList):
        nodes = node.values if isinstance(node, ListValueNode) else [node]
        items = [literal(item, bare.of_type, known) for item in nodes]
        if any(item is LEFT_OUT or item is None for item in items) and isinstance(bare.of_type, GraphQLNonNull):
            raise FieldError("BAD_USER_INPUT")
        return [None if item is LEFT_OUT else item for item in items]
    if isinstance(node, IntValueNode):
        return node.value if str(bare) == "ID" else int(node.value)
    assert isinstance(node, StringValueNode | EnumValueNode | BooleanValueNode)
    return node.value


def _type(schema: GraphQLSchema, node: TypeNode) -> Any:
    if isinstance(node, NonNullTypeNode):
        return GraphQLNonNull(_type(schema, node.type))
    if isinstance(node, ListTypeNode):
        return GraphQLList(_type(schema, node.type))
    assert isinstance(node, NamedTypeNode)
    return schema.type_map[node.name.value]


def _coerced(value: Any, kind: Any) -> Any:
    if isinstance(kind, GraphQLNonNull):
        if value is None:
            raise RefusedError("null where none may be")
        return _coerced(value, kind.of_type)
    if value is None:
        return None
    if isinstance(kind, GraphQLList):
        return [_coerced(item, kind.of_type) for item in (value if isinstance(value, list) else [value])]
    if isinstance(kind, GraphQLEnumType):
        if not isinstance(value, str) or value not in kind.values:
            raise RefusedError("no value of the enum")
        return value
    return _scalar(value, kind.name)


def _scalar(value: Any, name: str) -> Any:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    match name:
        case "Int" if is_whole and -(2**31) <= value < 2**31:
            return value
        case "ID" if is_whole:
            return str(value)
        case "ID" | "String" if isinstance(value, str):
            return value
        case "Boolean" if isinstance(value, bool):
            return value
        case "Date" if isinstance(value, str) and len(value) == 10:
            try:
                return date.fromisoformat(value).isoformat()
            except ValueError:
                raise RefusedError("no date") from None
    raise RefusedError(f"no {name}")
