"""Between JSON bytes and events or views, in the GraphQL wire form of every scalar.

Invariants: pure; what `decode` returns and what `encode` writes has times in UTC (written with `Z`), whole numbers of 32 bits and
decimals that are finite and bounded, so that stored bytes can be handed to a client as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, Generic, TypeAlias, TypeVar

import msgspec
from msgspec.structs import force_setattr

from projections.errors import WireError
from projections.shape import FieldType, struct_fields, unwrap

S = TypeVar("S", bound=msgspec.Struct)

DECIMAL_DIGITS: Final = 24
"""A decimal has at most this many digits before the point, and its first digit at most 18 places behind it."""

MIN_INT: Final = -(2**31)
MAX_INT: Final = 2**31 - 1
"""What a GraphQL `Int` can be: 32 bits, signed. A larger number that was stored could never be read."""

Check: TypeAlias = Callable[[Any], Any]
"""Takes a value, returns it or its normal form; raises WireError."""


class Codec(Generic[S]):
    """Decodes and encodes one struct type."""

    def __init__(self, struct: type[S]) -> None:
        self._decoder = msgspec.json.Decoder(struct)
        self._check = _struct_check(struct)

    def decode(self, data: bytes) -> S:
        """Raises msgspec.DecodeError (ValidationError for a wrong type), WireError."""
        value = self._decoder.decode(data)
        return value if self._check is None else self._check(value)

    def encode(self, value: S) -> bytes:
        """JSON bytes. Raises WireError for a value with no wire form, TypeError for one that is not of the type."""
        if self._check is not None:
            self._check(value)
        return _encoder.encode(value)


_encoder = msgspec.json.Encoder(decimal_format="string")


def utc(value: datetime) -> datetime:
    """The same instant in UTC. Raises WireError when it carries no zone."""
    if value.tzinfo is UTC:
        return value
    if value.tzinfo is None:
        raise WireError(f"{value.isoformat()} carries no time zone")
    return value.astimezone(UTC)


def plain_decimal(value: Decimal) -> Decimal:
    """The same number, written without an exponent. Raises WireError when it is not finite or out of bounds."""
    if not value.is_finite():
        raise WireError("a decimal that is not finite")
    if value and not -18 <= value.adjusted() < DECIMAL_DIGITS:
        raise WireError(f"a decimal with more than {DECIMAL_DIGITS} digits, or smaller than 1e-18")
    return Decimal(format(value, "f")) if "E" in str(value) else value


def _finite(value: float) -> float:
    if value != value or value in (float("inf"), float("-inf")):
        raise WireError("a float that is not finite")
    return value


def _small(value: int) -> int:
    if not MIN_INT <= value <= MAX_INT:
        raise WireError("a whole number beyond 32 bits, which a GraphQL Int cannot show")
    return value


def _struct_check(struct: type[msgspec.Struct]) -> Check | None:
    """A function that normalises every field of a struct in place, or None when no field needs it."""
    checks: list[tuple[str, Check]] = []
    for name, annotation in struct_fields(struct, where=struct.__name__).items():
        check = _field_check(unwrap(annotation))
        if check is not None:
            checks.append((name, check))
    if not checks:
        return None

    def check_struct(value: Any) -> Any:
        for name, check in checks:
            old = getattr(value, name)
            if old is None:
                continue
            new = check(old)
            if new is not old:  # the struct is ours alone until decode returns it; encode gives equal values
                force_setattr(value, name, new)
        return value

    return check_struct


def _field_check(kind: FieldType) -> Check | None:
    item: Check | None
    if kind.item is datetime:
        item = utc
    elif kind.item is Decimal:
        item = plain_decimal
    elif kind.item is float:
        item = _finite
    elif kind.item is int:
        item = _small
    elif issubclass(kind.item, msgspec.Struct):
        item = _struct_check(kind.item)
    else:
        item = None
    if item is None or not kind.is_list:
        return item
    one = item

    def check_list(values: Any) -> Any:
        new = [None if value is None else one(value) for value in values]
        return values if all(a is b for a, b in zip(new, values, strict=True)) else type(values)(new)

    return check_list
