"""`projections.testing`: what an author's test shows, and what it says when it fails."""

from __future__ import annotations

from dataclasses import replace as replaced
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from projections import Event
from projections.testing import given
from tests.unit.projections.samples import CartState
from tests.unit.projections.test_evolution import OpenedV0, OpenedV1, upcast_carts
from tests.unit.projections.test_measures import AT, Kind, Sold, sale_docs
from tests.unit.projections.test_timelines import carts as activity

SOLD = Sold(buyer="ann", kind=Kind.LARGE, price=Decimal("12.00"), pieces=3, at=AT)


def told(function: Any, *arguments: Any, kind: type[Exception] = AssertionError) -> str:
    with pytest.raises(kind) as caught:
        function(*arguments)
    return str(caught.value)


def test_an_old_event_goes_through_its_upcasts() -> None:
    for old in (OpenedV0(name="Ann Lee"), OpenedV1(first="Ann", last="Lee", at="2024-05-01T12:00:00Z")):
        found = given(upcast_carts, old).view
        assert found is not None
        assert found.owner == "Ann Lee"


def test_what_an_upcast_raises_is_raised() -> None:
    with pytest.raises(ValueError, match="half a name"):
        given(upcast_carts, OpenedV0(name="Ann"))


def test_a_timeline_is_not_folded() -> None:
    words = told(given, activity, kind=TypeError)
    assert "entry(event, id)" in words


def test_an_event_that_is_not_taken_is_told() -> None:
    class Other(Event):
        pass

    words = told(given, upcast_carts, Other(), kind=TypeError)
    assert "'carts' takes Opened, Renamed, Broken, Closed, OpenedV0, OpenedV1, not Other" in words
    assert "not CartState" in told(given, upcast_carts, CartState(owner="a"), kind=TypeError)


def test_an_unknown_measure_or_index_tells_which_there_are() -> None:
    found = given(sale_docs, SOLD)
    words = told(found.expect_measured, "nope", "ann", 1, kind=LookupError)
    assert words == ("there is no measure 'nope': there is sales, large_sales, pieces, spent, by_day, first, dearest")
    assert "there is by_buyer, all" in told(found.expect_listed, "nope", kind=LookupError)
    bare = given(replaced(sale_docs, measures=()), SOLD)
    assert told(bare.expect_measured, "sales", "ann", 1, kind=LookupError).endswith("there is none")


def test_an_index_takes_a_value_per_filter() -> None:
    words = told(given(sale_docs, SOLD).expect_listed, "by_buyer", "ann", kind=TypeError)
    assert "(buyer, kind?), not 1" in words


def test_failures_speak_the_author_s_language() -> None:
    found = given(sale_docs, SOLD)
    cases = [
        (found.expect_measured, ("spent", "ann", Decimal("7.50")), "expected spent of 'ann' Decimal('7.50')"),
        (found.expect_measured, ("spent", "ann", Decimal("7.50")), "found    Decimal('12.00')"),
        (found.expect_measured, ("sales", "ann", 2), "found    1"),
        (found.expect_measured, ("by_day", date(2026, 1, 31), Decimal(1)), "found    Decimal('12')"),
        (found.expect_measured, ("dearest", "ann", Decimal(1)), "found    Decimal('12.00')"),
        (found.expect_measured, ("dearest", "bob", Decimal(1)), "found    None"),
        (found.expect_listed, ("by_buyer", "bob", "*"), "found    a row with buyer='ann', kind=<Kind.LARGE"),
        (given(sale_docs).expect_listed, ("all",), "found    no row"),
    ]
    for function, arguments, expected in cases:
        words = told(function, *arguments)
        assert expected in words
        assert "m:" not in words
        assert "i:" not in words
