"""What the decorators `@entity`, `@part` and `@extension` leave on an author's class, and under which names.

Invariants: frozen; a class is marked in its own dictionary, so a subclass is not what its base is.
"""

from __future__ import annotations

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
    tags: tuple[str, ...]
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
