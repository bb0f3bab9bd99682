"""Whether fields that are answered under one name can be (FieldsInSetCanMerge of the specification), in few steps.

Invariants: what is compared are groups, not pairs: fields of one response name are each held against the first, since to be the
same is transitive; a document that takes more steps than its budget is refused. It is asked of documents that are valid
otherwise.

graphql-core compares in pairs: a document of 2,000 tokens takes it 0.2 s.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLCompositeType,
    GraphQLError,
    GraphQLOutputType,
    GraphQLSchema,
    InlineFragmentNode,
    ListValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    StringValueNode,
    ValueNode,
    VariableNode,
    get_named_type,
)
from graphql.type import is_composite_type, is_list_type, is_non_null_type, is_object_type

from gateway.errors import TooComplexError

Selected: TypeAlias = tuple[GraphQLCompositeType, SelectionSetNode]


class _Place(NamedTuple):
    """A field of a selection, the type that it is selected of, and its own type."""

    parent: GraphQLCompositeType
    node: FieldNode
    type: GraphQLOutputType


_MEND: Final = "Use different aliases on the fields to fetch both if this was intentional."


class MergeCheck:
    """Looks for conflicts in one document. `steps` are counted against `budget`."""

    def __init__(self, schema: GraphQLSchema, fragments: Mapping[str, FragmentDefinitionNode], budget: int) -> None:
        self._schema = schema
        self._fragments = fragments
        self._budget = budget
        self._keys: dict[int, Any] = {}
        self.steps = 0

    def conflict(self, operation: OperationDefinitionNode) -> GraphQLError | None:
        """The first conflict, if there is one. Raises TooComplexError."""
        root = self._schema.get_root_type(operation.operation)
        return None if root is None else self._full(self._groups([(root, operation.selection_set)]))

    def _full(self, groups: Iterable[Sequence[_Place]]) -> GraphQLError | None:
        """Of fields that may meet in one object: the same field with the same arguments, of one shape, and so below."""
        for group in groups:
            if len(group) > 1 and (found := self._misshaped(group)):
                return found
            classes = _classes(group) if len(group) > 1 else [group]
            for same in classes:
                if found := self._different(same) or self._full(self._groups(self._below(same))):
                    return found
            if len(classes) > 1 and (found := self._shapes(self._groups(self._below(group)))):
                return found
        return None

    def _shapes(self, groups: Iterable[Sequence[_Place]]) -> GraphQLError | None:
        """Of fields of objects of different types: the answer has one shape all the same."""
        for group in groups:
            if len(group) > 1:  # what is alone has been looked at with its own class
                found = self._misshaped(group) or self._shapes(self._groups(self._below(group)))
                if found:
                    return found
        return None

    def _groups(self, selected: Sequence[Selected]) -> Iterable[Sequence[_Place]]:
        if not selected:
            return ()
        found: dict[str, list[_Place]] = {}
        visited: set[str] = set()
        waiting = list(selected)[::-1]
        while waiting:
            parent, selection_set = waiting.pop()
            self._spend(1 + len(selection_set.selections))
            for node in selection_set.selections:
                if isinstance(node, FieldNode):
                    definition = self._schema.get_field(parent, node.name.value)
                    if definition is not None:
                        response = node.alias.value if node.alias else node.name.value
                        found.setdefault(response, []).append(_Place(parent, node, definition.type))
                elif isinstance(node, InlineFragmentNode):
                    condition = node.type_condition
                    waiting.append((self._type(condition.name.value) if condition else parent, node.selection_set))
                elif isinstance(node, FragmentSpreadNode) and node.name.value not in visited:
                    visited.add(node.name.value)
                    fragment = self._fragments[node.name.value]
                    waiting.append((self._type(fragment.type_condition.name.value), fragment.selection_set))
        return found.values()

    def _below(self, group: Sequence[_Place]) -> list[Selected]:
        found: list[Selected] = []
        for place in group:
            kind = get_named_type(place.type)
            if place.node.selection_set is not None and is_composite_type(kind):
                found.append((kind, place.node.selection_set))
        return found

    def _misshaped(self, group: Sequence[_Place]) -> GraphQLError | None:
        first, *others = group
        shape = _shape(first.type)
        self._spend(len(group))
        for other in others:
            if other.type is not first.type and _shape(other.type) != shape:
                reason = f"they return conflicting types '{first.type}' and '{other.type}'"
                return _conflict(first.node, other.node, reason)
        return None

    def _different(self, group: Sequence[_Place]) -> GraphQLError | None:
        if len(group) == 1:
            return None
        first, *others = group
        name, arguments = first.node.name.value, self._arguments(first.node)
        self._spend(len(group))
        for other in others:
            if other.node.name.value != name:
                reason = f"'{name}' and '{other.node.name.value}' are different fields"
                return _conflict(first.node, other.node, reason)
            if self._arguments(other.node) != arguments:
                return _conflict(first.node, other.node, "they have differing arguments")
        return None

    def _arguments(self, node: FieldNode) -> Any:
        """The arguments of a field, comparable; read once per node."""
        if not node.arguments:
            return None
        found = self._keys.get(id(node))
        if found is None:
            found = self._keys[id(node)] = {argument.name.value: _key(argument.value) for argument in node.arguments}
        return found

    def _type(self, name: str) -> Any:
        return self._schema.type_map[name]

    def _spend(self, steps: int) -> None:
        self.steps += steps
        if self.steps > self._budget:
            raise TooComplexError("the operation has too many fields that are merged")


def _classes(group: Sequence[_Place]) -> Sequence[Sequence[_Place]]:
    """Those that may be selected of one object. Different object types do not meet; each meets every abstract one."""
    objects: dict[str, list[_Place]] = {}
    abstract: list[_Place] = []
    for place in group:
        if is_object_type(place.parent):
            objects.setdefault(place.parent.name, []).append(place)
        else:
            abstract.append(place)
    return [group] if len(objects) < 2 else [[*abstract, *own] for own in objects.values()]


def _shape(kind: Any) -> tuple[str, ...]:
    """Wrappers, and the name of a leaf: objects are compared field by field."""
    found: list[str] = []
    while is_list_type(kind) or is_non_null_type(kind):
        found.append("[" if is_list_type(kind) else "!")
        kind = kind.of_type
    return (*found, "" if is_composite_type(kind) else kind.name)


def _key(node: ValueNode) -> Any:
    """A value as written, comparable; the order of an object's fields means nothing."""
    if isinstance(node, VariableNode):
        return node.kind, node.name.value
    if isinstance(node, ListValueNode):
        return node.kind, [_key(item) for item in node.values]
    if isinstance(node, ObjectValueNode):
        return node.kind, {field.name.value: _key(field.value) for field in node.fields}
    block = isinstance(node, StringValueNode) and bool(node.block)
    return node.kind, getattr(node, "value", None), block


def _conflict(first: FieldNode, other: FieldNode, reason: str) -> GraphQLError:
    response = first.alias.value if first.alias else first.name.value
    return GraphQLError(f"Fields '{response}' conflict because {reason}. {_MEND}", [first, other])
