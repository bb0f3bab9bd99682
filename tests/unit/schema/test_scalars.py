"""Scalars from their wire form: times and dates of RFC 3339 and nothing else of ISO 8601, decimals within bounds."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from schema.errors import BadInputError
from schema.scalars import parse_date, parse_datetime, parse_decimal, write_decimal


def test_a_date() -> None:
    assert parse_date("2026-01-31") == date(2026, 1, 31)


@pytest.mark.parametrize(
    "value",
    [
        "2026-W01-1", "2026W01-1", "2026-W01", "20260131", "2026-1-31", "2026-031", "2026-02-30", "2026-13-01", "0000-01-01",
        "2026-01-31\n", " 2026-01-31", "2026-01-31T00:00:00Z", "２026-01-31", "", None, 20260131, ["2026-01-31"], b"2026-01-31",
    ],
)  # fmt: skip
def test_what_is_no_date(value: Any) -> None:
    with pytest.raises(BadInputError):
        parse_date(value)


@pytest.mark.parametrize(
    "value",
    [
        "2026-01-31T12:00:00Z", "2026-01-31 12:00:00Z", "2026-01-31T12:00Z", "2026-01-31T12:00:00.000Z",
        "2026-01-31T13:30:00+01:30", "2026-01-31T07:00:00.0-05:00", "2026-01-31T12:00:00-00:00",
    ],
)  # fmt: skip
def test_a_time_is_in_utc(value: str) -> None:
    found = parse_datetime(value)
    assert (found, found.tzinfo) == (datetime(2026, 1, 31, 12, tzinfo=UTC), UTC)


def test_a_time_has_a_fraction() -> None:
    assert parse_datetime("2026-01-31T12:00:00.25Z") == datetime(2026, 1, 31, 12, 0, 0, 250_000, UTC)
    assert parse_datetime("2026-01-31T12:00:00.123456789Z") == datetime(2026, 1, 31, 12, 0, 0, 123_456, UTC)


@pytest.mark.parametrize(
    "value",
    [
        "2026-W05-6T12:00:00Z", "2026W056T120000Z", "20260131T120000Z", "2026-01-31T120000Z", "20260131T12:00:00Z",
        "2026-01-31T12Z", "2026-01-31T12:00:00", "2026-01-31", "2026-01-31T12:00:00+01", "2026-01-31T12:00:00+0100",
        "2026-01-31T12:00:00+01:00:30", "2026-01-31T12:00:00+24:00", "2026-01-31T12:00:00+00:99", "2026-01-31T24:00:00Z",
        "2026-01-31T12:60:00Z", "2026-01-31T12:00:00,5Z", "2026-01-31T12:00:00.Z", "2026-01-31x12:00:00Z",
        "2026-01-31T12:00:00Z\n", "2026-02-30T12:00:00Z", "0001-01-01T00:00:00+01:00", "2026-01-31T12:00:00Zz", "", None, 5,
    ],
)  # fmt: skip
def test_what_is_no_time(value: Any) -> None:
    with pytest.raises(BadInputError):
        parse_datetime(value)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("12.30", "12.30"), (7, "7"), ("1E-7", "0.0000001"), ("1E+3", "1000"), ("1e-18", "0.000000000000000001"),
        ("0E-7", "0.0000000"), ("0E-18", "0.000000000000000000"), ("0E-19", "0"), ("0E+30", "0"),
        ("0E-99999999999", "0"), ("-0E-99999999999", "0"), ("0E+99999999999", "0"),
    ],
)  # fmt: skip
def test_a_decimal_is_written_plainly(value: str | int, shown: str) -> None:
    found = parse_decimal(value)
    assert (found, write_decimal(found)) == (Decimal(shown), shown)


@pytest.mark.parametrize(
    "value",
    [
        "1E-19",
        "1E+24",
        10**24,
        "NaN",
        "sNaN",
        "Infinity",
        "1E-99999999999",
        "1E+99999999999",
        " 1",
        "1_0",
        "",
        1.5,
        True,
    ],
)
def test_what_is_no_decimal(value: Any) -> None:
    with pytest.raises(BadInputError):
        parse_decimal(value)
