"""Whether values that are written in a document are of the types that are asked for.

Invariants: pure; what fits is what graphql-core takes for certain; of what does not fit it may take some.
"""

from __future__ import annotations

from typing import Any, Final

from graphql import (
    BooleanValueNode,
    EnumValueNode,
    FloatValueNode,
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    IntValueNode,
    ListValueNode,
    NullValueNode,
    ObjectValueNode,
    StringValueNode,
    ValueNode,
    VariableNode,
)
from graphql.type import is_required_input_field
from graphql.utilities import validate_input_literal

_PLAIN: Final = (StringValueNode, IntValueNode, FloatValueNode, BooleanValueNode, EnumValueNode)


def fits(node: ValueNode, kind: Any, uses: list[tuple[str, Any]]) -> bool:
    """Whether a value is of an input type. The variables in it are put into `uses`, each with the type that it has to be of."""
    if isinstance(node, VariableNode):
        uses.append((node.name.value, kind))
        return True
    if isinstance(kind, GraphQLNonNull):
        if isinstance(node, NullValueNode):
            return False
        kind = kind.of_type
    if isinstance(node, NullValueNode):
        return True
    if isinstance(kind, GraphQLList):
        items = node.values if isinstance(node, ListValueNode) else [node]
        return all(fits(item, kind.of_type, uses) for item in items)
    if isinstance(kind, GraphQLInputObjectType):
        return isinstance(node, ObjectValueNode) and _is_object(node, kind, uses)
    if isinstance(kind, GraphQLEnumType):
        return isinstance(node, EnumValueNode) and node.value in kind.values
    return isinstance(node, _PLAIN) and _is_leaf(node, kind)


def _is_object(node: ObjectValueNode, kind: GraphQLInputObjectType, uses: list[tuple[str, Any]]) -> bool:
    given: set[str] = set()
    for item in node.fields:
        name = item.name.value
        field = kind.fields.get(name)
        if field is None or name in given or not fits(item.value, field.type, uses):
            return False
        given.add(name)
    required = (name for name, field in kind.fields.items() if is_required_input_field(field))
    return not kind.is_one_of and given.issuperset(required)


def _is_leaf(node: ValueNode, kind: Any) -> bool:
    """Whether the type of a scalar takes a literal."""
    problems: list[Any] = []
    validate_input_literal(node, kind, lambda error, _: problems.append(error))
    return not problems
