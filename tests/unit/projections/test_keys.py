"""The texts that keys and lists are made of: they order as their values do, and those of extremes can be read back."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.store.keys import filter_text, queue_place, sort_text, sort_value

ints = st.integers(-(2**63), 2**63 - 1)
decimals = st.decimals(min_value=-(10**24) + 1, max_value=10**24 - 1, places=6, allow_nan=False)
aware = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]))
values = st.one_of(
    st.tuples(ints, ints), st.tuples(decimals, decimals), st.tuples(st.dates(), st.dates()), st.tuples(aware, aware)
)


class Colour(Enum):
    RED = "red wine"


@given(values)
def test_texts_order_as_values_do(pair: tuple[int, int]) -> None:
    one, other = pair
    assert (sort_text(one) < sort_text(other)) == (one < other)
    assert sort_text(None) < sort_text(one)


@given(st.one_of(ints, decimals, st.dates(), aware))
def test_what_was_written_is_read_back(value: int | Decimal | date | datetime) -> None:
    found = sort_value(type(value), sort_text(value))
    assert found == value
    assert type(found) is type(value)
    assert sort_value(type(value), b"0") is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, b"18000000000000000"),
        (-1, b"17fffffffffffffff"),
        (Decimal("3.50"), b"11000000000000000000000003.500000000000000000"),
        (Decimal("-0.000000000000000001"), b"10999999999999999999999999.999999999999999999"),
        (Decimal("2.5e-18"), b"11000000000000000000000000.000000000000000002"),
        (Decimal("1E+5"), b"11000000000000000000100000.000000000000000000"),
        (date(2026, 1, 2), b"12026-01-02"),
        (datetime(1, 1, 1, 0, 0, 0, 1, tzinfo=UTC), b"1000000000000001"),
        (datetime(2026, 1, 2, 3, tzinfo=timezone(timedelta(hours=3))), sort_text(datetime(2026, 1, 2, tzinfo=UTC))),
        ("a\0b" + "x" * 99, b"1a\x01b" + b"x" * 61),
        (None, b"0"),
    ],
)
def test_the_layout_is_as_documented(value: object, text: bytes) -> None:
    assert sort_text(value) == text


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (int, b"1xyz"),
        (int, b"25"),
        (date, b"12026-13-01"),
        (Decimal, b"1a"),
        (datetime, b"1"),
        (str, b"1a"),
        (int, b""),
        (int, b"1\xff"),
    ],
)
def test_another_text_is_refused(kind: type, text: bytes) -> None:
    with pytest.raises(ValueError):
        sort_value(kind, text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "*"),
        ("*", "%2A"),
        ("", "%"),
        ("c-7", "c-7"),
        ("a:b/c", "a%3Ab%2Fc"),
        ("o\n", "o%0A"),
        ("é", "%C3%A9"),
        ("\ud800", "%ED%A0%80"),
        (Colour.RED, "red%20wine"),
        (True, "true"),
        (7, "7"),
        (date(2026, 1, 2), "2026-01-02"),
    ],
)
def test_filters_are_parts_of_keys(value: object, text: str) -> None:
    assert filter_text(value) == text


@given(st.text())
def test_filters_can_be_told_apart(value: str) -> None:
    text = filter_text(value)
    assert unquote(text, errors="surrogatepass") == value or (text, value) == ("%", "")
    assert not set(text) & set(":*\0{}")


def test_places_in_a_queue_order_as_versions_do() -> None:
    places = [queue_place(epoch, version) for epoch in (0, 1, 2**31 - 1) for version in (1, 9, 10, 2**31 - 1)]
    assert places == sorted(places)
