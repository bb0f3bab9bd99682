"""What introspection costs: fields of the schema's own tables, whose sizes are known.

Invariants: pure; the unit is one field of the answer, by estimate; what is allowed is a multiple of the query that every client
sends, so it grows with the schema by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    get_introspection_query,
    parse,
)
from graphql.type import is_abstract_type, is_input_object_type, is_interface_type, is_object_type

from gateway.engine.limits import INTROSPECTION_ROOTS

ALLOWED: Final = 2.0
"""Times the standard query, which takes the shop's schema 30 ms: an answer is made at a stretch."""
_WRAPPED: Final = 0.5
"""How often a type at a place where there may be one has `ofType`: most fields are `X!`, few are `[X!]!`."""
_RETURNS: Final[Mapping[str, str]] = {
    "__schema": "__Schema", "__type": "__Type", "types": "__Type", "queryType": "__Type", "mutationType": "__Type",
    "subscriptionType": "__Type", "directives": "__Directive", "fields": "__Field", "inputFields": "__InputValue",
    "enumValues": "__EnumValue", "interfaces": "__Type", "possibleTypes": "__Type", "args": "__InputValue",
    "type": "__Type", "ofType": "__Type",
}  # fmt: skip


class IntrospectionCost:
    """Of one schema. `limit` is what a document may cost."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._largest, self._mean = _sizes(schema)
        document = parse(get_introspection_query(True, True, True, True, True))
        fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
        [operation] = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
        self.limit = ALLOWED * self.of(operation.selection_set, fragments)

    def of(self, selection_set: SelectionSetNode, fragments: Mapping[str, FragmentDefinitionNode]) -> float:
        """What the root fields `__schema` and `__type` of a valid selection cost."""
        return _Reader(self._largest, self._mean, fragments).roots(selection_set)


def is_alone(selection_set: SelectionSetNode, fragments: Mapping[str, FragmentDefinitionNode]) -> bool:
    """Whether all fields of a valid operation's selection are introspection's: the answer is the schema's alone."""
    for node in selection_set.selections:
        if isinstance(node, FieldNode):
            if node.name.value not in INTROSPECTION_ROOTS:
                return False
        elif isinstance(node, InlineFragmentNode | FragmentSpreadNode):
            below = node if isinstance(node, InlineFragmentNode) else fragments[node.name.value]
            if not is_alone(below.selection_set, fragments):
                return False
    return True


class _Reader:
    """Reads one document; a fragment once per kind of place."""

    def __init__(
        self, largest: Mapping[str, float], mean: Mapping[str, float], fragments: Mapping[str, FragmentDefinitionNode]
    ) -> None:
        self._largest = largest
        self._mean = mean
        self._fragments = fragments
        self._read: dict[tuple[str, bool | None], float] = {}

    def roots(self, selection_set: SelectionSetNode) -> float:
        """Costs of what is below `__schema` and `__type`, other fields left out."""
        return self._set(selection_set, None)

    def _set(self, selection_set: SelectionSetNode, of_all: bool | None) -> float:
        """`of_all`: below a list of everything there is, so that means are exact; None: outside of introspection."""
        total = 0.0
        for node in selection_set.selections:
            if isinstance(node, FieldNode):
                if of_all is not None or node.name.value in INTROSPECTION_ROOTS:
                    total += self._field(node, of_all)
            elif isinstance(node, InlineFragmentNode):
                total += self._set(node.selection_set, of_all)
            elif isinstance(node, FragmentSpreadNode):
                key = node.name.value, of_all
                if key not in self._read:
                    self._read[key] = self._set(self._fragments[node.name.value].selection_set, of_all)
                total += self._read[key]
        return total

    def _field(self, node: FieldNode, of_all: bool | None) -> float:
        name = node.name.value
        if node.selection_set is None or name not in _RETURNS:
            return 1.0
        size = (self._mean if of_all else self._largest).get(name, 1.0)
        is_of_all = name in ("types", "directives") or (bool(of_all) and name in ("fields", "inputFields", "args"))
        return size * (1.0 + self._set(node.selection_set, is_of_all))


def _sizes(schema: GraphQLSchema) -> tuple[dict[str, float], dict[str, float]]:
    """The largest and the mean size of each list, by its field."""
    kinds: list[Any] = list(schema.type_map.values())
    composite = [kind for kind in kinds if is_object_type(kind) or is_interface_type(kind)]
    fields = [field for kind in composite for field in kind.fields.values()]
    counts: dict[str, list[int]] = {
        "fields": [len(kind.fields) if kind in composite else 0 for kind in kinds],
        "inputFields": [len(kind.fields) if is_input_object_type(kind) else 0 for kind in kinds],
        "enumValues": [len(getattr(kind, "values", ())) for kind in kinds],
        "interfaces": [len(getattr(kind, "interfaces", ())) for kind in kinds],
        "possibleTypes": [len(schema.get_possible_types(kind)) if is_abstract_type(kind) else 0 for kind in kinds],
        "args": [len(owner.args) for owner in (*fields, *schema.directives)],
    }
    largest = {name: float(max(found, default=0)) for name, found in counts.items()}
    mean = {name: sum(found) / max(1, len(found)) for name, found in counts.items()}
    for sizes in (largest, mean):
        sizes |= {"types": float(len(kinds)), "directives": float(len(schema.directives)), "ofType": _WRAPPED}
    return largest, mean
