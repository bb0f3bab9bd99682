"""What the decorators `@entity`, `@part` and `@extension` leave on an author's class, and under which names.

Invariants: frozen; a class is marked in its own dictionary, so a subclass is not what its base is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from projections.declare import Part, Projection


@dataclass(frozen=True)
class RowRule:
    """Rows are seen only by a principal whose `claim` equals the row's indexed `field`."""

    field: str
    claim: str


@dataclass(frozen=True)
class EntityMark:
    """What `@entity` leaves on the class."""

    projection: Projection[Any, Any]
    tags: Sequence[str]
    rows: RowRule | None
    owner: str | None


@dataclass(frozen=True)
class PartMark:
    """What `@part` leaves on the class."""

    part: type[Part]


@dataclass(frozen=True)
class ExtensionMark:
    """What `@extension` leaves on the class."""

    extends: type[Any]


ENTITY: Final = "__headrace_entity__"
PART: Final = "__headrace_part__"
EXTENSION: Final = "__headrace_extension__"


def as_given(tags: Sequence[str]) -> Sequence[str]:
    """Tags as a tuple. One text where several should stand stays a text: it is refused where its place is known (schema/model)."""
    return tags if isinstance(tags, str) else tuple(tags)
