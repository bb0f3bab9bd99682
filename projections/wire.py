"""Between JSON bytes and events or views, in the GraphQL wire form of every scalar.

Invariants: pure; what `decode` returns and what `encode` writes has times in UTC (written with `Z`), whole numbers of 32 bits and
decimals that are finite and bounded, so that stored bytes can be handed to a client as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
        self._checks = _field_checks(struct)

    def decode(self, data: bytes) -> S:
        """Raises msgspec.DecodeError (ValidationError for a wrong type), WireError."""
        return self.normal(self._decoder.decode(data))

    def decode_stored(self, data: bytes) -> S:
        """What `encode` wrote, and so needs no second look. Raises msgspec.DecodeError."""
        return self._decoder.decode(data)

    def encode(self, value: S, like: Sequence[object] = ()) -> bytes:
        """JSON bytes. Raises WireError for a value with no wire form, TypeError for one that is not of the type.

        `like` are structs that were decoded or encoded here before: a field that is the very one of theirs is not looked at.
        """
        for name, check in self._checks:
            old = getattr(value, name)
            if old is None:
                continue
            for other in like:
                if getattr(other, name, None) is old:
                    break
            else:
                new = check(old)
                if new is not old:
                    force_setattr(value, name, new)
        return _encoder.encode(value)

    def normal(self, value: S) -> S:
        """The same value, every field in its wire form. Raises WireError."""
        for name, check in self._checks:
            old = getattr(value, name)
            if old is not None:
                new = check(old)
                if new is not old:  # the struct is ours alone until decode returns it; encode gives equal values
                    force_setattr(value, name, new)
        return value


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
    text = str(value)
    if len(text) <= DECIMAL_DIGITS and "E" not in text and value.is_finite():
        return value
    if not value.is_finite():
        raise WireError("a decimal that is not finite")
    if value and not -18 <= value.adjusted() < DECIMAL_DIGITS:
        raise WireError(f"a decimal with more than {DECIMAL_DIGITS} digits, or smaller than 1e-18")
    return Decimal(format(value, "f")) if "E" in text else value


def _finite(value: float) -> float:
    if value != value or value in (float("inf"), float("-inf")):
        raise WireError("a float that is not finite")
    return value


def _small(value: int) -> int:
    if not MIN_INT <= value <= MAX_INT:
        raise WireError("a whole number beyond 32 bits, which a GraphQL Int cannot show")
    return value


def _field_checks(struct: type[msgspec.Struct]) -> tuple[tuple[str, Check], ...]:
    """The fields of a struct that have to be looked at, each with the function that returns its wire form."""
    fields = struct_fields(struct, where=struct.__name__).items()
    found = ((name, _field_check(unwrap(annotation))) for name, annotation in fields)
    return tuple((name, check) for name, check in found if check is not None)


def _struct_check(struct: type[msgspec.Struct]) -> Check | None:
    """A function that normalises every field of a struct in place, or None when no field needs it."""
    checks = _field_checks(struct)
    if not checks:
        return None

    def check_struct(value: Any) -> Any:
        for name, check in checks:
            old = getattr(value, name)
            if old is not None:
                new = check(old)
                if new is not old:
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
        is_normal = True
        new: list[Any] = []
        for value in values:
            normal = None if value is None else one(value)
            is_normal = is_normal and normal is value
            new.append(normal)
        return values if is_normal else type(values)(new)

    return check_list
