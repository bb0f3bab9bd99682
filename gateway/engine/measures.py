"""Measures as a field shows them.

Invariants: exact; a number that its field's type cannot hold is an error, and never another number.
"""

from __future__ import annotations

from decimal import Context, Decimal
from typing import Any, Final

from gateway.errors import UnreadableDocumentError
from projections.measure import Measure
from projections.shape import FieldType
from projections.wire import MAX_INT, MIN_INT

_EXACT: Final = Context(prec=60)
"""A stored decimal has 24 digits before the point at most, and some of them may be zeros that it is written without."""


def in_type(number: Any, kind: FieldType, measure: Measure[Any], name: str) -> Any:
    """A measure in the type that its field is annotated with. Raises UnreadableDocumentError."""
    if isinstance(number, Decimal) and measure.is_extreme:
        return _padded(number, measure.places)
    if kind.item is Decimal and isinstance(number, int):
        return Decimal(number)
    if kind.item is int and number is not None and not MIN_INT <= number <= MAX_INT:
        raise UnreadableDocumentError(f"{name} is beyond 32 bits: its field is to be a Decimal")
    return number


def _padded(number: Decimal, places: int) -> Decimal:
    """With at least so many digits behind the point: the store orders by value, and does not tell 5.5 from 5.50."""
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or exponent <= -places:
        return number
    return _EXACT.quantize(number, Decimal(1).scaleb(-places))
