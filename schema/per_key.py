"""Declares fields of what a read model keeps per key: its measures and its timelines.

Invariants: declarations are data, frozen, and do nothing by themselves; whether they fit is decided when contexts are composed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from projections.declare import Projection
from projections.measure import Measure
from projections.timeline import Timeline
from schema.declare import Metadata
from schema.marks import as_given


@dataclass(frozen=True)
class Measured:
    """A measure of a projection, for the key of the entity, or for a root field's one argument."""

    projection: Projection[Any, Any]
    measure: Measure[Any]
    metadata: Metadata


@dataclass(frozen=True)
class Timed:
    """A timeline, of the key of the entity."""

    timeline: Timeline[Any]
    metadata: Metadata


def measure(
    projection: Projection[Any, Any],
    measure: Measure[Any],
    *,
    description: str | None = None,
    deprecation: str | None = None,
    tags: Sequence[str] = (),
    scope: str | None = None,
    cost: int = 1,
) -> Any:
    """A number that is kept per key, on the entity whose key that is; or a root field with one argument, what it is kept by.

    Annotate a count as `int`, a total as its field's type (of an int also as `Decimal`, when it may pass 32 bits), a least or
    largest value as its field's type `| None`.
    """
    return Measured(projection, measure, Metadata(description, deprecation, as_given(tags), scope, cost))


def timeline(
    timeline: Timeline[Any],
    *,
    description: str | None = None,
    deprecation: str | None = None,
    tags: Sequence[str] = (),
    scope: str | None = None,
    cost: int = 1,
) -> Any:
    """What happened to the entity, newest first: annotate it as `Connection[Activity]`. It is paged by `first` and `after`."""
    return Timed(timeline, Metadata(description, deprecation, as_given(tags), scope, cost))
