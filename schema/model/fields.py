"""Reads the fields of entities, parts and extensions, and holds each against the view that stores it.

Invariants: a stored field has the view's type; an edge leads to an entity that a composed context owns, along a field or an index
that is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import Enum
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
from strawberry.types.field import StrawberryField

from projections.declare import PersonalMark
from projections.shape import FieldType, struct_fields, unwrap
from schema.declare import (
    ENTITY,
    PART,
    BoundedContext,
    Computed,
    Connection,
    EntityMark,
    Find,
    Get,
    Many,
    Metadata,
    One,
    PartMark,
    Stored,
)
from schema.errors import CompositionError
from schema.model.graph import FieldModel, Kind, ObjectModel, camel

DERIVED = ("id", "key", "version")


def place_of(cls: type[Any]) -> str:
    """Where a class is, for an author: schema.contexts.orders.Order."""
    return f"{cls.__module__}.{cls.__qualname__}"


def hints_of(cls: type[Any]) -> dict[str, Any]:
    """Resolved annotations of a declaring class. Raises CompositionError for a name that is not there."""
    try:
        return get_type_hints(cls, include_extras=True)
    except NameError as fault:
        raise CompositionError(
            f"an annotation names {fault.name!r}, which its module does not have",
            where=place_of(cls),
            mend="import it at run time (not under TYPE_CHECKING)",
        ) from None


class FieldReader:
    """Reads declaring classes; collects the parts and enums that they lead to."""

    def __init__(self, owners: Mapping[type[Any], BoundedContext]) -> None:
        self._owners = owners
        self._parts: dict[type[Any], ObjectModel] = {}
        self.enums: dict[str, type[Enum]] = {}

    def parts(self) -> dict[str, ObjectModel]:
        """The parts met so far, by GraphQL name."""
        return {cls.__name__: model for cls, model in self._parts.items()}

    def fields(
        self,
        cls: type[Any],
        view: type[msgspec.Struct],
        context: str,
        *,
        is_entity: bool,
        only_edges: bool = False,
    ) -> dict[str, FieldModel]:
        """The fields that a class declares over a view."""
        found: dict[str, FieldModel] = {}
        stored = struct_fields(view, where=place_of(view))
        hints = hints_of(cls)
        for name in dict.fromkeys([*hints, *(n for n, v in vars(cls).items() if isinstance(v, StrawberryField))]):
            place = f"{place_of(cls)}.{name}"
            if name in DERIVED and is_entity:
                raise CompositionError(f"{name!r} is derived", where=place, mend="remove it; every entity has it")
            if name in found:
                continue
            declaration = cls.__dict__.get(name, Stored(Metadata()))
            if isinstance(declaration, StrawberryField):
                found[name] = FieldModel(name, Kind.CODE, FieldType(object), Metadata(), place, code=declaration)
                continue
            annotation = hints.get(name)
            if isinstance(declaration, Stored):
                if only_edges:
                    raise CompositionError(
                        f"{camel(name)} is a stored field in an extension",
                        where=place,
                        mend="an extension adds one(...), many(...) or computed(...)",
                    )
                found[name] = self._stored(name, annotation, declaration, stored, view, context, place)
            elif isinstance(declaration, Computed):
                found[name] = self._computed(name, annotation, declaration, stored, view, place)
            elif isinstance(declaration, One):
                found[name] = self._one(name, annotation, declaration, stored, view, place)
            elif isinstance(declaration, Many):
                if not is_entity:
                    raise CompositionError("a part has no key to list by", where=place, mend="move it to the entity")
                found[name] = self._many(name, annotation, declaration, place)
            else:
                raise CompositionError(
                    f"{declaration!r} is not a field", where=place, mend="use field, computed, one or many"
                )
        return found

    def root_target(self, annotation: Any, declaration: Get | Find, place: str) -> str:
        """The entity that a query leads to, its annotation checked."""
        entity = self._entity_of(declaration.projection.name, place)
        if isinstance(declaration, Get):
            kind = self._unwrap(annotation, place)
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

    def _stored(
        self,
        name: str,
        annotation: Any,
        declaration: Stored,
        stored: Mapping[str, Any],
        view: type[msgspec.Struct],
        context: str,
        place: str,
    ) -> FieldModel:
        there = f"{place_of(view)}.{name}"
        if name not in stored:
            raise CompositionError(
                f"{camel(name)} is not stored",
                where=f"{place} and {place_of(view)}",
                mend=f"add {name!r} to {view.__name__} (and raise the projection's version), or remove the field",
            )
        public, private = self._unwrap(annotation, place), unwrap(stored[name])
        personal = any(isinstance(mark, PersonalMark) for mark in (*public.marks, *private.marks))
        mark: PartMark | None = public.item.__dict__.get(PART)
        item = mark.part if mark else public.item
        if (
            item is not private.item
            or public.is_list != private.is_list
            or (private.nullable and not public.nullable)
            or (private.item_nullable and not public.item_nullable)
        ):
            raise CompositionError(
                f"{camel(name)} is {public.spelled()} here and {private.spelled()} there",
                where=f"{place} and {there}",
                mend="give both the same type; a nested object is a class decorated with @part(...)",
            )
        if mark is not None:
            self._part(public.item, mark, context)
            return FieldModel(
                name, Kind.NESTED, public, declaration.metadata, place, public.item.__name__, declaration,
                personal=personal,
            )  # fmt: skip
        self._enum(public.item)
        return FieldModel(name, Kind.STORED, public, declaration.metadata, place, None, declaration, personal=personal)

    def _computed(
        self,
        name: str,
        annotation: Any,
        declaration: Computed,
        stored: Mapping[str, Any],
        view: type[msgspec.Struct],
        place: str,
    ) -> FieldModel:
        for need in declaration.needs:
            if need not in stored:
                raise CompositionError(
                    f"{camel(name)} needs {need!r}, which is not stored",
                    where=f"{place} and {place_of(view)}",
                    mend=f"use one of {', '.join(sorted(stored))}",
                )
        kind = self._unwrap(annotation, place)
        self._enum(kind.item)
        return FieldModel(name, Kind.COMPUTED, kind, declaration.metadata, place, None, declaration)

    def _one(
        self,
        name: str,
        annotation: Any,
        declaration: One,
        stored: Mapping[str, Any],
        view: type[msgspec.Struct],
        place: str,
    ) -> FieldModel:
        via = declaration.via
        if via not in stored or unwrap(stored[via]).item is not str or unwrap(stored[via]).is_list:
            raise CompositionError(
                f"{camel(name)} goes via {via!r}, which {view.__name__} does not store as a string",
                where=f"{place} and {place_of(view)}",
                mend=f"use the field of {view.__name__} that holds the key",
            )
        kind = self._unwrap(annotation, place)
        entity = self._entity_of(declaration.projection.name, place)
        if kind.item is not entity or kind.is_list:
            raise CompositionError(
                f"{camel(name)} is annotated {kind.spelled()} but leads to {entity.__name__}",
                where=f"{place} and {place_of(entity)}",
                mend=f"annotate it as {entity.__name__} | None",
            )
        return FieldModel(
            name, Kind.ONE, kind, declaration.metadata, place, entity.__name__, declaration, via=via
        )  # fmt: skip

    def _many(self, name: str, annotation: Any, declaration: Many, place: str) -> FieldModel:
        entity = self._entity_of(declaration.projection.name, place)
        self._check_index(declaration, place)
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
        kind = self._unwrap(inner, place)
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
                mend=f"use one of {', '.join(known.name for known in projection.indexes) or '(none)'}, or add it there",
            )
        for name in index.fields:
            self._enum(unwrap(struct_fields(projection.view, where=place)[name]).item)

    def _entity_of(self, projection: str, place: str) -> type[Any]:
        for cls in self._owners:
            mark: EntityMark = cls.__dict__[ENTITY]
            if mark.projection.name == projection:
                return cls
        raise CompositionError(
            f"{place} leads to the projection {projection!r}, which no composed context shows",
            where=f"{place} and schema/catalog.py",
            mend="add the context that owns it to the catalog, or remove what leads to it",
        )

    def _part(self, cls: type[Any], mark: PartMark, context: str) -> None:
        if cls in self._parts:
            return
        model = ObjectModel(cls.__name__, context, cls, mark.part, None, {}, cls.__doc__, (), None)
        self._parts[cls] = model
        self._parts[cls] = replace(model, fields=self.fields(cls, mark.part, context, is_entity=False))

    def _enum(self, kind: type[Any]) -> None:
        if issubclass(kind, Enum):
            other = self.enums.setdefault(kind.__name__, kind)
            if other is not kind:
                raise CompositionError(
                    f"two enums are named {kind.__name__}",
                    where=f"{place_of(other)} and {place_of(kind)}",
                    mend="rename one of them",
                )

    def _unwrap(self, annotation: Any, place: str) -> FieldType:
        try:
            return unwrap(annotation)
        except TypeError as fault:
            raise CompositionError(
                f"the annotation is {fault}",
                where=place,
                mend="use a scalar, an Enum, a @part, an @entity, a list of one, Connection[...], or `| None`",
            ) from None
