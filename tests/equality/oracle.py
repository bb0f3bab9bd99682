"""What an operation comes to over plain dictionaries: a small executor of its own.

Invariants: takes the syntax tree from graphql-core's parser and types from the published schema, and nothing else of either; goes
through everything that is selected, also where a null has taken it away already, so that it knows all errors that there can be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from graphql import (
    BooleanValueNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    VariableNode,
    build_schema,
    parse,
)

from tests.equality import inputs
from tests.equality.faults import EVERYTHING, Faults
from tests.equality.meaning import value_of
from tests.equality.shop import BAD, FieldError, Shop, Source
from tests.equality.world import World

Path_: TypeAlias = tuple[str | int, ...]
Error: TypeAlias = tuple[Path_, str]
"""Path and code."""
NONE: Final[frozenset[Error]] = frozenset()
SDL: Final = Path(__file__).resolve().parents[2] / "schema" / "schema.graphql"


class Region(NamedTuple):
    """A null that errors have put into the answer, and the errors that did: one of them at least is told."""

    path: Path_
    errors: frozenset[Error]


@dataclass(frozen=True)
class Expected:
    """What the answer is to be. `errors` are all that there can be, also inside of nulls; `trips` the reads one after another."""

    data: Any = None
    errors: frozenset[Error] = NONE
    regions: Sequence[Region] = ()
    is_refused: bool = False
    trips: int = 0


class Oracle:
    """Answers operations over a world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._schema = build_schema(SDL.read_text(encoding="utf-8"))
        self._parsed: tuple[str, DocumentNode] | None = None

    def answer(
        self, text: str, variables: Mapping[str, Any] | None, operation_name: str | None, faults: Faults
    ) -> Expected:
        """What is to come of it. A trip that asks for something stalled is lost as a whole."""
        lost: frozenset[int] = frozenset()
        while True:
            shop = Shop(self._world, faults, lost)
            found = _Execution(self._schema, self._document(text), shop).run(variables or {}, operation_name)
            late = [trip for trip, asked in shop.asked.items() if trip not in lost and _stalls(faults, asked)]
            if not late:
                return found
            lost |= {min(late)}

    def _document(self, text: str) -> DocumentNode:
        if self._parsed is None or self._parsed[0] != text:
            self._parsed = (text, parse(text))
        return self._parsed[1]


def _stalls(faults: Faults, asked: set[str]) -> bool:
    return faults.stalled is not None and (faults.stalled == EVERYTHING or faults.stalled in asked)


@dataclass
class _Execution:
    """One run over one document."""

    schema: GraphQLSchema
    document: DocumentNode
    shop: Shop
    variables: dict[str, Any] = field(default_factory=dict[str, Any])
    errors: set[Error] = field(default_factory=set[Error])
    regions: list[Region] = field(default_factory=list[Region])

    def __post_init__(self) -> None:
        definitions = self.document.definitions
        self._fragments = {node.name.value: node for node in definitions if isinstance(node, FragmentDefinitionNode)}
        self._operations = [node for node in definitions if isinstance(node, OperationDefinitionNode)]

    def run(self, given: Mapping[str, Any], operation_name: str | None) -> Expected:
        """The whole answer."""
        named = [node for node in self._operations if operation_name in (None, node.name and node.name.value)]
        operation = named[0]
        try:
            self.variables = inputs.variables(self.schema, operation, given)
            grouped = self._collect("Query", [operation.selection_set])
        except (inputs.RefusedError, FieldError):
            return Expected(is_refused=True)
        data, fatal = self._fields(Source("Query", {}, 0), grouped, ())
        if fatal:
            self.regions.append(Region((), fatal))
        return Expected(None if fatal else data, frozenset(self.errors), self.regions, trips=len(self.shop.asked))

    def _collect(self, type_name: str, sets: Sequence[SelectionSetNode]) -> dict[str, list[FieldNode]]:
        """Fields by response name. Raises FieldError for a directive that goes by a null."""
        grouped: dict[str, list[FieldNode]] = {}
        visited: set[str] = set()
        for selection_set in sets:
            self._gather(type_name, selection_set, grouped, visited)
        return grouped

    def _gather(
        self, type_name: str, selections: SelectionSetNode, grouped: dict[str, list[FieldNode]], visited: set[str]
    ) -> None:
        for node in selections.selections:
            if not self._is_in(node):
                continue
            if isinstance(node, FieldNode):
                grouped.setdefault((node.alias or node.name).value, []).append(node)
                continue
            inner: InlineFragmentNode | FragmentDefinitionNode
            if isinstance(node, FragmentSpreadNode):
                if node.name.value in visited:
                    continue
                visited.add(node.name.value)
                inner = self._fragments[node.name.value]
            else:
                assert isinstance(node, InlineFragmentNode)
                inner = node
            condition = inner.type_condition.name.value if inner.type_condition else type_name
            if condition == type_name or self._is_a(type_name, condition):
                self._gather(type_name, inner.selection_set, grouped, visited)

    def _is_a(self, type_name: str, condition: str) -> bool:
        kind = self.schema.type_map[type_name]
        return isinstance(kind, GraphQLObjectType) and condition in [interface.name for interface in kind.interfaces]

    def _is_in(self, node: SelectionNode) -> bool:
        """@skip before @include, as the specification has it; a null for either is an error."""
        flags: dict[str, bool] = {}
        for directive in sorted(node.directives or (), key=lambda found: found.name.value, reverse=True):
            [argument] = directive.arguments or ()
            value = argument.value
            if isinstance(value, VariableNode):
                flag = self.variables.get(value.name.value)
                if flag is None:
                    raise FieldError(BAD)
            else:
                assert isinstance(value, BooleanValueNode)
                flag = value.value
            flags[directive.name.value] = flag
            if flags.get("skip") is True:
                return False
        return flags.get("include", True)

    def _fields(
        self, source: Source, grouped: Mapping[str, list[FieldNode]], path: Path_
    ) -> tuple[dict[str, Any], frozenset[Error]]:
        """The object, and the errors that take it away."""
        kind = self.schema.type_map[source.type]
        assert isinstance(kind, GraphQLObjectType)
        shown: dict[str, Any] = {}
        fatal = NONE
        for response, nodes in grouped.items():
            name = nodes[0].name.value
            if name == "__typename":
                shown[response] = source.type
                continue
            at = (*path, response)
            definition = kind.fields[name]
            try:
                given = {argument.name.value: argument.value for argument in nodes[0].arguments or ()}
                arguments = inputs.arguments(definition, given, self.variables)
                value = value_of(self.shop, source, name, definition.type, arguments)
            except FieldError as error:
                value = error
            shown[response], errors = self._complete(definition.type, nodes, value, at)
            fatal |= errors
        return shown, fatal

    def _complete(self, kind: Any, nodes: list[FieldNode], value: Any, path: Path_) -> tuple[Any, frozenset[Error]]:
        """The value as it is shown, and the errors that make whoever holds it null."""
        if isinstance(kind, GraphQLNonNull):
            found, fatal = self._bare(kind.of_type, nodes, value, path)
            if found is None and not fatal:
                fatal = self._failed(path, "INTERNAL")
            return found, fatal
        found, fatal = self._bare(kind, nodes, value, path)
        if fatal:
            self.regions.append(Region(path, fatal))
            return None, NONE
        return found, NONE

    def _bare(self, kind: Any, nodes: list[FieldNode], value: Any, path: Path_) -> tuple[Any, frozenset[Error]]:
        if isinstance(value, FieldError):
            return None, self._failed(path, value.code)
        if value is None:
            return None, NONE
        if isinstance(kind, GraphQLList):
            items = [self._complete(kind.of_type, nodes, item, (*path, place)) for place, item in enumerate(value)]
            return [item for item, _ in items], frozenset[Error]().union(*(fatal for _, fatal in items))
        if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType):
            try:
                grouped = self._collect(value.type, [node.selection_set for node in nodes if node.selection_set])
            except FieldError as error:
                return None, self._failed(path, error.code)
            return self._fields(value, grouped, path)
        return value, NONE

    def _failed(self, path: Path_, code: str) -> frozenset[Error]:
        self.errors.add((path, code))
        return frozenset({(path, code)})
