"""Smaller operations and fewer faults, to look for the smallest case that still differs.

Invariants: every operation that is offered is valid; the order is the same each time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from typing import Any

from graphql import (
    ArgumentNode,
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLSchema,
    InlineFragmentNode,
    Node,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    parse,
    print_ast,
    validate,
)

from tests.equality.faults import NOTHING, Faults
from tests.equality.generate import Generated


def smaller_faults(faults: Faults) -> Iterator[Faults]:
    """The same without some of what goes wrong."""
    if faults != NOTHING:
        yield NOTHING
    for part in fields(faults):
        value: Any = getattr(faults, part.name)
        if not value or isinstance(value, str):
            continue
        names = sorted(value, key=str)
        for kept in (names[: len(names) // 2], names[len(names) // 2 :]) if len(names) > 1 else ():
            yield _replaced(
                faults, part.name, {name: value[name] for name in kept} if isinstance(value, dict) else frozenset(kept)
            )
        yield _replaced(faults, part.name, {} if isinstance(value, dict) else frozenset())


def smaller_operations(schema: GraphQLSchema, operation: Generated) -> Iterator[Generated]:
    """The same with a selection, a fragment, a directive or an argument less, and without what is then not used."""
    document = parse(operation.text, no_location=True)
    for edited in _edits(document):
        pruned = _pruned(edited)
        if pruned is None or validate(schema, pruned):
            continue
        used = {name for node in _nodes(pruned) if isinstance(node, VariableNode) for name in [node.name.value]}
        given = operation.variables
        variables = None if given is None else {name: value for name, value in given.items() if name in used}
        yield operation._replace(text=print_ast(pruned), variables=variables)


def _replaced(faults: Faults, part: str, value: Any) -> Faults:
    return replace(faults, **{part: value})


def _edits(node: Any) -> Iterator[Any]:
    """Copies of a node, each with one thing less in it."""
    if isinstance(node, list | tuple):
        for place, item in enumerate(node):
            if isinstance(item, FieldNode | InlineFragmentNode | FragmentSpreadNode | DirectiveNode | ArgumentNode):
                yield (*node[:place], *node[place + 1 :])
            if isinstance(item, InlineFragmentNode):
                yield (*node[:place], *item.selection_set.selections, *node[place + 1 :])
            for edited in _edits(item):
                yield (*node[:place], edited, *node[place + 1 :])
    elif isinstance(node, Node):
        for name in node.keys:
            value = getattr(node, name, None)
            if isinstance(value, list | tuple | Node):
                for edited in _edits(value):
                    if not (isinstance(node, SelectionSetNode) and not edited):
                        yield _with(node, name, edited)


def _with(node: Node, name: str, value: Any) -> Node:
    kept = {key: getattr(node, key, None) for key in node.keys}
    return type(node)(**{**kept, name: value})


def _pruned(document: DocumentNode) -> DocumentNode | None:
    """Without fragments that nothing leads to, and variables that nothing uses."""
    operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    reached: dict[str, FragmentDefinitionNode] = {}
    waiting: list[Any] = [*operations]
    while waiting:
        for node in _nodes(waiting.pop()):
            if isinstance(node, FragmentSpreadNode) and node.name.value not in reached:
                reached[node.name.value] = fragments[node.name.value]
                waiting.append(fragments[node.name.value])
    bodies: Sequence[Any] = [node.selection_set for node in (*operations, *reached.values())]
    used = {node.name.value for body in bodies for node in _nodes(body) if isinstance(node, VariableNode)}
    kept: list[Any] = [
        _with(
            node,
            "variable_definitions",
            tuple(v for v in node.variable_definitions or () if v.variable.name.value in used),
        )
        for node in operations
    ]
    return DocumentNode(definitions=(*kept, *reached.values()))


def _nodes(node: Any) -> Iterator[Node]:
    if isinstance(node, list | tuple):
        for item in node:
            yield from _nodes(item)
    elif isinstance(node, Node):
        yield node
        for name in node.keys:
            yield from _nodes(getattr(node, name, None))
