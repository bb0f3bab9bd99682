"""Holds row rules against the lists and measures that would show the rows.

Invariants: a list or a measure over an entity with a row rule goes by the rule's field, so that what is hidden is never counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from projections.declare import Index, Projection
from projections.shape import struct_fields, unwrap
from schema.declare import Find, Many
from schema.errors import CompositionError
from schema.marks import RowRule
from schema.model.graph import ObjectModel, RootModel
from schema.model.places import place_of
from schema.per_key import Measured, Timed


def check_rows(objects: Mapping[str, ObjectModel], queries: Mapping[str, RootModel]) -> None:
    """Raises CompositionError for a list or measure whose rows a rule could not keep apart."""
    ruled = {
        model.projection.name: model
        for model in objects.values()
        if model.projection is not None and model.rows is not None
    }
    for model in ruled.values():
        _check_field(model)
    declarations: list[tuple[str, Any]] = [(root.place, root.declaration) for root in queries.values()]
    declarations += [(field.place, field.declaration) for model in objects.values() for field in model.fields.values()]
    for place, declaration in declarations:
        if isinstance(declaration, Timed):
            _check_timeline(place, declaration, ruled.values())
        if isinstance(declaration, Find | Many | Measured) and declaration.projection.name in ruled:
            _check(place, declaration, ruled[declaration.projection.name])


def _check_field(model: ObjectModel) -> None:
    rule: RowRule | None = model.rows
    if rule is None:
        return
    kind = unwrap(struct_fields(model.view, where=place_of(model.view))[rule.field])
    if not kind.filterable:
        raise CompositionError(
            f"the row rule goes by {rule.field!r}, a {kind.spelled()}, which has no short text form",
            where=f"{place_of(model.cls)} and {place_of(model.view)}",
            mend="go by a str, int, bool, date or Enum",
        )


def _check(place: str, declaration: Find | Many | Measured, model: ObjectModel) -> None:
    rule = model.rows
    if rule is None:
        return
    if isinstance(declaration, Measured):
        goes_by: tuple[Any, ...] = (declaration.measure.by,)
        what = f"the measure {declaration.measure.name!r}"
        mend = f"keep the measure by {rule.field!r}, or take it out of the graph"
    else:
        index: Index[Any] = declaration.index
        goes_by = index.fields
        what = f"the index {index.name!r}"
        mend = f"add {rule.field!r} to the index's filters (and raise the projection's version)"
    if rule.field not in goes_by:
        raise CompositionError(
            f"{what} does not go by {rule.field!r}, so it would count rows that the row rule of {model.name} hides",
            where=f"{place} and {place_of(model.cls)}",
            mend=mend,
        )


def _check_timeline(place: str, declaration: Timed, ruled: Iterable[ObjectModel]) -> None:
    for model in ruled:
        if model.projection is not None and set(model.projection.topics) & set(declaration.timeline.topics):
            raise CompositionError(
                f"the timeline {declaration.timeline.name!r} tells of the topics of {model.name}, whose row rule it does not keep",
                where=f"{place} and {place_of(model.cls)}",
                mend="take the timeline out of the graph, or build it of other topics",
            )


def ruled_field(projection: Projection[Any, Any], objects: Mapping[str, ObjectModel]) -> str | None:
    """The field that the rows of a projection are kept apart by: a filter that the principal gives, not the client."""
    for model in objects.values():
        if model.projection is not None and model.projection.name == projection.name and model.rows is not None:
            return model.rows.field
    return None
