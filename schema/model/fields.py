"""Reads the fields of entities, parts and extensions, and holds each against the view that stores it.

Invariants: a stored field has the view's type; an edge leads to an entity that a composed context owns, along a field or an index
that is there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import Enum
from typing import Any

import msgspec
from strawberry.types.field import StrawberryField

from projections.declare import PersonalMark
from projections.shape import FieldType, struct_fields, unwrap
from projections.timeline import Timeline
from schema.declare import BoundedContext, Computed, Find, Get, Many, Metadata, One, Stored
from schema.errors import CompositionError
from schema.marks import PART, PartMark
from schema.model.edges import EdgeReader
from schema.model.graph import FieldModel, Kind, ObjectModel, camel
from schema.model.per_key import PerKeyReader
from schema.model.places import hints_of, place_of, read_type
from schema.model.said import check_computed, check_said
from schema.per_key import Measured, Timed

DERIVED = ("id", "key", "version")
_DECLARATIONS = (StrawberryField, Stored, Computed, One, Many, Measured, Timed, Get, Find)


class FieldReader:
    """Reads declaring classes; collects the parts and enums that they lead to.

    `edges` reads what leads to entities, `per_key` what is kept per key.
    """

    def __init__(self, owners: Mapping[type[Any], BoundedContext], timelines: Sequence[Timeline[Any]]) -> None:
        self.edges = EdgeReader(owners, self.enum)
        self.per_key = PerKeyReader(timelines, self.edges.entity_of, self.enum)
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
        taken: dict[str, str] = {}
        for name in dict.fromkeys([*hints, *(n for n, v in vars(cls).items() if isinstance(v, _DECLARATIONS))]):
            place = f"{place_of(cls)}.{name}"
            self._check_name(name, place, taken)
            if name in DERIVED and is_entity:
                raise CompositionError(f"{name!r} is derived", where=place, mend="remove it; every entity has it")
            declaration = cls.__dict__.get(name, Stored(Metadata()))
            if isinstance(declaration, StrawberryField):
                found[name] = FieldModel(name, Kind.CODE, FieldType(object), Metadata(), place, code=declaration)
                continue
            if name not in hints:
                raise CompositionError(
                    f"{camel(name)} has no annotation", where=place, mend="write the type: `name: Type | None = ...`"
                )
            annotation = hints[name]
            said = getattr(declaration, "metadata", None)
            if isinstance(said, Metadata):
                check_said(said, place)
            if isinstance(declaration, Stored):
                if only_edges:
                    raise CompositionError(
                        f"{camel(name)} is a stored field in an extension",
                        where=place,
                        mend="an extension adds one(...), many(...), computed(...), measure(...) or timeline(...)",
                    )
                found[name] = self._stored(name, annotation, declaration, stored, view, context, place)
            elif isinstance(declaration, Computed):
                found[name] = self._computed(name, annotation, declaration, stored, view, place)
            elif isinstance(declaration, One):
                found[name] = self.edges.one(name, annotation, declaration, stored, view, place)
            elif not is_entity and isinstance(declaration, (Many, Measured, Timed)):
                raise CompositionError("a part has no key to list by", where=place, mend="move it to the entity")
            else:
                found[name] = self._by_key(name, annotation, declaration, place)
        return found

    def _by_key(self, name: str, annotation: Any, declaration: Any, place: str) -> FieldModel:
        """A field that is read by the entity's key."""
        if isinstance(declaration, Many):
            return self.edges.many(name, annotation, declaration, place)
        if isinstance(declaration, Measured):
            return self.per_key.measure(name, annotation, declaration, place)
        if isinstance(declaration, Timed):
            return self.per_key.timeline(name, annotation, declaration, place)
        mend = "use field, computed, one, many, measure or timeline"
        raise CompositionError(f"{camel(name)} is set to a {type(declaration).__name__}", where=place, mend=mend)

    def _check_name(self, name: str, place: str, taken: dict[str, str]) -> None:
        if name.startswith("_"):
            raise CompositionError(
                f"{name!r} begins with an underscore", where=place, mend="such names are not for fields of a graph"
            )
        if camel(name) in taken:
            raise CompositionError(
                f"two fields are named {camel(name)} in the graph",
                where=f"{taken[camel(name)]} and {place}",
                mend="rename one of them",
            )
        taken[camel(name)] = place

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
        public, private = read_type(annotation, place), unwrap(stored[name])
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
        if mark is None and issubclass(public.item, msgspec.Struct):
            raise CompositionError(
                f"{camel(name)} shows {public.item.__name__}, which belongs to the read model",
                where=f"{place} and {there}",
                mend=f"declare its public type, a class decorated with @part({public.item.__name__}), and use that",
            )
        if mark is not None:
            self._part(public.item, mark, context)
            return FieldModel(
                name, Kind.NESTED, public, declaration.metadata, place, public.item.__name__, declaration,
                personal=personal,
            )  # fmt: skip
        self.enum(public.item)
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
        check_computed(declaration, place)
        kind = read_type(annotation, place)
        self.enum(kind.item)
        return FieldModel(name, Kind.COMPUTED, kind, declaration.metadata, place, None, declaration)

    def _part(self, cls: type[Any], mark: PartMark, context: str) -> None:
        if cls in self._parts:
            return
        for other in self._parts:
            if other.__name__ == cls.__name__:
                raise CompositionError(
                    f"two types are named {cls.__name__}",
                    where=f"{place_of(other)} and {place_of(cls)}",
                    mend="rename one of them",
                )
        model = ObjectModel(cls.__name__, context, context, cls, mark.part, None, {}, cls.__doc__, (), None)
        self._parts[cls] = model
        self._parts[cls] = replace(model, fields=self.fields(cls, mark.part, context, is_entity=False))

    def enum(self, kind: type[Any]) -> None:
        """Takes an enum in. Raises CompositionError for another one of its name; anything else is passed over."""
        if issubclass(kind, Enum):
            other = self.enums.setdefault(kind.__name__, kind)
            if other is not kind:
                raise CompositionError(
                    f"two enums are named {kind.__name__}",
                    where=f"{place_of(other)} and {place_of(kind)}",
                    mend="rename one of them",
                )
