"""Contexts in, one checked graph out; anything that does not fit raises CompositionError with both places and the mend.

Invariants: pure; the order of the contexts changes nothing but which of two clashing places is named first.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any, TypeAlias

from projections.declare import Projection
from projections.timeline import Timeline
from schema.declare import BoundedContext, Example, Find, Get
from schema.errors import CompositionError
from schema.marks import ENTITY, EXTENSION, EntityMark, ExtensionMark
from schema.model.commands import CommandReader
from schema.model.fields import DERIVED, FieldReader
from schema.model.graph import CommandModel, FieldModel, Graph, ObjectModel, RootModel, camel
from schema.model.places import hints_of, place_of
from schema.model.rows import check_rows
from schema.model.said import check_mark, check_said
from schema.per_key import Measured

RESERVED_ROOTS = ("node", "nodes")
RESERVED_TYPES = (
    *("Query", "Mutation", "Subscription", "Node", "PageInfo"),
    *("Receipt", "AggregateVersion", "FieldProblem", "CommandRefused", "VersionConflict", "OutcomeUnknown"),
    *("String", "Int", "Float", "Boolean", "ID", "Decimal", "DateTime", "Date"),
)
ACTIVITY_TYPES = ("Activity", "ActivityConnection", "ActivityEdge", "Lineage")
"""Taken where a timeline is shown."""


ReadModel: TypeAlias = Projection[Any, Any] | Timeline[Any]


def build_graph(contexts: Sequence[BoundedContext], served: Sequence[ReadModel]) -> Graph:
    """Checks the contexts against each other and against the read models that are served. Raises CompositionError."""
    owners = _owners(contexts, [model for model in served if isinstance(model, Projection)])
    reader = FieldReader(owners, [model for model in served if isinstance(model, Timeline)])
    objects: dict[str, ObjectModel] = {}
    extensions = _extensions(contexts, owners)
    for cls, context in owners.items():
        objects[cls.__name__] = _entity(cls, context, reader, extensions.get(cls, []))
    parts = reader.parts()
    for name, model in parts.items():
        _claim_name(name, model.cls, {**{n: o.cls for n, o in objects.items()}})
        objects[name] = model
    queries = _queries(contexts, reader)
    check_rows(objects, queries)
    commands = CommandReader(owners, reader.enum)
    mutations = _mutations(contexts, commands)
    enums = reader.enums
    timelines = reader.per_key.timelines
    _check_names(objects, {**enums}, commands, mutations, RESERVED_TYPES + (ACTIVITY_TYPES if timelines else ()))
    return Graph(
        objects=dict(sorted(objects.items())),
        enums=dict(sorted(enums.items())),
        inputs=dict(sorted(commands.inputs.items())),
        queries=dict(sorted(queries.items())),
        commands=dict(sorted(mutations.items())),
        examples=_examples(contexts),
        timelines=dict(sorted(timelines.items())),
    )


def _examples(contexts: Sequence[BoundedContext]) -> tuple[Example, ...]:
    """Queries before mutations: a newcomer looks before changing something."""
    found = [example for context in contexts for example in context.examples]
    return tuple(sorted(found, key=lambda example: "mutation" in example.query.partition("{")[0]))


def _owners(
    contexts: Sequence[BoundedContext], projections: Sequence[Projection[Any, Any]]
) -> dict[type[Any], BoundedContext]:
    """Which context owns each entity class."""
    owners: dict[type[Any], BoundedContext] = {}
    by_type: dict[str, type[Any]] = {}
    by_projection: dict[str, type[Any]] = {}
    served = {projection.name: projection for projection in projections}
    names: set[str] = set()
    for context in contexts:
        if context.name in names:
            raise CompositionError(
                f"two contexts are named {context.name!r}", where="schema/catalog.py", mend="give each its own name"
            )
        names.add(context.name)
        for cls in context.entities:
            mark: EntityMark | None = cls.__dict__.get(ENTITY)
            where = f"context {context.name!r}, {place_of(cls)}"
            if mark is None:
                raise CompositionError(
                    f"{cls.__name__} is not an entity", where=where, mend="decorate it with @entity(projection)"
                )
            _claim_name(cls.__name__, cls, by_type)
            by_type[cls.__name__] = cls
            other = by_projection.setdefault(mark.projection.name, cls)
            if other is not cls:
                raise CompositionError(
                    f"{other.__name__} and {cls.__name__} both show the projection {mark.projection.name!r}",
                    where=f"{place_of(other)} and {place_of(cls)}",
                    mend="keep one entity per projection",
                )
            if served.get(mark.projection.name) is not mark.projection:
                raise CompositionError(
                    f"the projection {mark.projection.name!r} is not served",
                    where=f"{where} and projections/catalog.py",
                    mend=f"add it to PROJECTIONS, or take {cls.__name__} out of its context",
                )
            owners[cls] = context
    _check_owners(owners)
    return owners


def _check_owners(owners: dict[type[Any], BoundedContext]) -> None:
    """One aggregate has one owner, whoever shows it: a token names the owner, and binds every read model of the aggregate."""
    seen: dict[tuple[str, str], tuple[str, type[Any]]] = {}
    for cls, context in owners.items():
        mark: EntityMark = cls.__dict__[ENTITY]
        owner = mark.owner or context.name
        for topic in mark.projection.topics:
            other_owner, other = seen.setdefault((topic, mark.projection.aggregate), (owner, cls))
            if other_owner != owner:
                raise CompositionError(
                    f"{other.__name__} and {cls.__name__} show the aggregate {mark.projection.aggregate!r} "
                    f"of {other_owner!r} and {owner!r}",
                    where=f"{place_of(other)} and {place_of(cls)}",
                    mend="name the context that owns it on the other: @entity(..., owner=...)",
                )


def _claim_name(name: str, cls: type[Any], taken: dict[str, type[Any]]) -> None:
    other = taken.get(name)
    if other is not None and other is not cls:
        raise CompositionError(
            f"two types are named {name}", where=f"{place_of(other)} and {place_of(cls)}", mend="rename one of them"
        )


def _extensions(
    contexts: Sequence[BoundedContext], owners: dict[type[Any], BoundedContext]
) -> dict[type[Any], list[tuple[type[Any], BoundedContext]]]:
    found: dict[type[Any], list[tuple[type[Any], BoundedContext]]] = {}
    for context in contexts:
        for cls in context.extensions:
            mark: ExtensionMark | None = cls.__dict__.get(EXTENSION)
            where = f"context {context.name!r}, {place_of(cls)}"
            if mark is None:
                raise CompositionError(
                    f"{cls.__name__} is not an extension", where=where, mend="decorate it with @extension(Entity)"
                )
            if mark.extends not in owners:
                raise CompositionError(
                    f"{cls.__name__} extends {mark.extends.__name__}, which no composed context owns",
                    where=f"{where} and {place_of(mark.extends)}",
                    mend=f"add the context of {mark.extends.__name__} to schema/catalog.py, or remove {cls.__name__}",
                )
            found.setdefault(mark.extends, []).append((cls, context))
    return found


def _entity(
    cls: type[Any],
    context: BoundedContext,
    reader: FieldReader,
    extensions: Sequence[tuple[type[Any], BoundedContext]],
) -> ObjectModel:
    mark: EntityMark = cls.__dict__[ENTITY]
    view = mark.projection.view
    fields: dict[str, FieldModel] = reader.fields(cls, view, context.name, is_entity=True)
    for extension, by in extensions:
        for name, model in reader.fields(extension, view, by.name, is_entity=True, only_edges=True).items():
            if name in fields:
                raise CompositionError(
                    f"{cls.__name__}.{camel(name)} is declared twice",
                    where=f"{fields[name].place} and {model.place}",
                    mend="rename one of them",
                )
            fields[name] = model
    for name in DERIVED:
        if name in view.__struct_fields__:
            raise CompositionError(
                f"{view.__name__} stores {name!r}, which every entity has of itself",
                where=f"{place_of(view)} and {place_of(cls)}",
                mend="rename the view's field",
            )
    check_mark(mark, place_of(cls))
    if mark.rows is not None and mark.rows.field not in view.__struct_fields__:
        raise CompositionError(
            f"the row rule goes by {mark.rows.field!r}, which {view.__name__} does not have",
            where=f"{place_of(cls)} and {place_of(view)}",
            mend="name a field of the view",
        )
    return ObjectModel(
        name=cls.__name__,
        context=context.name,
        owner=mark.owner or context.name,
        cls=cls,
        view=view,
        projection=mark.projection,
        fields=fields,
        description=cls.__doc__,
        tags=tuple(mark.tags),
        rows=mark.rows,
    )


def _queries(contexts: Sequence[BoundedContext], reader: FieldReader) -> dict[str, RootModel]:
    found: dict[str, RootModel] = {}
    for context in contexts:
        if context.query is None:
            continue
        hints = hints_of(context.query)
        for name in _declared_names(context.query, hints):
            place = f"{place_of(context.query)}.{name}"
            declaration = context.query.__dict__.get(name)
            _claim_root(name, place, {n: m.place for n, m in found.items()})
            if isinstance(declaration, (Measured, Get, Find)):
                check_said(declaration.metadata, place)
            if isinstance(declaration, Measured):
                kind, by = reader.per_key.root(name, hints.get(name), declaration, place)
                found[name] = RootModel(name, context.name, declaration, "", place, kind, by)
            elif isinstance(declaration, (Get, Find)):
                target = reader.edges.root_target(hints.get(name), declaration, place)
                found[name] = RootModel(name, context.name, declaration, target, place)
            else:
                mend = "set it to get(projection), find(projection, index) or measure(projection, measure)"
                raise CompositionError(f"{name} is not a query", where=place, mend=mend)
    return found


def _mutations(contexts: Sequence[BoundedContext], reader: CommandReader) -> dict[str, CommandModel]:
    found: dict[str, CommandModel] = {}
    for context in contexts:
        if context.mutation is None:
            continue
        for name in _declared_names(context.mutation, {}):
            place = f"{place_of(context.mutation)}.{name}"
            _claim_root(name, place, {n: m.place for n, m in found.items()})
            model = reader.command(name, context.mutation.__dict__[name], context.name, place)
            check_said(model.metadata, place)
            for other in found.values():
                if other.input == model.input:
                    raise CompositionError(
                        f"two commands take {model.input}",
                        where=f"{other.place} and {place}",
                        mend="give each command an input of its own: it names the intent",
                    )
            found[name] = model
    return found


def _declared_names(cls: type[Any], hints: dict[str, Any]) -> list[str]:
    names = dict.fromkeys(hints)
    names.update(dict.fromkeys(name for name in cls.__dict__ if not name.startswith("__")))
    return list(names)


def _claim_root(name: str, place: str, taken: dict[str, str]) -> None:
    if name in RESERVED_ROOTS:
        raise CompositionError(f"{name!r} is the gateway's own root field", where=place, mend="choose another name")
    for other, where in taken.items():
        if camel(other) == camel(name):
            raise CompositionError(
                f"two contexts declare the root field {camel(name)!r}",
                where=f"{where} and {place}",
                mend="rename one of them, or remove one",
            )


def _check_names(
    objects: dict[str, ObjectModel],
    enums: dict[str, type[Enum]],
    commands: CommandReader,
    mutations: dict[str, CommandModel],
    reserved: Sequence[str],
) -> None:
    """No two types of one name, those that composition makes included."""
    places = dict.fromkeys(reserved, "the gateway's own types")
    for name, model in objects.items():
        if model.projection is not None:
            places |= {f"{name}Connection": f"the lists of {place_of(model.cls)}", f"{name}Edge": place_of(model.cls)}
    for command in mutations.values():
        places |= {f"{command.title}Accepted": command.place, f"{command.title}Result": command.place}
    found = [(name, place_of(model.cls)) for name, model in objects.items()]
    found += [(name, place_of(kind)) for name, kind in enums.items()]
    found += list(commands.places.items())
    for name, place in found:
        if name in places and places[name] != place:
            raise CompositionError(
                f"two types are named {name}", where=f"{places[name]} and {place}", mend="rename one of them"
            )
        places[name] = place
