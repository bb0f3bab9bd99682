"""The arguments of a selected field as functions of the operation's variables (CoerceArgumentValues of the specification).

Invariants: pure; constants are coerced when a plan is compiled; an argument that was left out is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final, TypeAlias

from graphql import (
    FieldNode,
    GraphQLArgument,
    GraphQLInputType,
    NullValueNode,
    Undefined,
    ValueNode,
    VariableNode,
    is_non_null_type,
    value_from_ast,
)
from graphql.language import Visitor, visit

from gateway.engine.errors import NotCompiledError, PlanBrokenError

Variables: TypeAlias = Mapping[str, Any]
"""Coerced variables; one that was left out and has no default is not in it."""
Values: TypeAlias = Mapping[str, Any]
"""Coerced arguments by name in the graph; enums as the values that are stored."""

_LEFT_OUT: Final = object()


class Arguments:
    """How the arguments of one field are had."""

    def __init__(self, node: FieldNode, definitions: Mapping[str, GraphQLArgument]) -> None:
        given = {argument.name.value: argument.value for argument in node.arguments or ()}
        self._constant: dict[str, Any] = {}
        self._asked: dict[str, Callable[[Variables], Any]] = {}
        for name, definition in definitions.items():
            read = _reader(given.get(name), definition)
            if callable(read):
                self._asked[name] = read
            elif read is not _LEFT_OUT:
                self._constant[name] = stored_form(read)

    def read(self, variables: Variables) -> Values:
        """The arguments of one run. Raises PlanBrokenError for a null where none may be."""
        if not self._asked:
            return self._constant
        found = dict(self._constant)
        for name, read in self._asked.items():
            value = read(variables)
            if value is not _LEFT_OUT:
                found[name] = stored_form(value)
        return found


def stored_form(value: Any) -> Any:
    """A coerced value with enums as the values that are stored."""
    if isinstance(value, Enum):
        return value.value
    return [stored_form(item) for item in value] if isinstance(value, list) else value


def _reader(node: ValueNode | None, definition: GraphQLArgument) -> Any:
    """A function of the variables, or a constant, or _LEFT_OUT."""
    kind = definition.type
    default = _LEFT_OUT if definition.default_value is Undefined else definition.default_value
    if node is None:
        return default
    if isinstance(node, VariableNode):
        return _variable(node.name.value, kind, default)
    if _has_variables(node):
        return _with_variables(node, kind)
    value = value_from_ast(node, kind)
    if value is Undefined or (isinstance(node, NullValueNode) and is_non_null_type(kind)):
        raise NotCompiledError("an argument that does not fit")
    return value


def _variable(name: str, kind: GraphQLInputType, default: Any) -> Callable[[Variables], Any]:
    may_be_null = not is_non_null_type(kind)

    def read(variables: Variables) -> Any:
        value = variables.get(name, default)
        if value is None and not may_be_null:
            raise PlanBrokenError(f"${name} is null where it may not be")
        if value is _LEFT_OUT and not may_be_null:
            raise PlanBrokenError(f"${name} is missing where it may not be")
        return value

    return read


def _with_variables(node: ValueNode, kind: GraphQLInputType) -> Callable[[Variables], Any]:
    def read(variables: Variables) -> Any:
        value = value_from_ast(node, kind, dict(variables))
        if value is Undefined:
            raise PlanBrokenError("a list or object with a variable that does not fit")
        return value

    return read


def _has_variables(node: ValueNode) -> bool:
    found = _VariableFinder()
    visit(node, found)
    return found.found


class _VariableFinder(Visitor):
    """Whether there is a variable in a value."""

    def __init__(self) -> None:
        super().__init__()
        self.found = False

    def enter_variable(self, *_: Any) -> None:
        self.found = True
