"""Between JSON bytes and events or views, in the GraphQL wire form of every scalar.

Invariants: pure; what `decode` returns and what `encode` writes has times in UTC (written with `Z`), whole numbers of 32 bits and
decimals that are finite and bounded, so that stored bytes can be handed to a client as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, Generic, TypeVar

import msgspec

from projections.checks import Check, Scalar, Scalars, check_of
from projections.errors import WireError

S = TypeVar("S", bound=msgspec.Struct)

DECIMAL_DIGITS: Final = 24
"""A decimal has at most this many digits before the point, and its first digit at most 18 places behind it."""

MIN_INT: Final = -(2**31)
MAX_INT: Final = 2**31 - 1
"""What a GraphQL `Int` can be: 32 bits, signed. A larger number that was stored could never be read."""


class Codec(Generic[S]):
    """Decodes and encodes one struct type."""

    def __init__(self, struct: type[S]) -> None:
        self._struct = struct
        decoder = msgspec.json.Decoder(struct)
        self.decode_stored: Callable[[bytes], S] = decoder.decode
        """What `encode` wrote, and so needs no second look. Raises msgspec.DecodeError."""
        self.normal: Callable[[S], S] = check_of(struct, _SCALARS) or _as_it_is
        """The same value, every field in its wire form, in place. Raises WireError."""
        self._unlike: dict[tuple[type[Any], bool], Check] = {}

    def decode(self, data: bytes) -> S:
        """Raises msgspec.DecodeError (ValidationError for a wrong type), WireError."""
        return self.normal(self.decode_stored(data))  # the struct is ours alone until this returns it

    def encode(self, value: S) -> bytes:
        """JSON bytes. Raises WireError for a value with no wire form, TypeError for one that is not of the type."""
        return _encode(self.normal(value))

    def encode_next(self, value: S, old: S | None, event: msgspec.Struct) -> bytes:
        """The same of a value that `event` made of `old`, both decoded or encoded by a codec: a field that is the very one of
        theirs is not looked at.
        """
        check = self._unlike.get((type(event), old is None))
        if check is None:
            check = self._unlike_these(type(event), is_first=old is None)
        return _encode(check(value, event) if old is None else check(value, event, old))

    def _unlike_these(self, event: type[msgspec.Struct], *, is_first: bool) -> Check:
        like = (event,) if is_first else (event, self._struct)
        check = self._unlike[event, is_first] = check_of(self._struct, _SCALARS, like) or _as_it_is
        return check


def _as_it_is(value: Any, *_like: Any) -> Any:
    return value


_encode: Final = msgspec.json.Encoder(decimal_format="string").encode


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


_SCALARS: Final[Scalars] = {
    datetime: Scalar("{0}.tzinfo is not UTC", utc, {"UTC": UTC}),
    Decimal: Scalar(
        f"(len(text := str({{0}})) > {DECIMAL_DIGITS} or 'E' in text or not {{0}}.is_finite())", plain_decimal, {}
    ),
    float: Scalar("not -inf < {0} < inf", _finite, {"inf": float("inf")}),
    int: Scalar(f"not {MIN_INT} <= {{0}} <= {MAX_INT}", _small, {}),
}
