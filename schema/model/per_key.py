"""Reads fields of what is kept per key, measures and timelines, and holds each against its read model.

Invariants: a field has the type that its number has; what it is kept by is a text, as an entity's key is, or is named and typed, so
that a root field can ask for it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Any, Final, get_args, get_origin

from projections.errors import DefinitionError
from projections.measure import Measure
from projections.shape import FieldType, struct_fields, type_hints, unwrap
from projections.timeline import Timeline
from schema.activity import Activity
from schema.declare import Connection
from schema.errors import CompositionError
from schema.model.graph import FieldModel, KeptBy, Kind, camel
from schema.model.places import add_or_use, place_of, read_type
from schema.per_key import Measured, Timed

_ASKED_FOR: Final = (str, int, bool, date)


class PerKeyReader:
    """Reads measures and timelines.

    Args:
        timelines: those that are served.
        entity_of: the entity of a projection by name, for a place; raises CompositionError.
        enum: takes in an enum.
    """

    def __init__(
        self,
        timelines: Sequence[Timeline[Any]],
        entity_of: Callable[[str, str], type[Any]],
        enum: Callable[[type[Any]], None],
    ) -> None:
        self._served = timelines
        self._entity_of = entity_of
        self._enum = enum
        self.timelines: dict[str, Timeline[Any]] = {}

    def measure(self, name: str, annotation: Any, declaration: Measured, place: str) -> FieldModel:
        """A number of an entity, kept by the entity's key."""
        kind = self._number(name, annotation, declaration, place)
        by = kept_by(declaration, place)
        if by.type is not None and by.type.item is not str:
            raise CompositionError(
                f"the measure {declaration.measure.name!r} is kept per {by.name or 'value'}, a {by.type.spelled()}, "
                "which no entity has as its key",
                where=f"{place} and {place_of(declaration.projection.view)}",
                mend="keep one per the field that holds the entity's key, or make this a field of Query",
            )
        return FieldModel(name, Kind.MEASURE, kind, declaration.metadata, place, None, declaration)

    def root(self, name: str, annotation: Any, declaration: Measured, place: str) -> tuple[FieldType, KeptBy]:
        """A number by itself: its type, and the argument that it takes."""
        kind = self._number(name, annotation, declaration, place)
        by = kept_by(declaration, place)
        if not by.name or by.type is None or not _can_be_asked_for(by.type):
            raise CompositionError(
                f"{camel(name)} needs an argument, and what the measure {declaration.measure.name!r} is kept by has no "
                "name or no type for one",
                where=f"{place} and {place_of(declaration.projection.view)}",
                mend="keep it by a field of the view, or by a named function that is annotated with what it returns "
                "(str, int, bool, date or an Enum)",
            )
        self._enum(by.type.item)
        return kind, by

    def timeline(self, name: str, annotation: Any, declaration: Timed, place: str) -> FieldModel:
        """The timeline of an entity."""
        timeline = declaration.timeline
        _check_is(timeline, Timeline, place)
        if not any(timeline is served for served in self._served):
            raise CompositionError(
                f"the timeline {timeline.name!r} is not served",
                where=f"{place} and projections/catalog.py",
                mend=f"add it to the catalog, or remove {camel(name)}",
            )
        if get_origin(annotation) is not Connection or get_args(annotation)[0] is not Activity:
            raise CompositionError(
                f"{camel(name)} shows the timeline {timeline.name!r}",
                where=place,
                mend="annotate it as Connection[Activity]",
            )
        self.timelines[timeline.name] = timeline
        return FieldModel(
            name, Kind.TIMELINE, FieldType(Activity), declaration.metadata, place, None, declaration, connection=True
        )

    def _number(self, name: str, annotation: Any, declaration: Measured, place: str) -> FieldType:
        """The annotation, checked against the measure, and the measure against its projection."""
        projection, measure = declaration.projection, declaration.measure
        _check_is(measure, Measure, place)
        if not any(measure is known for known in projection.measures):
            raise CompositionError(
                f"the projection {projection.name!r} does not keep the measure {measure.name!r}",
                where=f"{place} and {projection.evolve.__module__}",
                mend=add_or_use([known.name for known in projection.measures]),
            )
        self._entity_of(projection.name, place)
        kind = read_type(annotation, place)
        fits = _types_of(measure, projection.view)
        if kind.is_list or kind.nullable != measure.is_extreme or kind.item not in fits:
            wanted = " or ".join(FieldType(item, nullable=measure.is_extreme).spelled() for item in fits)
            raise CompositionError(
                f"{camel(name)} is annotated {kind.spelled()}, and is a {measure.kind}",
                where=f"{place} and {place_of(projection.view)}",
                mend=f"annotate it as {wanted}",
            )
        return kind


def _check_is(value: Any, kind: type[Any], place: str) -> None:
    if not isinstance(value, kind):
        raise CompositionError(
            f"a {type(value).__name__} stands where a {kind.__name__} should",
            where=place,
            mend=f"give it the {kind.__name__} of the read model; in a class, an earlier field hides what the module has under "
            "its name",
        )


def _types_of(measure: Measure[Any], view: type[Any]) -> tuple[type[Any], ...]:
    """What a field that shows the measure may be annotated as."""
    if measure.of is None:
        return (int,)
    item = unwrap(struct_fields(view, where=place_of(view))[measure.of]).item
    return (int, Decimal) if item is int and not measure.is_extreme else (item,)


def kept_by(declaration: Measured, place: str) -> KeptBy:
    """What a measure is kept by: its name and type, as far as they are said (a function may be neither named nor annotated)."""
    by, view = declaration.measure.by, declaration.projection.view
    if isinstance(by, str):
        return KeptBy(by, unwrap(struct_fields(view, where=place_of(view))[by]))
    name = by.__name__ if inspect.isfunction(by) and by.__name__ != "<lambda>" else None
    try:
        hints = type_hints(by, name or "the function", where=place) if inspect.isfunction(by) else {}
    except DefinitionError as fault:
        raise CompositionError(fault.what, where=place, mend=fault.mend) from None
    return KeptBy(name, read_type(hints["return"], place) if "return" in hints else None)


def _can_be_asked_for(kind: FieldType) -> bool:
    return not kind.is_list and (kind.item in _ASKED_FOR or issubclass(kind.item, Enum))
