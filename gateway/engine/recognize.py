"""Documents that are certainly valid, known by one walk over them.

Invariants: pure; what is recognized is valid by every rule of graphql-core's but that of fields that are merged; whatever is not
recognized may be valid all the same: graphql-core says, and finds the errors' words. So a rule that is read too narrowly here
costs time, and never an answer.

graphql-core asks each of its thirty rules at each node: an order page takes it 1.8 ms, and this walk 0.1 ms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from graphql import (
    ArgumentNode,
    DirectiveLocation,
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLNonNull,
    GraphQLSchema,
    InlineFragmentNode,
    NullValueNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    VariableDefinitionNode,
    get_named_type,
    type_from_ast,
)
from graphql.type import (
    GraphQLBoolean,
    GraphQLIncludeDirective,
    GraphQLSkipDirective,
    is_composite_type,
    is_input_type,
    is_required_argument,
)
from graphql.utilities import do_types_overlap, is_type_sub_type_of

from gateway.engine.fitting import fits
from gateway.engine.spreads import Definition, is_circular, reached_from

MAX_LEVELS: Final = 200
"""Levels of selections in all definitions together. graphql-core gives up where spreads come to more of them than that."""
_CONDITIONS: Final = (GraphQLSkipDirective, GraphQLIncludeDirective)
_PLACES: Final = {DirectiveLocation.FIELD, DirectiveLocation.FRAGMENT_SPREAD, DirectiveLocation.INLINE_FRAGMENT}
_CONDITION: Final = GraphQLNonNull(GraphQLBoolean)


class _Field(NamedTuple):
    """What is known of a field: the types of its arguments, which of them must be given, and the composite type it leads to."""

    arguments: Mapping[str, Any]
    required: Sequence[str]
    leads_to: str | None


_Fields: TypeAlias = Mapping[str, _Field]
_TYPENAME: Final = _Field({}, (), None)


class Recognizer:
    """Recognizes valid documents of one schema. Safe to share; keeps nothing of a document."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self._fields: dict[str, _Fields] = {
            name: {
                "__typename": _TYPENAME,
                **{field: _known(found) for field, found in getattr(kind, "fields", {}).items()},
            }
            for name, kind in schema.type_map.items()
            if is_composite_type(kind)
        }
        self._conditions = frozenset(
            directive.name
            for directive in schema.directives
            for specified in _CONDITIONS
            if directive.name == specified.name
            and directive.args.keys() == {"if"}
            and directive.args["if"].type == specified.args["if"].type
            and set(directive.locations) >= _PLACES
            and not directive.is_repeatable
        )

    def recognize(self, document: DocumentNode) -> Recognized | None:
        """What was seen of a document that is valid, None of one that may not be."""
        definitions = document.definitions
        fragments = {node.name.value: node for node in definitions if isinstance(node, FragmentDefinitionNode)}
        operations = [node for node in definitions if isinstance(node, OperationDefinitionNode)]
        if len(fragments) + len(operations) < len(definitions):
            return None  # a definition of another kind, or two fragments of one name
        names = {node.name.value for node in operations if node.name}
        if len(names) < len(operations) and len(operations) > 1:
            return None  # an operation without a name, or two of one
        walk = _Walk(self._schema, self._fields, self._conditions, fragments)
        return Recognized(walk.merges) if walk.is_sound(operations) else None


class Recognized(NamedTuple):
    """A valid document. `merges`: whether fields of it may be answered under one name, which then is to be looked at."""

    merges: bool


class _Walk:
    """The walk over one document."""

    def __init__(
        self,
        schema: GraphQLSchema,
        fields: Mapping[str, _Fields],
        conditions: frozenset[str],
        fragments: Mapping[str, FragmentDefinitionNode],
    ) -> None:
        self._schema = schema
        self._fields = fields
        self._conditions = conditions
        self._fragments = fragments
        self._at = Definition()
        self.merges = bool(fragments)

    def is_sound(self, operations: Sequence[OperationDefinitionNode]) -> bool:
        """Whether everything in the document is as it must be. Called once."""
        parts: dict[str, Definition] = {}
        for name, fragment in self._fragments.items():
            parts[name] = self._at = Definition()
            if fragment.variable_definitions or fragment.directives:
                return False
            if not self._set(fragment.type_condition.name.value, fragment.selection_set, 1):
                return False
        unused, levels = set(parts), sum(part.levels for part in parts.values())
        if is_circular(parts):
            return False
        for operation in operations:
            self._at = Definition()
            if not self._operation(operation):
                return False
            if self._at.levels + levels > MAX_LEVELS:
                return False
            reached = reached_from(self._at, parts)
            unused -= reached.keys()
            if not self._has_its_variables(operation, [self._at, *reached.values()]):
                return False
        return not unused

    # -- what is selected

    def _operation(self, node: OperationDefinitionNode) -> bool:
        root = self._schema.get_root_type(node.operation)
        if root is None or node.operation is OperationType.SUBSCRIPTION or node.directives:
            return False
        return self._set(root.name, node.selection_set, 1)

    def _set(self, type_name: str, selection_set: SelectionSetNode, level: int) -> bool:
        """Of a selection of that type, at that level of its definition."""
        fields, selections = self._fields.get(type_name), selection_set.selections
        if fields is None or not selections:
            return False
        if level > self._at.levels:
            self._at.levels = level
            if level > MAX_LEVELS:
                return False
        answered: set[str] = set()
        for node in selections:
            if node.directives and not self._are_conditions(node.directives):
                return False
            if isinstance(node, FieldNode):
                name = node.name.value
                answered.add(node.alias.value if node.alias else name)
                field = fields.get(name)
                if field is None or not self._is_field(field, node, level):
                    return False
            elif not self._is_fragment(node, type_name, level):
                return False
        if len(answered) < len(selections):
            self.merges = True
        return True

    def _is_field(self, field: _Field, node: FieldNode, level: int) -> bool:
        if node.arguments:
            if not self._are_arguments(field, node.arguments):
                return False
        elif field.required:
            return False
        below = node.selection_set
        if field.leads_to is None or below is None:
            return field.leads_to is None and below is None
        return self._set(field.leads_to, below, level + 1)

    def _is_fragment(self, node: Any, type_name: str, level: int) -> bool:
        """An inline fragment or a spread, at a place of that type."""
        self.merges = True
        if isinstance(node, InlineFragmentNode):
            condition = node.type_condition.name.value if node.type_condition else type_name
            return self._may_be(condition, type_name) and self._set(condition, node.selection_set, level + 1)
        if not isinstance(node, FragmentSpreadNode) or node.arguments:
            return False
        fragment = self._fragments.get(node.name.value)
        if fragment is None:
            return False
        self._at.spreads[node.name.value] = None
        return self._may_be(fragment.type_condition.name.value, type_name)

    def _may_be(self, condition: str, type_name: str) -> bool:
        """Whether an object of one type may be one of another."""
        if condition == type_name:
            return True
        first: Any = self._schema.type_map.get(condition)
        second: Any = self._schema.type_map.get(type_name)
        return is_composite_type(first) and is_composite_type(second) and do_types_overlap(self._schema, first, second)

    # -- arguments and values

    def _are_arguments(self, field: _Field, nodes: Sequence[ArgumentNode]) -> bool:
        given: set[str] = set()
        for node in nodes:
            name = node.name.value
            kind = field.arguments.get(name)
            if kind is None or name in given or not fits(node.value, kind, self._at.uses):
                return False
            given.add(name)
        return given.issuperset(field.required)

    def _are_conditions(self, nodes: Sequence[DirectiveNode]) -> bool:
        """@skip and @include, each once."""
        found: set[str] = set()
        for node in nodes:
            name, arguments = node.name.value, node.arguments
            if name not in self._conditions or name in found or not arguments or len(arguments) > 1:
                return False
            if arguments[0].name.value != "if" or not fits(arguments[0].value, _CONDITION, self._at.uses):
                return False
            found.add(name)
        return True

    # -- variables

    def _has_its_variables(self, operation: OperationDefinitionNode, parts: Sequence[Definition]) -> bool:
        """Whether the operation declares what is used in it and in its fragments, and nothing else."""
        declared: dict[str, Any] = {}
        for node in operation.variable_definitions or ():
            kind, name = self._declared(node), node.variable.name.value
            if kind is None or name in declared:
                return False
            declared[name] = kind
        used: set[str] = set()
        for part in parts:
            for name, wanted in part.uses:
                kind = declared.get(name)
                if kind is None or not (kind is wanted or is_type_sub_type_of(self._schema, kind, wanted)):
                    return False
                used.add(name)
        return len(used) == len(declared)

    def _declared(self, node: VariableDefinitionNode) -> Any:
        """What a variable is where it is used: its type, never null if it has a default; None when something may be wrong."""
        kind: Any = type_from_ast(self._schema, node.type)
        if kind is None or node.directives or not is_input_type(kind):
            return None
        default = node.default_value
        if default is not None and not fits(default, kind, self._at.uses):
            return None
        return kind if default is None or isinstance(default, NullValueNode) else _not_null(kind)


def _known(field: Any) -> _Field:
    named, arguments = get_named_type(field.type), field.args.items()
    return _Field(
        {name: argument.type for name, argument in arguments},
        [name for name, argument in arguments if is_required_argument(argument)],
        named.name if is_composite_type(named) else None,
    )


def _not_null(kind: Any) -> Any:
    return kind if isinstance(kind, GraphQLNonNull) else GraphQLNonNull(kind)
