"""What an operation costs before it is run: every field by its declared cost, times how often it comes.

Invariants: pure; a cost is a sum of products, whose factors are sizes of lists that the variables say; where they say nothing
it is one number. A field counts whether or not @skip leaves it out, and as often as it is selected.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final, TypeAlias

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    get_named_type,
)
from graphql.type import is_composite_type, is_interface_type, is_list_type, is_non_null_type, is_object_type

from gateway.engine.factors import Factor, InputSize, ListLength, PageSize
from gateway.engine.limits import INTROSPECTION_ROOTS
from schema.declare import Find
from schema.model import Graph, Kind
from schema.model.graph import camel
from schema.paging import MAX_PAGE

EXPECTED_ITEMS: Final = 10
"""Of a list that is not paged. Its author chose not to page it because it is short: its `limit` (100 unless declared) is a
guard, not what is expected, and ten times the cost would refuse plain pages of orders. What is longer after all is bounded
while it runs."""


INPUT_COST: Final = 3
"""Of a value in a command's input: it is coerced, made an object of and written anew, some 8 us in all."""


Sum: TypeAlias = dict[tuple[Factor, ...], int]
"""What comes once under (), and what is multiplied by the factors' product."""


@dataclass(frozen=True)
class StaticCost:
    """What an operation costs, by its variables. `introspection` is counted apart (gateway/engine/introspection.py)."""

    fixed: int
    by_variables: tuple[tuple[int, tuple[Factor, ...]], ...]

    def of(self, variables: Mapping[str, Any]) -> int:
        """With these variables, coerced; what does not fit counts as what is not there."""
        total = self.fixed
        for amount, factors in self.by_variables:
            for factor in factors:
                amount *= factor.of(variables)
            total += amount
        return total


class Size(Enum):
    """What says how many objects a field leads to."""

    ONE = auto()
    LIST = auto()
    """Nothing: EXPECTED_ITEMS."""
    PAGED = auto()
    """One connection; its page arguments say how many rows are in it."""
    ROWS = auto()
    """A list of a connection, `nodes` or `edges`: as many as the connection's arguments say."""
    IDS = auto()
    """As many as there are ids."""


@dataclass(frozen=True)
class Price:
    """What a field costs each time, and what it leads to."""

    cost: int
    size: Size
    items: int = EXPECTED_ITEMS


class Prices:
    """Of every field of a schema, by type and name."""

    def __init__(self, schema: GraphQLSchema, graph: Graph) -> None:
        self._declared = {**_of_objects(graph), **_of_roots(graph)}
        fields = {
            (kind.name, name): field
            for kind in schema.type_map.values()
            if is_object_type(kind) or is_interface_type(kind)
            for name, field in kind.fields.items()
        }
        self._connections = {
            get_named_type(fields[key].type).name for key, (*_, paged) in self._declared.items() if paged
        }
        self._prices = {key: self._price(*key, field) for key, field in fields.items()}

    def of(self, type_name: str, field: str) -> Price:
        """`__typename` costs as much as any other field."""
        return self._prices.get((type_name, field), _PLAIN)

    def _price(self, type_name: str, name: str, field: GraphQLField) -> Price:
        cost, items, is_paged = self._declared.get((type_name, name), (1, EXPECTED_ITEMS, False))
        inner = field.type.of_type if is_non_null_type(field.type) else field.type
        if is_paged:
            return Price(cost, Size.PAGED)
        if not is_list_type(inner) or not is_composite_type(get_named_type(inner)):
            return Price(cost, Size.ONE)
        if type_name in self._connections:
            return Price(cost, Size.ROWS)
        return Price(cost, Size.IDS if "ids" in field.args else Size.LIST, items)


_PLAIN: Final = Price(1, Size.ONE)
_Declared: TypeAlias = dict[tuple[str, str], tuple[int, int, bool]]


def _of_objects(graph: Graph) -> _Declared:
    """Cost, items of a list, and whether it is paged, of what objects declare."""
    found: _Declared = {}
    for model in graph.objects.values():
        for field in model.fields.values():
            limit = getattr(field.declaration, "limit", EXPECTED_ITEMS)
            is_paged = field.connection or field.kind is Kind.TIMELINE
            found[model.name, field.graphql_name] = field.metadata.cost, min(limit, EXPECTED_ITEMS), is_paged
    return found


def _of_roots(graph: Graph) -> _Declared:
    found: _Declared = {}
    for root in graph.queries.values():
        declaration = root.declaration
        found["Query", camel(root.name)] = declaration.metadata.cost, EXPECTED_ITEMS, isinstance(declaration, Find)
    for command in graph.commands.values():
        found["Mutation", camel(command.name)] = command.metadata.cost, EXPECTED_ITEMS, False
    return found


class CostReader:
    """Reads the cost of operations of one valid document; a fragment once per size of page that it may be below."""

    def __init__(self, schema: GraphQLSchema, prices: Prices, fragments: Mapping[str, FragmentDefinitionNode]) -> None:
        self._schema = schema
        self._prices = prices
        self._fragments = fragments
        self._commands = schema.mutation_type.name if schema.mutation_type else ""
        self._read: dict[tuple[str, PageSize | None], Sum] = {}
        self.looked_at = 0

    def read(self, operation: OperationDefinitionNode) -> StaticCost:
        """Of an operation that is valid; fields of introspection are left out."""
        root = self._schema.get_root_type(operation.operation)
        found = self._set(root.name if root else "", operation.selection_set, None)
        fixed = found.pop((), 0)
        return StaticCost(fixed, tuple((amount, factors) for factors, amount in found.items()))

    def _set(self, type_name: str, selection_set: SelectionSetNode, page: PageSize | None) -> Sum:
        found: Sum = {}
        self.looked_at += len(selection_set.selections)
        for node in selection_set.selections:
            if isinstance(node, FieldNode):
                if node.name.value not in INTROSPECTION_ROOTS:
                    _add(found, self._field(type_name, node, page))
            elif isinstance(node, InlineFragmentNode):
                condition = node.type_condition
                _add(found, self._set(condition.name.value if condition else type_name, node.selection_set, page))
            elif isinstance(node, FragmentSpreadNode):
                _add(found, self._fragment(node.name.value, page))
        return found

    def _fragment(self, name: str, page: PageSize | None) -> Sum:
        found = self._read.get((name, page))
        if found is None:
            fragment = self._fragments[name]
            found = self._set(fragment.type_condition.name.value, fragment.selection_set, page)
            self._read[name, page] = found
        return found

    def _field(self, type_name: str, node: FieldNode, page: PageSize | None) -> Sum:
        price = self._prices.of(type_name, node.name.value)
        below = _page(node) if price.size is Size.PAGED else None
        found: Sum = {(): price.cost}
        if type_name == self._commands:
            for variable in _variables(node):
                _add(found, {(InputSize(variable),): INPUT_COST})
        if node.selection_set is not None:
            kind = self._schema.type_map[type_name]
            leads_to = get_named_type(kind.fields[node.name.value].type).name  # type: ignore[attr-defined] # it has fields
            _add(found, self._set(leads_to, node.selection_set, below))
        match price.size:
            case Size.ONE | Size.PAGED:
                return found
            case Size.LIST:
                return _times(found, price.items)
            case Size.ROWS:
                return _times(found, page or MAX_PAGE)
            case Size.IDS:
                return _times(found, _ids(node))


def _add(to: Sum, other: Sum) -> None:
    for factors, amount in other.items():
        to[factors] = to.get(factors, 0) + amount


def _times(sum: Sum, factor: Factor | int) -> Sum:
    if isinstance(factor, PageSize) and not isinstance(factor.first, str) and not isinstance(factor.last, str):
        factor = factor.of({})
    if isinstance(factor, int):
        return {factors: amount * factor for factors, amount in sum.items()}
    return {(*factors, factor): amount for factors, amount in sum.items()}


def _page(node: FieldNode) -> PageSize:
    given = {argument.name.value: _number(argument.value) for argument in node.arguments or ()}
    return PageSize(given.get("first"), given.get("last"))


def _number(node: ValueNode) -> int | str | None:
    if isinstance(node, VariableNode):
        return node.name.value
    return int(node.value) if isinstance(node, IntValueNode) else None


def _variables(node: FieldNode) -> list[str]:
    """Those in a field's arguments, each as often as it is there."""
    found: list[str] = []
    waiting: list[ValueNode] = [argument.value for argument in node.arguments or ()]
    while waiting:
        value = waiting.pop()
        if isinstance(value, VariableNode):
            found.append(value.name.value)
        elif isinstance(value, ListValueNode):
            waiting += value.values
        elif isinstance(value, ObjectValueNode):
            waiting += [field.value for field in value.fields]
    return found


def _ids(node: FieldNode) -> ListLength | int:
    for argument in node.arguments or ():
        if argument.name.value == "ids":
            if isinstance(argument.value, VariableNode):
                return ListLength(argument.value.name.value)
            return len(argument.value.values) if isinstance(argument.value, ListValueNode) else 1
    return 0
