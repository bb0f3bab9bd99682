"""Reads the edges and root fields of declaring classes.

Invariants: an edge leads to an entity that a composed context owns, along a field or an index that is there; an entity of another
context may not have come yet, so an edge to one is nullable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_args, get_origin

import msgspec

from projections.declare import Projection
from projections.shape import struct_fields, unwrap
from schema.declare import BoundedContext, Connection, Find, Get, Many, One
from schema.errors import CompositionError
from schema.marks import ENTITY, EntityMark
from schema.model.graph import FieldModel, Kind, camel
from schema.model.places import add_or_use, place_of, read_type

PAGING = ("first", "after", "last", "before")
MAX_LIST_LIMIT = 1000


class EdgeReader:
    """Reads edges; hands the enums that they meet to `enum`."""

    def __init__(self, owners: Mapping[type[Any], BoundedContext], enum: Callable[[type[Any]], None]) -> None:
        self._owners = owners
        self._enum = enum

    def root_target(self, annotation: Any, declaration: Get | Find, place: str) -> str:
        """The entity that a query leads to, its annotation checked."""
        if not isinstance(declaration.projection, Projection):
            raise CompositionError(
                f"a {type(declaration.projection).__name__} stands where a Projection should",
                where=place,
                mend="give it a projection; a timeline is shown on an entity, with timeline(...)",
            )
        entity = self.entity_of(declaration.projection.name, place)
        if isinstance(declaration, Get):
            kind = read_type(annotation, place)
            fits = kind.item is entity and kind.nullable and not kind.is_list
            wanted = f"{entity.__name__} | None"
        else:
            fits = get_origin(annotation) is Connection and get_args(annotation)[0] is entity
            wanted = f"Connection[{entity.__name__}]"
            self._check_index(declaration, place)
        if not fits:
            raise CompositionError(
                f"the annotation does not say what {type(declaration).__name__.lower()} gives",
                where=f"{place} and {place_of(entity)}",
                mend=f"annotate it as {wanted}",
            )
        return entity.__name__

    def one(
        self,
        name: str,
        annotation: Any,
        declaration: One,
        stored: Mapping[str, Any],
        view: type[msgspec.Struct],
        place: str,
    ) -> FieldModel:
        """An edge to one entity, along a stored key."""
        via = declaration.via
        if via not in stored or unwrap(stored[via]).item is not str or unwrap(stored[via]).is_list:
            raise CompositionError(
                f"{camel(name)} goes via {via!r}, which {view.__name__} does not store as a string",
                where=f"{place} and {place_of(view)}",
                mend=f"use the field of {view.__name__} that holds the key",
            )
        kind = read_type(annotation, place)
        entity = self.entity_of(declaration.projection.name, place)
        if kind.item is not entity or kind.is_list or not kind.nullable:
            raise CompositionError(
                f"{camel(name)} is annotated {kind.spelled()} but leads to {entity.__name__}",
                where=f"{place} and {place_of(entity)}",
                mend=f"annotate it as {entity.__name__} | None",
            )
        return FieldModel(
            name, Kind.ONE, kind, declaration.metadata, place, entity.__name__, declaration, via=via
        )  # fmt: skip

    def many(self, name: str, annotation: Any, declaration: Many, place: str) -> FieldModel:
        """An edge to the rows of an index that name the parent."""
        entity = self.entity_of(declaration.projection.name, place)
        self._check_index(declaration, place)
        if not 1 <= declaration.limit <= MAX_LIST_LIMIT:
            raise CompositionError(
                f"a limit of {declaration.limit} rows",
                where=place,
                mend=f"take 1 to {MAX_LIST_LIMIT}, or annotate it as Connection[...]",
            )
        required = declaration.index.required
        via = declaration.via or (required[0] if len(required) == 1 else None)
        if via is None or via not in required or len(required) != 1:
            raise CompositionError(
                f"the index {declaration.index.name!r} cannot be read by the parent's key alone",
                where=f"{place} and projection {declaration.projection.name!r}",
                mend=f"use an index with one required filter (it has {', '.join(required) or 'none'})",
            )
        connection = get_origin(annotation) is Connection
        inner = get_args(annotation)[0] if connection else annotation
        kind = read_type(inner, place)
        if kind.item is not entity or kind.nullable or connection == kind.is_list:
            raise CompositionError(
                f"{camel(name)} leads to many {entity.__name__}",
                where=f"{place} and {place_of(entity)}",
                mend=f"annotate it as list[{entity.__name__}] or Connection[{entity.__name__}]",
            )
        for filter_name in declaration.index.optional if not connection else ():
            self._enum(unwrap(struct_fields(declaration.projection.view, where=place)[filter_name]).item)
        return FieldModel(
            name, Kind.MANY, kind, declaration.metadata, place, entity.__name__, declaration,
            connection=connection, index=declaration.index, via=via,
        )  # fmt: skip

    def _check_index(self, declaration: Many | Find, place: str) -> None:
        projection, index = declaration.projection, declaration.index
        if not any(index is known for known in projection.indexes):
            raise CompositionError(
                f"the projection {projection.name!r} does not keep the index {index.name!r}",
                where=f"{place} and {projection.evolve.__module__}",
                mend=add_or_use([known.name for known in projection.indexes]),
            )
        for name in index.fields:
            if camel(name) in PAGING:
                raise CompositionError(
                    f"the filter {name!r} is named as one of Relay's own arguments",
                    where=f"{place} and {projection.evolve.__module__}",
                    mend="rename the field of the view",
                )
            self._enum(unwrap(struct_fields(projection.view, where=place)[name]).item)

    def entity_of(self, projection: str, place: str) -> type[Any]:
        """The entity that shows a projection's views. Raises CompositionError."""
        for cls in self._owners:
            mark: EntityMark = cls.__dict__[ENTITY]
            if mark.projection.name == projection:
                return cls
        raise CompositionError(
            f"{place} leads to the projection {projection!r}, which no composed context shows",
            where=f"{place} and schema/catalog.py",
            mend="add the context that owns it to the catalog, or remove what leads to it",
        )
