"""Compiles what is selected of entities, of the parts in them, and of connections.

Invariants: every object gets a type of its own for exactly its selection; an edge is compiled with what it leads to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, Final, NamedTuple, TypeAlias

from graphql import FieldNode, GraphQLObjectType, GraphQLSchema

from gateway.engine.arguments import Arguments
from gateway.engine.compile_entries import compile_entry
from gateway.engine.drafts import Draft, Nulls, Slot
from gateway.engine.errors import NotCompiledError
from gateway.engine.fetches import Listed, One
from gateway.engine.numbers import Measured, shower
from gateway.engine.objects import Child, Computed, ObjectPlan
from gateway.engine.pages import IndexPaged, Of, PagePart, TimelinePaged
from gateway.engine.plan import Stop
from gateway.engine.run import Edge
from gateway.engine.select import Selector
from gateway.engine.served import ReadModels, Served
from gateway.engine.shapes import In, itself, out_struct
from projections.declare import Index
from projections.timeline import Timeline
from schema.declare import Computed as ComputedDeclaration
from schema.declare import Many
from schema.model import FieldModel, Graph, Kind, ObjectModel
from schema.model.graph import camel
from schema.per_key import Measured as MeasuredDeclaration
from schema.per_key import Timed

FieldsByName: TypeAlias = Mapping[str, Mapping[str, FieldModel]]
EdgeAt: TypeAlias = Callable[[str], Edge]
"""An edge, once it is known which attribute it fills."""

_NULLS_OF_ROWS: Final = Nulls(field=False, item=False)


class _Selected(NamedTuple):
    """A field where it is selected: in which draft of which type, where in the answer; what it leads to is read in that trip."""

    draft: Draft
    model: ObjectModel
    field: FieldModel
    response: str
    nodes: Sequence[FieldNode]
    path: str
    trip: int


class ObjectCompiler:
    """What is compiled of one operation: `children` by type of object, `stops`, and the `claims` that row rules go by."""

    def __init__(
        self, schema: GraphQLSchema, graph: Graph, models: ReadModels, fields: FieldsByName, selector: Selector
    ) -> None:
        self._fields = fields
        self._schema = schema
        self._graph = graph
        self._models = models
        self._selector = selector
        self.children: dict[type[Any], Sequence[Child]] = {}
        self.stops: list[Stop] = []
        self.claims: dict[str, None] = {}

    def stop(self, path: str, reads: str, trip: int) -> None:
        """Notes a read."""
        self.stops.append(Stop(path, reads, trip))

    def served(self, entity: str) -> Served:
        """The read model of an entity. Raises NotCompiledError."""
        projection = self._graph.objects[entity].projection
        if projection is None:
            raise NotCompiledError(f"{entity} is a part")
        return self.read_model(projection.name)

    def read_model(self, projection: str) -> Served:
        """How a projection is read; notes the claim that its row rule goes by, for whatever is read of it."""
        served = self._models.projections[projection]
        if served.rule is not None:
            self.claims.setdefault(served.rule.claim)
        return served

    def entity(self, name: str, nodes: Sequence[FieldNode], path: str, trip: int) -> ObjectPlan:
        """How an entity is shown that is selected below a field; what it leads to is read in that trip."""
        model = self._graph.objects[name]
        draft = Draft(In(model.view), prefix=f"{name}:")
        draft.hidden = self._hidden(draft.read, model)
        self._fill(draft, model, nodes, path, trip)
        plan = draft.finish(self.children)
        assert isinstance(plan, ObjectPlan)  # noqa: S101 - a draft with a prefix is one
        return plan

    def connection(
        self,
        target: str,
        index: Index[Any],
        via: str | None,
        arguments: Arguments,
        nodes: Sequence[FieldNode],
        path: str,
        trip: int,
    ) -> EdgeAt:
        """A page of an index."""
        served = self.served(target)
        self.stop(path, f"page of {served.projection.name}.{index.name} with its documents", trip)
        names = [(name, camel(name)) for name in index.fields]
        part = self._page_part(f"{target}Connection", target, nodes, path, trip + 1)
        return lambda at: IndexPaged(at, arguments, part, served, index, names, via)

    # -- entities and parts

    def _hidden(self, read: In, model: ObjectModel) -> Callable[[Any, Mapping[str, str]], bool] | None:
        """Whether the row rule, if there is one, keeps an object that was decoded from a principal."""
        rule, served = model.rows, self.served(model.name)
        if rule is None:
            return None
        attribute = read.own_leaf(rule.field)
        return lambda found, claims: served.hides(getattr(found, attribute), claims)

    def _fill(self, draft: Draft, model: ObjectModel, nodes: Sequence[FieldNode], path: str, trip: int) -> None:
        fields = self._fields[model.name]
        for response, selected in self._selector.below(model.name, nodes).items():
            name = selected[0].name.value
            if name == "__typename":
                draft.add(Slot(response, draft.read.own(response), selected, constant=model.name))
            elif name in fields:
                self._field(_Selected(draft, model, fields[name], response, selected, f"{path}.{response}", trip))
            else:
                derived = {"id": draft.ids, "key": draft.keys, "version": draft.versions}[name]
                derived.append(draft.add(Slot(response, draft.read.own(response), selected)))

    def _field(self, at: _Selected) -> None:
        draft, field = at.draft, at.field
        match field.kind:
            case Kind.STORED if _is_renamed(field.type.item):
                self._computed(at, [field.name], itself)
            case Kind.STORED:
                draft.add(Slot(at.response, draft.read.leaf(field.name, field.type), at.nodes))
            case Kind.NESTED:
                self._nested(at)
            case Kind.COMPUTED:
                declaration = field.declaration
                assert isinstance(declaration, ComputedDeclaration)  # noqa: S101 - the kind says so
                self._computed(at, declaration.needs, declaration.fn)
            case Kind.ONE:
                self._one(at)
            case Kind.MANY | Kind.MEASURE | Kind.TIMELINE:
                self._by_key(at)
            case Kind.CODE:
                raise NotCompiledError(f"{at.model.name}.{field.graphql_name} has Python code")

    def _nested(self, at: _Selected) -> None:
        field = at.field
        source, read = at.draft.read.part(field.name)
        part = Draft(read)
        self._fill(part, self._graph.objects[field.target or ""], at.nodes, at.path, at.trip)
        nulls = Nulls(field.type.nullable, field.type.item_nullable if field.type.is_list else None)
        at.draft.add(
            Slot(at.response, source, at.nodes, nulls, part=part, part_name=field.name, is_list=field.type.is_list)
        )

    def _computed(self, at: _Selected, needs: Sequence[str], fn: Callable[..., Any]) -> None:
        read = at.draft.read
        reads, show = [read.raw(name) for name in needs], shower(at.field.type)
        slot = Slot(at.response, read.own(at.response), at.nodes)
        slot.computed = lambda attribute: Computed(attribute, fn, reads, show)
        at.draft.add(slot)

    def _one(self, at: _Selected) -> None:
        target = at.field.target or ""
        source, served = at.draft.read.own_leaf(at.field.via or ""), self.served(target)
        self.stop(at.path, f"documents of {served.projection.name}", at.trip)
        plan = self.entity(target, at.nodes, at.path, at.trip + 1)
        slot = Slot(at.response, source, at.nodes, Nulls(field=True), lambda attribute: One(attribute, served, plan))
        at.draft.add(slot)

    def _by_key(self, at: _Selected) -> None:
        """What is read by the entity's own key, which stands in the attribute until then."""
        declaration, field = at.field.declaration, at.field
        nulls = Nulls(field=False)
        edge: EdgeAt
        if isinstance(declaration, MeasuredDeclaration):
            edge = self._measure(declaration, at)
            nulls = Nulls(field=field.type.nullable)
        elif isinstance(declaration, Timed):
            edge = self._timeline(declaration.timeline, at)
        elif isinstance(declaration, Many) and field.connection:
            edge = self.connection(
                field.target or "", declaration.index, field.via, self._arguments(at), at.nodes, at.path, at.trip
            )
        elif isinstance(declaration, Many):
            edge = self._list(declaration, at)
            nulls = _NULLS_OF_ROWS
        else:
            raise NotCompiledError(f"{field.graphql_name} is not declared as an edge")
        slot = Slot(at.response, at.draft.read.own(at.response), at.nodes, nulls, edge)
        at.draft.key_edges.append(at.draft.add(slot))

    def _measure(self, declaration: MeasuredDeclaration, at: _Selected) -> EdgeAt:
        self.stop(at.path, f"measure {declaration.measure.name} of {declaration.projection.name}", at.trip)
        served, kind, name = self.read_model(declaration.projection.name), at.field.type, at.field.graphql_name
        show = shower(kind)
        return lambda attribute: Measured(attribute, served, declaration.measure, kind, name, show)

    def _list(self, declaration: Many, at: _Selected) -> EdgeAt:
        field, index = at.field, declaration.index
        served = self.served(field.target or "")
        self.stop(at.path, f"rows of {served.projection.name}.{index.name} with their documents", at.trip)
        plan = self.entity(field.target or "", at.nodes, at.path, at.trip + 1)
        via, limit, name = field.via or "", declaration.limit, field.graphql_name
        return lambda attribute: Listed(attribute, served, index, via, limit, name, plan)

    def _timeline(self, timeline: Timeline[Any], at: _Selected) -> EdgeAt:
        self.stop(at.path, f"page of the timeline {timeline.name}", at.trip)
        arguments, served = self._arguments(at), self._models.timelines[timeline.name]
        part = self._page_part("ActivityConnection", "Activity", at.nodes, at.path, at.trip + 1)
        return lambda attribute: TimelinePaged(attribute, arguments, part, served)

    def _arguments(self, at: _Selected) -> Arguments:
        kind = self._schema.type_map[at.model.name]
        if not isinstance(kind, GraphQLObjectType):
            raise NotCompiledError(f"{at.model.name} is not an object")
        return Arguments(at.nodes[0], kind.fields[at.field.graphql_name].args)

    # -- connections

    def _page_part(self, type_name: str, row: str, nodes: Sequence[FieldNode], path: str, trip: int) -> PagePart:
        """A connection, an edge or a pageInfo: their fields differ, what is said of them does not."""
        selected = self._selector.below(type_name, nodes)
        shows: list[tuple[Of, Any]] = []
        children: list[Child] = []
        for place, (response, below) in enumerate(selected.items()):
            of, below_path = Of(below[0].name.value), f"{path}.{response}"
            what: Any = None
            if of is Of.TYPENAME:
                what = type_name
            elif of is Of.EDGES:
                what = self._page_part(f"{row}Edge", row, below, below_path, trip)
            elif of is Of.PAGE_INFO:
                what = self._page_part("PageInfo", row, below, below_path, trip)
            elif of in (Of.NODES, Of.NODE):
                what = self._row(row, below, below_path, trip)
            shows.append((of, what))
            if of in (Of.EDGES, Of.NODES, Of.NODE):
                children.append(
                    Child(f"f{place}", response, nullable=False, item_nullable=None if of is Of.NODE else False, nodes=below)
                )  # fmt: skip
        out = out_struct(tuple(selected))
        self.children[out] = children
        return PagePart(out, shows)

    def _row(self, row: str, nodes: Sequence[FieldNode], path: str, trip: int) -> ObjectPlan:
        if row in self._graph.objects:
            return self.entity(row, nodes, path, trip)
        return compile_entry(self._selector, self.children, nodes)


def _is_renamed(kind: type[Any]) -> bool:
    """Whether it is an enum that is stored by other words than it is shown by."""
    return issubclass(kind, Enum) and any(member.name != member.value for member in kind)
