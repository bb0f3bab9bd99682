"""Compiles an operation: what it selects, over what the contexts declare, becomes a Plan.

Invariants: pure; whatever a plan cannot say raises NotCompiledError, and is then answered by the plain executor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from graphql import (
    FieldNode,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
)

from gateway.engine.arguments import Arguments
from gateway.engine.compile_objects import ObjectCompiler
from gateway.engine.drafts import Nulls
from gateway.engine.errors import NotCompiledError
from gateway.engine.fetches import ByIds, One
from gateway.engine.numbers import Measured, shower
from gateway.engine.objects import Child
from gateway.engine.plan import Plan, Root
from gateway.engine.run import Edge, Run
from gateway.engine.select import Flags, Fragments, Selector
from gateway.engine.served import ReadModels
from gateway.engine.shapes import out_struct
from schema.declare import Find, Get
from schema.errors import BadIdError
from schema.ids import check_count, key_of
from schema.model import Graph, RootModel
from schema.model.graph import camel
from schema.per_key import Measured as MeasuredDeclaration

QUERY: Final = "Query"
Value = Callable[[Run], Any]


class Compiler:
    """Compiles operations over one graph. Safe to share; keeps nothing of what it compiled."""

    def __init__(self, schema: GraphQLSchema, graph: Graph, models: ReadModels) -> None:
        self._schema = schema
        self._graph = graph
        self._models = models
        self._roots = {camel(name): root for name, root in graph.queries.items()}
        self._fields = {
            name: {field.graphql_name: field for field in model.fields.values()}
            for name, model in graph.objects.items()
        }

    def compile(self, operation: OperationDefinitionNode, fragments: Fragments, flags: Flags) -> Plan:
        """The plan of an operation that is valid. Raises NotCompiledError."""
        if operation.operation is not OperationType.QUERY:
            raise NotCompiledError(f"a {operation.operation.value}")
        selector = Selector(self._schema, fragments, flags)
        objects = ObjectCompiler(self._schema, self._graph, self._models, self._fields, selector)
        return _Operation(self._schema, self._graph, self._models, self._roots, objects).plan(
            selector.fields(QUERY, [operation.selection_set])
        )


class _Operation:
    """One operation while it is compiled."""

    def __init__(
        self,
        schema: GraphQLSchema,
        graph: Graph,
        models: ReadModels,
        roots: Mapping[str, RootModel],
        objects: ObjectCompiler,
    ) -> None:
        self._fields = _fields_of(schema, QUERY)
        self._schema = schema
        self._graph = graph
        self._models = models
        self._roots = roots
        self._objects = objects
        self._entities = frozenset(graph.entities)
        self._values: list[Value] = []
        self._edges: list[tuple[str, Edge]] = []
        self._children: list[Child] = []

    def plan(self, selected: Mapping[str, Sequence[FieldNode]]) -> Plan:
        """Of the root fields by response name."""
        for place, (response, nodes) in enumerate(selected.items()):
            self._root_field(f"f{place}", response, nodes)
        out = out_struct(tuple(selected))
        children = {**self._objects.children, out: self._children}
        return Plan(Root(out, self._values, self._edges), children, self._objects.stops, tuple(self._objects.claims))

    def _root_field(self, attribute: str, response: str, nodes: Sequence[FieldNode]) -> None:
        name = nodes[0].name.value
        if name == "__typename":
            self._values.append(lambda _: QUERY)
            return
        if name.startswith("__"):
            raise NotCompiledError("introspection")
        arguments = Arguments(nodes[0], self._fields[name].args)
        if name in ("node", "nodes"):
            self._by_ids(attribute, response, nodes, arguments)
        else:
            self._declared(attribute, response, nodes, arguments, self._roots[name])
        self._children.append(_child(attribute, response, self._fields[name].type, nodes))

    def _by_ids(self, attribute: str, response: str, nodes: Sequence[FieldNode], arguments: Arguments) -> None:
        is_list = nodes[0].name.value == "nodes"
        argument = "ids" if is_list else "id"
        interface = self._schema.type_map["Node"]
        names = (
            [kind.name for kind in self._schema.get_possible_types(interface)]
            if isinstance(interface, GraphQLInterfaceType)
            else []
        )
        plans = {name: self._objects.entity(name, nodes, f"{response}<{name}>", 2) for name in names}
        served = {name: self._objects.served(name) for name in names}
        read = sorted(one.projection.name for one in served.values())
        self._objects.stop(response, f"documents of {', '.join(read)}", 1)
        self._values.append(_ids(arguments) if is_list else lambda run: arguments.read(run.variables)[argument])
        self._edges.append((attribute, ByIds(attribute, served, plans, is_list)))

    def _declared(
        self, attribute: str, response: str, nodes: Sequence[FieldNode], arguments: Arguments, root: RootModel
    ) -> None:
        declaration = root.declaration
        if isinstance(declaration, Get):
            self._objects.stop(response, f"document of {declaration.projection.name}", 1)
            self._values.append(_key(arguments, root.target, self._entities))
            plan = self._objects.entity(root.target, nodes, response, 2)
            self._edges.append((attribute, One(attribute, self._objects.served(root.target), plan)))
        elif isinstance(declaration, Find):
            self._values.append(lambda _: None)
            edge = self._objects.connection(root.target, declaration.index, None, arguments, nodes, response, 1)
            self._edges.append((attribute, edge(attribute)))
        else:
            self._measured(attribute, response, arguments, root, declaration)

    def _measured(
        self, attribute: str, response: str, arguments: Arguments, root: RootModel, declaration: MeasuredDeclaration
    ) -> None:
        if root.by is None or root.by.name is None or root.type is None:
            raise NotCompiledError("a measure without an argument")
        by = camel(root.by.name)
        self._objects.stop(response, f"measure {declaration.measure.name} of {declaration.projection.name}", 1)
        self._values.append(lambda run: arguments.read(run.variables)[by])
        served = self._objects.read_model(declaration.projection.name)
        name = camel(root.name)
        edge = Measured(attribute, served, declaration.measure, root.type, name, shower(root.type))
        self._edges.append((attribute, edge))


def _ids(arguments: Arguments) -> Value:
    """The list of `nodes`, or a failure when it is too long."""

    def value(run: Run) -> Any:
        ids = arguments.read(run.variables)["ids"]
        try:
            check_count(ids)
        except BadIdError as error:
            return run.failed(error)
        return ids

    return value


def _key(arguments: Arguments, target: str, entities: frozenset[str]) -> Value:
    """The key that an id names, or a failure."""

    def value(run: Run) -> Any:
        try:
            return key_of(arguments.read(run.variables)["id"], target, entities)
        except BadIdError as error:
            return run.failed(error)

    return value


def _fields_of(schema: GraphQLSchema, type_name: str) -> Mapping[str, Any]:
    kind = schema.type_map[type_name]
    if not isinstance(kind, GraphQLObjectType):
        raise NotCompiledError(f"{type_name} is not an object")
    fields: Mapping[str, Any] = kind.fields
    return fields


def nulls_of(kind: GraphQLOutputType) -> Nulls:
    """Where a field of a type may be null."""
    is_nullable = not isinstance(kind, GraphQLNonNull)
    inner = kind.of_type if isinstance(kind, GraphQLNonNull) else kind
    if isinstance(inner, GraphQLList):
        return Nulls(is_nullable, not isinstance(inner.of_type, GraphQLNonNull))
    return Nulls(is_nullable)


def _child(attribute: str, response: str, kind: GraphQLOutputType, nodes: Sequence[FieldNode]) -> Child:
    nulls = nulls_of(kind)
    return Child(attribute, response, nulls.field, nulls.item, nodes)
