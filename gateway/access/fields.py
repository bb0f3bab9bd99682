"""What an operation takes of whoever runs it: the scopes and tags of the fields that it selects.

Invariants: pure; a field that a principal may not read refuses the operation before anything of it is read, because a denial
inside a field that cannot be null would take others with it; fields that @skip or @include leave out are not asked about.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from graphql import FieldNode, GraphQLObjectType, GraphQLSchema, OperationDefinitionNode, get_named_type
from graphql.type import is_abstract_type

from gateway.engine.select import Selector
from gateway.errors import ForbiddenError
from schema.declare import Computed, Find, Many, Metadata
from schema.model import Graph
from schema.model.graph import camel
from schema.ports import Principal

_OF_ALL: Final = ("__typename", "id")
"""What is asked of whichever type an id is of asks nothing of one of them."""
_SHOWN: Final = 5
"""Fields that a refusal names."""


class Need(NamedTuple):
    """What a field takes: a scope, and one of the tags if there are any."""

    field: str
    scope: str | None
    tags: frozenset[str]

    def is_met(self, principal: Principal) -> bool:
        """Whether a principal may read it. One whose tags are None sees whatever it is tagged with."""
        if self.scope is not None and self.scope not in principal.scopes:
            return False
        return not self.tags or principal.tags is None or not self.tags.isdisjoint(principal.tags)


class FieldPolicy:
    """What each field of a graph takes, and each filter: who asks by a field's value learns it."""

    def __init__(self, schema: GraphQLSchema, graph: Graph) -> None:
        self._schema = schema
        self._needs: dict[tuple[str, str], list[Need]] = {}
        for type_name, name, need in (*_declared(graph), *_derived(graph)):
            self._needs.setdefault((type_name, name), []).append(need)
        self._filters = {(type_name, name): needs for type_name, name, needs in _filtered(graph, self._needs)}

    def needs(self, operation: OperationDefinitionNode, selector: Selector) -> Sequence[Need]:
        """What the selected fields take, each once. Empty for an operation that anybody may run."""
        if not self._needs:
            return ()
        root = self._schema.get_root_type(operation.operation)
        found: dict[Need, None] = {}
        if root is not None:
            self._collect(root, selector.fields(root.name, [operation.selection_set]), selector, found)
        return tuple(found)

    def _collect(
        self,
        kind: GraphQLObjectType,
        selected: Mapping[str, Sequence[FieldNode]],
        selector: Selector,
        found: dict[Need, None],
    ) -> None:
        for nodes in selected.values():
            name = nodes[0].name.value
            found.update(dict.fromkeys(self._needs.get((kind.name, name), ())))
            filters = self._filters.get((kind.name, name))
            for argument in (nodes[0].arguments or ()) if filters else ():
                found.update(dict.fromkeys((filters or {}).get(argument.name.value, ())))
            if name in kind.fields and nodes[0].selection_set is not None:
                is_one_of_many = is_abstract_type(get_named_type(kind.fields[name].type))
                for below in self._types_of(kind.fields[name].type):
                    inside = selector.below(below.name, nodes)
                    own = [field[0].name.value for field in inside.values() if field[0].name.value not in _OF_ALL]
                    if own or not is_one_of_many:
                        found.update(dict.fromkeys(self._needs.get((below.name, ""), ())))
                    self._collect(below, inside, selector, found)

    def _types_of(self, kind: Any) -> Sequence[GraphQLObjectType]:
        named = get_named_type(kind)
        if is_abstract_type(named):
            return self._schema.get_possible_types(named)
        return [named] if isinstance(named, GraphQLObjectType) else []


@dataclass(frozen=True)
class Access:
    """Holds an operation's needs against principals."""

    needs: Sequence[Need]

    def check(self, principal: Principal) -> None:
        """Raises ForbiddenError naming the fields that are not for this principal."""
        if not self.needs:
            return
        missing = [need.field for need in self.needs if not need.is_met(principal)]
        if missing:
            more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
            raise ForbiddenError(f"not allowed: {', '.join(missing[:_SHOWN])}{more}")


def _declared(graph: Graph) -> Iterator[tuple[str, str, Need]]:
    """(type, field, what it takes); the field is empty for what an entity takes wherever it is selected."""
    for model in graph.objects.values():
        if model.tags:
            yield model.name, "", Need(model.name, None, frozenset(model.tags))
        for field in model.fields.values():
            yield from _of(model.name, field.graphql_name, field.metadata)
    for name, root in graph.queries.items():
        yield from _of("Query", camel(name), root.declaration.metadata)
    for name, command in graph.commands.items():
        yield from _of("Mutation", camel(name), command.metadata)


def _derived(graph: Graph) -> Iterator[tuple[str, str, Need]]:
    """What a computed field takes: what the fields that it is computed of do."""
    for model in graph.objects.values():
        for field in model.fields.values():
            if isinstance(field.declaration, Computed):
                for name in field.declaration.needs:
                    if name in model.fields:
                        yield from _of(model.name, field.graphql_name, model.fields[name].metadata)


def _filtered(
    graph: Graph, needs: Mapping[tuple[str, str], Sequence[Need]]
) -> Iterator[tuple[str, str, Mapping[str, Sequence[Need]]]]:
    """(type, field, by argument what a filter takes): what the field that it filters by does."""
    lists: list[tuple[str, str, Any]] = [
        ("Query", camel(name), root.declaration) for name, root in graph.queries.items()
    ]
    lists += [
        (model.name, field.graphql_name, field.declaration)
        for model in graph.objects.values()
        for field in model.fields.values()
    ]
    for type_name, name, declaration in lists:
        if isinstance(declaration, Find | Many):
            target = graph.entity_of(declaration.projection).name
            found = {camel(by): needs.get((target, camel(by)), ()) for by in declaration.index.fields}
            if any(found.values()):
                yield type_name, name, found


def _of(type_name: str, field: str, metadata: Metadata) -> Iterator[tuple[str, str, Need]]:
    if metadata.scope is not None or metadata.tags:
        yield type_name, field, Need(f"{type_name}.{field}", metadata.scope, frozenset(metadata.tags))
