"""The scalars of the graph in their wire form, stricter than the library's own.

Invariants: what is read is finite, bounded and zoned; what is written equals what is stored:
times end in `Z`, decimals are strings.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import strawberry
from strawberry.types.scalar import ScalarDefinition

from projections.errors import WireError
from projections.wire import plain_decimal, utc
from schema.errors import BadInputError

MAX_DECIMAL_CHARACTERS: Final = 64


def parse_decimal(value: Any) -> Decimal:
    """From a string or a whole number. Raises BadInputError; floats are refused: they are not exact."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise BadInputError('a Decimal is a string such as "12.30", or a whole number')
    text = value if isinstance(value, str) else str(value) if abs(value) < 10**24 else "x"
    if len(text) > MAX_DECIMAL_CHARACTERS or not text.isascii() or "_" in text or text != text.strip():
        raise BadInputError("not a Decimal")
    try:
        return plain_decimal(Decimal(text))
    except (InvalidOperation, WireError):
        raise BadInputError("not a finite Decimal of at most 24 digits before and 18 behind the point") from None


def parse_datetime(value: Any) -> datetime:
    """From an RFC 3339 string with a zone, as UTC. Raises BadInputError."""
    try:
        return utc(datetime.fromisoformat(value))
    except (ValueError, TypeError, WireError, OverflowError):
        raise BadInputError("a DateTime is an ISO 8601 time with a zone, such as 2026-01-31T12:00:00Z") from None


def parse_date(value: Any) -> date:
    """From an ISO 8601 date. Raises BadInputError."""
    try:
        if len(value) != 10:
            raise ValueError
        return date.fromisoformat(value)
    except (ValueError, TypeError):
        raise BadInputError("a Date is an ISO 8601 date, such as 2026-01-31") from None


def write_datetime(value: datetime) -> str:
    """`2026-01-31T12:00:00Z`, with microseconds only when there are some, as stored."""
    return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


SCALARS: Final[dict[object, ScalarDefinition]] = {
    Decimal: strawberry.scalar(
        name="Decimal",
        description='An exact decimal number, a string in JSON: "12.30".',
        serialize=lambda value: format(value, "f"),
        parse_value=parse_decimal,
    ),
    datetime: strawberry.scalar(
        name="DateTime",
        description="An instant, ISO 8601 in UTC: 2026-01-31T12:00:00Z.",
        serialize=write_datetime,
        parse_value=parse_datetime,
    ),
    date: strawberry.scalar(
        name="Date",
        description="A calendar date, ISO 8601: 2026-01-31.",
        serialize=date.isoformat,
        parse_value=parse_date,
    ),
}
"""For StrawberryConfig(scalar_map=...)."""
