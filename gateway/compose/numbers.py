"""Measures as the plain executor resolves them."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from gateway.engine.measures import in_type
from projections.measure import Measure
from projections.shape import FieldType


async def shown_number(asked: Awaitable[Any], kind: FieldType, measure: Measure[Any], name: str) -> Any:
    """A measure in the type that its field is annotated with. Raises UnreadableDocumentError."""
    return in_type(await asked, kind, measure, name)
