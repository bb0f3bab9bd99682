"""The functions of a measure, `by` and `where`: which are refused when they are declared, and with which words."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace as replaced
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from functools import partial
from operator import attrgetter
from typing import Any, Literal, NewType

import pytest

from projections import Measure
from projections.errors import DefinitionError
from tests.unit.projections.test_measures import Kind, SaleView, Sold, sale_docs

BuyerId = NewType("BuyerId", str)


def declared(**functions: Any) -> None:
    replaced(sale_docs, measures=[Measure("m", "count", **{"by": "buyer", **functions})])


async def later(view: SaleView) -> bool:
    return True


async def later_each(view: SaleView) -> AsyncIterator[bool]:
    yield True


def each(view: SaleView) -> Iterator[bool]:
    yield True


def of_nothing() -> bool:
    return True


def of_two(view: SaleView, other: int = 1) -> bool:
    return True


def by_name(*, view: SaleView) -> bool:
    return True


def of_any(*view: SaleView) -> bool:
    return True


def of_an_event(view: Sold) -> bool:
    return True


class Later:
    async def __call__(self, view: SaleView) -> bool:
        return True


def unreadable(view: Nowhere) -> bool:  # type: ignore[name-defined]  # noqa: F821
    return True


@pytest.mark.parametrize("which", ["by", "where"])
@pytest.mark.parametrize(
    ("function", "words"),
    [
        (later, "later, which awaits or yields"),
        (later_each, "awaits or yields"),
        (each, "each, which awaits or yields"),
        (Later(), "awaits or yields"),
        (partial(later), "awaits or yields"),
        (of_nothing, "of_nothing, which does not take the view alone"),
        (of_two, "does not take the view alone"),
        (by_name, "does not take the view alone"),
        (of_any, "does not take the view alone"),
        (of_an_event, "of_an_event, which takes something else than the view"),
        (unreadable, "annotations of unreadable cannot be read"),
        (7, "is 7, not a function"),
        (str, "not a function"),
    ],
)
def test_a_function_that_does_not_fit(which: str, function: Any, words: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        declared(**{which: function})
    assert words in caught.value.what
    assert "Measure 'm'" in caught.value.where
    assert caught.value.mend


def test_where_is_no_name_of_a_field() -> None:
    with pytest.raises(DefinitionError, match="where is 'buyer', not a function"):
        declared(where="buyer")


def returning(annotation: Any) -> Any:
    def function(view: SaleView) -> Any:
        return None

    function.__annotations__["return"] = annotation
    return function


@pytest.mark.parametrize("annotation", [datetime, Decimal, float, list[str], str | datetime, Literal["a", 1.5], bytes])
def test_what_no_key_can_be(annotation: Any) -> None:
    with pytest.raises(DefinitionError, match="which returns something else"):
        declared(by=returning(annotation))


@pytest.mark.parametrize("annotation", [str, bool | None, int | None, None, Literal["yes"]])
def test_what_does_not_say_whether_a_row_counts(annotation: Any) -> None:
    with pytest.raises(DefinitionError, match="which returns something else"):
        declared(where=returning(annotation))


class ByBuyer:
    def __call__(self, view: SaleView) -> str | None:
        return view.buyer


def with_prefix(prefix: str, view: SaleView) -> str:
    return prefix + (view.buyer or "")


@pytest.mark.parametrize(
    "function",
    [
        *map(returning, (str, str | None, date, int, bool, Kind, Enum, BuyerId, Any, Literal["a", 1], None)),
        lambda view: view.buyer,
        attrgetter("buyer"),
        ByBuyer(),
        partial(with_prefix, "x"),
    ],
)
def test_what_keys_can_be(function: Any) -> None:
    declared(by=function)


def test_what_says_whether_a_row_counts() -> None:
    for function in (returning(bool), returning(Any), returning(Literal[True]), lambda view: True):
        declared(where=function)
