"""Which fields an operation selects of an object, fragments and directives followed (CollectFields of the specification).

Invariants: pure; fields come in the order of the answer; a field that is selected several times comes once, with all its nodes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from graphql import (
    BooleanValueNode,
    DirectiveNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
)
from graphql.type import is_abstract_type

Fragments: TypeAlias = Mapping[str, FragmentDefinitionNode]
Flags: TypeAlias = Mapping[str, bool]
"""What the variables in @skip and @include are; where one is missing, everything is included."""

_CONDITIONS: Final = ("skip", "include")


class Selector:
    """Collects fields for one choice of flags."""

    def __init__(self, schema: GraphQLSchema, fragments: Fragments, flags: Flags) -> None:
        self._schema = schema
        self._fragments = fragments
        self._flags = flags

    def fields(self, type_name: str, selections: Sequence[SelectionSetNode]) -> dict[str, list[FieldNode]]:
        """Nodes by response name, for an object of that type, of several selection sets that are merged."""
        found: dict[str, list[FieldNode]] = {}
        visited: set[str] = set()
        for selection_set in selections:
            self._collect(type_name, selection_set, found, visited)
        return found

    def below(self, type_name: str, nodes: Sequence[FieldNode]) -> dict[str, list[FieldNode]]:
        """What is selected of an object of that type below a field."""
        return self.fields(type_name, [node.selection_set for node in nodes if node.selection_set is not None])

    def _collect(
        self, type_name: str, selection_set: SelectionSetNode, found: dict[str, list[FieldNode]], visited: set[str]
    ) -> None:
        for node in selection_set.selections:
            if not self._is_included(node):
                continue
            if isinstance(node, FieldNode):
                found.setdefault(node.alias.value if node.alias else node.name.value, []).append(node)
            elif isinstance(node, InlineFragmentNode):
                if node.type_condition is None or self._applies(node.type_condition.name.value, type_name):
                    self._collect(type_name, node.selection_set, found, visited)
            elif isinstance(node, FragmentSpreadNode) and node.name.value not in visited:
                visited.add(node.name.value)
                fragment = self._fragments[node.name.value]
                if self._applies(fragment.type_condition.name.value, type_name):
                    self._collect(type_name, fragment.selection_set, found, visited)

    def _applies(self, condition: str, type_name: str) -> bool:
        if condition == type_name:
            return True
        kind, own = self._schema.type_map[condition], self._schema.type_map[type_name]
        return is_abstract_type(kind) and isinstance(own, GraphQLObjectType) and self._schema.is_sub_type(kind, own)

    def _is_included(self, node: SelectionNode) -> bool:
        return all(self._holds(directive) for directive in node.directives or ())

    def _holds(self, directive: DirectiveNode) -> bool:
        name = directive.name.value
        if name not in _CONDITIONS:
            return True
        value = _condition(directive)
        if isinstance(value, VariableNode):
            flag = self._flags.get(value.name.value, name == "include")
        else:
            flag = isinstance(value, BooleanValueNode) and value.value
        return flag is (name == "include")


def _condition(directive: DirectiveNode) -> ValueNode | None:
    """What the one argument of @skip or @include is."""
    return directive.arguments[0].value if directive.arguments else None


def flag_names(operation: OperationDefinitionNode, fragments: Fragments) -> tuple[str, ...]:
    """The variables that @skip and @include go by, in what the operation reaches. Each fragment is looked at once."""
    names: set[str] = set()
    for node in _reached(operation, fragments):
        for directive in node.directives or ():
            if directive.name.value in _CONDITIONS:
                value = _condition(directive)
                if isinstance(value, VariableNode):
                    names.add(value.name.value)
    return tuple(sorted(names))


def _reached(operation: OperationDefinitionNode, fragments: Fragments) -> Iterator[SelectionNode]:
    visited: set[str] = set()
    waiting: list[Iterable[SelectionNode]] = [operation.selection_set.selections]
    while waiting:
        for node in waiting.pop():
            yield node
            if isinstance(node, FragmentSpreadNode):
                if node.name.value not in visited:
                    visited.add(node.name.value)
                    waiting.append(fragments[node.name.value].selection_set.selections)
            elif isinstance(node, FieldNode | InlineFragmentNode) and node.selection_set is not None:
                waiting.append(node.selection_set.selections)
