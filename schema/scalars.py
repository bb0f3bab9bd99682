"""The scalars of the graph in their wire form, stricter than the library's own.

Invariants: what is read is finite, bounded and zoned; what is written equals what is stored:
times end in `Z`, decimals are strings.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import strawberry
from strawberry.types.scalar import ScalarDefinition

from projections.errors import WireError
from projections.wire import plain_decimal, utc
from schema.errors import BadInputError

MAX_DECIMAL_CHARACTERS: Final = 64
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_DATETIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ]([01][0-9]|2[0-3]):[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])\Z"
)
"""RFC 3339, and its seconds may be left out. Python's own reader takes all of ISO 8601, weeks and the basic format among it."""


class StoredText(str):
    """A value in its wire form, as it is stored: it is written as it is."""

    __slots__ = ()


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
    """From an RFC 3339 string, as UTC; seconds may be left out. Raises BadInputError."""
    try:
        if not _DATETIME.match(value):
            raise ValueError
        return utc(datetime.fromisoformat(value))
    except (ValueError, TypeError, WireError, OverflowError):
        raise BadInputError("a DateTime is an RFC 3339 time with a zone, such as 2026-01-31T12:00:00Z") from None


def parse_date(value: Any) -> date:
    """From a string, YYYY-MM-DD. Raises BadInputError."""
    try:
        if not _DATE.match(value):
            raise ValueError
        return date.fromisoformat(value)
    except (ValueError, TypeError):
        raise BadInputError("a Date reads YYYY-MM-DD, such as 2026-01-31") from None


def write_decimal(value: Decimal | StoredText) -> str:
    """`12.30`, never with an exponent."""
    return str(value) if isinstance(value, StoredText) else format(value, "f")


def write_date(value: date | StoredText) -> str:
    """`2026-01-31`."""
    return str(value) if isinstance(value, StoredText) else value.isoformat()


def write_datetime(value: datetime | StoredText) -> str:
    """`2026-01-31T12:00:00Z`, with microseconds only when there are some, as stored."""
    if isinstance(value, StoredText):
        return str(value)
    return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


SCALARS: Final[dict[object, ScalarDefinition]] = {
    Decimal: strawberry.scalar(
        name="Decimal",
        description='An exact decimal number, a string in JSON: "12.30".',
        serialize=write_decimal,
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
        serialize=write_date,
        parse_value=parse_date,
    ),
}
"""For StrawberryConfig(scalar_map=...)."""
