"""The types of the fields of commands: everything that comes from outside is bounded here.

Strings are bounded and free of control characters (PostgreSQL has no NUL); numbers are finite, positive and bounded;
JSON numbers are read as decimals, never as floats.
"""

import re
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Annotated, Any

from msgspec import Meta

# An aggregate's id, as it may stand in a path, a Kafka key and a token: never ':', '/' or a space.
KEY_PATTERN = r"\A[A-Za-z0-9][A-Za-z0-9._~-]{0,99}\Z"
_TEXT_PATTERN = r"\A[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*\Z"
_EMAIL_PATTERN = r"\A[^\s@\x00-\x1f\x7f]{1,64}@[^\s@\x00-\x1f\x7f]{1,250}\Z"

Key = Annotated[str, Meta(pattern=KEY_PATTERN, description="a key: letters, digits and . _ ~ -, at most 100")]
Name = Annotated[str, Meta(min_length=1, max_length=200, pattern=_TEXT_PATTERN, description="a line of text")]
Text = Annotated[str, Meta(min_length=1, max_length=1000, pattern=_TEXT_PATTERN, description="a line of text")]
Email = Annotated[str, Meta(max_length=254, pattern=_EMAIL_PATTERN, description="an e-mail address")]
LineNumber = Annotated[int, Meta(ge=1, le=1_000_000)]

CENT = Decimal("0.01")
# Decimal computes with 28 digits. A quantity has at most 13 (10^6, six decimals), a price 15 (10^12, two decimals):
# their product is exact, and the total of 100 such lines has 23 digits.
_NUMBER = re.compile(r"\+?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,2})?", re.ASCII)


class Money(Decimal):
    """An amount in a command: above zero, at most 10^12, at most two decimals."""


class Quantity(Decimal):
    """A quantity in a command: above zero, at most 10^6, at most six decimals."""


def cents(amount: Decimal) -> Decimal:
    """The amount rounded half-even to the cent, a plain Decimal with two decimals."""
    return amount.quantize(CENT, ROUND_HALF_EVEN)


def plain(number: Decimal) -> Decimal:
    """The same number as a plain Decimal that is written without an exponent."""
    return Decimal(format(number, "f"))


def from_json(kind: type, value: Any) -> Any:
    """The `dec_hook` of inputs: makes Money and Quantity of a JSON string or number. Raises ValueError with a hint."""
    if kind is Money:
        return Money(_positive(value, power_of_ten=12, decimals=2))
    if kind is Quantity:
        return Quantity(_positive(value, power_of_ten=6, decimals=6))
    raise NotImplementedError(f"no input field may be of type {kind.__name__}")


def _positive(value: Any, *, power_of_ten: int, decimals: int) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, (str, int, Decimal)):
        raise ValueError("Expected a decimal number, as a string")
    if isinstance(value, str) and not (len(value) <= 64 and _NUMBER.fullmatch(value)):
        raise ValueError("Expected a decimal number above zero, such as 12.30")
    number = Decimal(value)
    if not number.is_finite() or not 0 < number <= Decimal(10) ** power_of_ten:
        raise ValueError(f"Expected a number above zero and at most 10^{power_of_ten}")
    if number != number.quantize(Decimal(1).scaleb(-decimals)):
        raise ValueError(f"Expected at most {decimals} decimals")
    return number
