"""How large a document may be, by what can be counted before it is validated.

Invariants: pure; every node is looked at once and every fragment is counted once, however often it is spread, so the work is
linear in the text even where the counts are not; a spread that closes a cycle counts nothing here, and is refused by
validation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    ListValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    ValueNode,
)

from gateway.errors import TooComplexError

INTROSPECTION_ROOTS: Final = ("__schema", "__type")
MAX_INTROSPECTION_DEPTH: Final = 25
"""Fields below `__schema` are nested 15 deep in the query that every client sends (nine of them `ofType`)."""

MAX_ALIAS_CHARACTERS: Final = 100
"""Names are some twenty. An answer has an alias once for every row: one of 20,000 made 200 MB of 20 KB."""
MAX_OPERATIONS: Final = 50
"""Of which one is run. All are validated, so that one text is either good or not."""

MAX_VALUES: Final = 500
"""Written in the document, those in lists and objects counted one by one. Variables are for more: they are checked 20 times as
fast, and a message about a literal repeats it whole before it is cut short."""
MAX_VALUES_VALIDATED: Final = 5_000
"""Each for every operation that may come to it: so often they are validated."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a document may have. Counts are of what its operations come to, a fragment as often as it is spread.

    The yardstick is the largest of the shop's own examples, orders over five contexts as a page of five: 55 tokens, 29 fields in
    5 levels, a cost of 845.
    """

    characters: int = 65_536
    """30 for each of the tokens. Longer documents carry values, which belong into variables; blanks take time to read, too."""
    tokens: int = 2_000
    """36 times the example. Parsing as many takes some 10 ms."""
    depth: int = 15
    """Three times the example. Each level of entities is a trip to the store."""
    fields: int = 1_000
    """34 times the example. Validating as many takes some 20 ms."""
    aliases: int = 100
    """As many as `nodes(ids:)` takes ids: whoever wants more of one kind asks with that."""
    directives: int = 100
    """Three for each field of the example."""
    root_fields: int = 20
    """Each is a read of its own, or a command; commands run one after the other."""
    cost: int = 30_000
    """35 times the example: a page of 100 orders with everything that there is to them (21,901) fits, two such pages do not."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """What a selection comes to. `introspection_depth` counts from `__schema` or `__type`, which `depth` does not look into."""

    fields: int = 0
    aliases: int = 0
    directives: int = 0
    root_fields: int = 0
    depth: int = 0
    introspection_depth: int = 0


@dataclass
class _Spread:
    """A fragment's place: below so many fields, of which the outermost may be introspection's."""

    name: str
    below: int
    is_introspection: bool


@dataclass
class _Own:
    """What a definition has by itself, and the fragments that it spreads."""

    size: Size
    spreads: list[_Spread]


class Measured:
    """The sizes of a document's operations, how many values are written in it, and its longest alias in characters: an answer
    repeats it for every row. `looked_at` is how many nodes that took.
    """

    def __init__(self, document: DocumentNode) -> None:
        self.looked_at = 0
        self.longest_alias = 0
        self.values = 0
        self._fragments = {
            node.name.value: self._own(node)
            for node in document.definitions
            if isinstance(node, FragmentDefinitionNode)
        }
        self._sizes: dict[str, Size] = {}
        for name in self._fragments:
            self._settle(name)
        self.operations = [
            self._whole(self._own(node)) for node in document.definitions if isinstance(node, OperationDefinitionNode)
        ]

    def _own(self, definition: OperationDefinitionNode | FragmentDefinitionNode) -> _Own:
        spreads: list[_Spread] = []
        found = aliases = roots = deepest = deepest_inside = 0
        directives = self._directives(definition)
        waiting: list[tuple[SelectionSetNode, int, bool]] = [(definition.selection_set, 0, False)]
        while waiting:
            selection_set, below, inside = waiting.pop()
            self.looked_at += len(selection_set.selections)
            for node in selection_set.selections:
                directives += self._directives(node)
                if isinstance(node, FragmentSpreadNode):
                    spreads.append(_Spread(node.name.value, below, inside))
                elif isinstance(node, InlineFragmentNode):
                    waiting.append((node.selection_set, below, inside))
                elif isinstance(node, FieldNode):
                    self._count(argument.value for argument in node.arguments or ())
                    found += 1
                    if node.alias is not None:
                        aliases += 1
                        self.longest_alias = max(self.longest_alias, len(node.alias.value))
                    roots += below == 0 and not inside
                    is_inside = inside or node.name.value in INTROSPECTION_ROOTS
                    depth = below + 1 if is_inside == inside else 0
                    deepest_inside = max(deepest_inside, depth if is_inside else 0)
                    deepest = max(deepest, 0 if is_inside else depth)
                    if node.selection_set is not None:
                        waiting.append((node.selection_set, depth, is_inside))
        size = Size(
            fields=found, aliases=aliases, directives=directives, root_fields=roots,
            depth=deepest, introspection_depth=deepest_inside,
        )  # fmt: skip
        return _Own(size, spreads)

    def _directives(self, node: SelectionNode | OperationDefinitionNode | FragmentDefinitionNode) -> int:
        """Those of a node itself, and of the variables that it declares."""
        found = list(node.directives or ())
        for variable in getattr(node, "variable_definitions", None) or ():
            found += variable.directives or ()
            self._count([variable.default_value] if variable.default_value else ())
        for directive in found:
            self._count(argument.value for argument in directive.arguments or ())
        return len(found)

    def _count(self, values: Iterable[ValueNode]) -> None:
        waiting = list(values)
        while waiting:
            value = waiting.pop()
            self.looked_at += 1
            self.values += 1
            if isinstance(value, ListValueNode):
                waiting += value.values
            elif isinstance(value, ObjectValueNode):
                waiting += [field.value for field in value.fields]

    def _settle(self, root: str) -> None:
        """The size of a fragment, those that it spreads first; without recursion, chains may be long."""
        path: list[tuple[str, Iterator[_Spread]]] = []
        entered: set[str] = set()

        def enter(name: str) -> None:
            entered.add(name)
            path.append((name, iter(self._fragments[name].spreads)))

        if root not in self._sizes:
            enter(root)
        while path:
            name, spreads = path[-1]
            for spread in spreads:
                self.looked_at += 1
                if spread.name in self._fragments and spread.name not in self._sizes and spread.name not in entered:
                    enter(spread.name)
                    break
            else:
                path.pop()
                self._sizes[name] = self._whole(self._fragments[name])

    def _whole(self, own: _Own) -> Size:
        size = own.size
        found, aliases, directives, roots = size.fields, size.aliases, size.directives, size.root_fields
        deepest, deepest_inside = size.depth, size.introspection_depth
        for spread in own.spreads:
            self.looked_at += 1
            part = self._sizes.get(spread.name, _NOTHING)
            found += part.fields
            aliases += part.aliases
            directives += part.directives
            if spread.is_introspection:
                deepest_inside = max(deepest_inside, spread.below + max(part.depth, part.introspection_depth))
            else:
                roots += part.root_fields if spread.below == 0 else 0
                deepest = max(deepest, spread.below + part.depth)
                deepest_inside = max(deepest_inside, part.introspection_depth)
        return Size(
            fields=found, aliases=aliases, directives=directives, root_fields=roots,
            depth=deepest, introspection_depth=deepest_inside,
        )  # fmt: skip


_NOTHING: Final = Size()


def check(measured: Measured, limits: Limits) -> None:
    """Raises TooComplexError for the first count that is over its limit.

    Fields, aliases and directives are those of all operations together: whichever is run, all are validated.
    """
    operations = measured.operations
    counted = [
        ("values: put them into variables", measured.values, MAX_VALUES),
        ("operations", len(operations), MAX_OPERATIONS),
        ("values in all its operations", measured.values * len(operations), MAX_VALUES_VALIDATED),
        ("characters in an alias", measured.longest_alias, MAX_ALIAS_CHARACTERS),
        ("fields", sum(size.fields for size in operations), limits.fields),
        ("aliases", sum(size.aliases for size in operations), limits.aliases),
        ("directives", sum(size.directives for size in operations), limits.directives),
    ]
    for size in operations:
        counted += [
            ("root fields in an operation", size.root_fields, limits.root_fields),
            ("levels of fields", size.depth, limits.depth),
            ("levels of introspection", size.introspection_depth, MAX_INTROSPECTION_DEPTH),
        ]
    for name, count, limit in counted:
        if count > limit:
            raise TooComplexError(f"the document has more than {limit} {name}")
