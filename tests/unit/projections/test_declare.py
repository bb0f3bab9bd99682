"""Declarations that do not fit: each a DefinitionError that says what, where and how to mend."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, List, Union  # noqa: UP035 - how older code spells it

import pytest

from projections import Event, Index, Measure, Part, Projection, View
from projections.errors import DefinitionError
from projections.worker import distinct
from tests.unit.projections.samples import carts


class Made(Event):
    owner: str


class OneView(View):
    owner: str
    status: str


def evolve(view: OneView | None, event: Made) -> OneView | None:
    return view


async def asynchronous(view: OneView | None, event: Made) -> OneView | None:
    return view


async def generating(view: OneView | None, event: Made) -> AsyncIterator[OneView]:
    if view:
        yield view


def of_three(view: OneView | None, event: Made, clock: Callable[[], int]) -> OneView | None:
    return view


def of_three_unannotated(view: OneView | None, event: Made, clock) -> OneView | None:  # type: ignore[no-untyped-def]
    return view


def of_three_by_name(view: OneView | None, event: Made, *, clock: int = 1) -> OneView | None:
    return view


def of_any(view: OneView | None, *event: Made) -> OneView | None:
    return view


def first_event(view: OneView, event: Made) -> OneView | None:
    return view


def of_the_unknown(view: OneView | None, event: Maed) -> OneView | None:  # type: ignore[name-defined]  # noqa: F821
    return view


def of_a_defect(view: OneView | None, event: Made[0]) -> OneView | None:  # type: ignore[type-arg, valid-type]
    return view


class Callable_:  # noqa: N801
    async def __call__(self, view: OneView | None, event: Made) -> OneView | None:
        return view


def declared(**changes: Any) -> Projection[Any, Any]:
    given: dict[str, Any] = {
        "name": "ones",
        "version": 1,
        "topics": ["shop.ones"],
        "aggregate": "one",
        "evolve": evolve,
        **changes,
    }
    return Projection(**given)


def refused(words: str, **changes: Any) -> DefinitionError:
    with pytest.raises(DefinitionError) as caught:
        declared(**changes)
    assert words in caught.value.what
    assert "Projection 'ones'" in caught.value.where
    assert caught.value.mend
    return caught.value


def test_one_that_fits() -> None:
    assert declared(indexes=[Index[OneView]("all", filters=("owner", "status?"))]).view is OneView


@pytest.mark.parametrize(
    ("words", "changes"),
    [
        ("topics is a text", {"topics": "shop.ones"}),
        ("topic 7 is no name", {"topics": ["shop.ones", 7]}),
        ("topic '' is no name", {"topics": [""]}),
        ("topic 'a' is named twice", {"topics": ["a", "a"]}),
        ("asynchronous is asynchronous", {"evolve": asynchronous}),
        ("generating is asynchronous", {"evolve": generating}),
        ("is asynchronous", {"evolve": Callable_()}),
        ("of_three does not take (view, event)", {"evolve": of_three}),
        ("of_three_unannotated does not take (view, event)", {"evolve": of_three_unannotated}),
        ("of_three_by_name does not take (view, event)", {"evolve": of_three_by_name}),
        ("of_any does not take (view, event)", {"evolve": of_any}),
        ("not a function", {"evolve": 7}),
        ("annotations of of_the_unknown cannot be read: name 'Maed' is not defined", {"evolve": of_the_unknown}),
        ("annotations of of_a_defect cannot be read", {"evolve": of_a_defect}),
        ("'owner' is filtered by twice", {"indexes": [Index[OneView]("i", filters=("owner", "owner"))]}),
        ("'owner' is filtered by twice", {"indexes": [Index[OneView]("i", filters=("owner", "owner?"))]}),
        ("first_event does not take None", {"evolve": first_event}),
        ("topics is 7, not a list", {"topics": 7}),
        ("aggregate is None", {"aggregate": None}),
        ("version is '1', a str", {"version": "1"}),
        ("version is True, a bool", {"version": True}),
        ("state is 'yes', a str", {"state": "yes"}),
        ("version_of is 3, an int", {"version_of": 3, "state": True}),
        ("indexes is an Index, not a list", {"indexes": Index[OneView]("i")}),
        ("indexes has 'i', a str", {"indexes": ["i"]}),
        ("indexes is a str, not a list", {"indexes": "i"}),
        ("measures is a Measure, not a list", {"measures": Measure[OneView]("m", "count", by="owner")}),
        ("measures has 'm', a str", {"measures": ["m"]}),
        ("measures has the class Index", {"measures": [Index]}),
        ("measures has Index(", {"measures": [Index[OneView]("i")]}),
        ("upcasts is a function, not a list", {"upcasts": evolve}),
        ("name is 7, an int", {"indexes": [Index[OneView](7)]}),  # type: ignore[arg-type]
        ("name 'I' is not a plain name", {"indexes": [Index[OneView]("I")]}),
        ("the name 'i' is taken by another index", {"indexes": [Index[OneView]("i"), Index[OneView]("i")]}),
        ("filters is a str, not a list", {"indexes": [Index[OneView]("i", filters="owner")]}),  # type: ignore[arg-type]
        ("filters has 7, an int", {"indexes": [Index[OneView]("i", filters=(7,))]}),  # type: ignore[arg-type]
        ("sort is 7, an int", {"indexes": [Index[OneView]("i", sort=7)]}),  # type: ignore[arg-type]
    ],
)
def test_a_declaration_that_does_not_fit(words: str, changes: dict[str, Any]) -> None:
    refused(words, **changes)


def test_a_name_that_is_no_text() -> None:
    with pytest.raises(DefinitionError, match="name is 7, an int"):
        declared(name=7)


def made(name: str, base: Any, annotations: dict[str, Any]) -> Any:
    """A class as the statement would make it."""
    return type(base)(name, (base,), {"__annotations__": annotations, "__module__": __name__})


class Loop(Part):
    next: Loop | None = None


class There(Part):
    back: list[Here]


class Here(Part):
    there: There


class Nested(Part):
    name: str


class Lost(Part):
    at: Nowhere  # type: ignore[name-defined]  # noqa: F821


@dataclass
class Case:
    annotation: Any
    words: str


@pytest.mark.parametrize(
    "case",
    [
        Case(Loop, "Loop holds itself"),
        Case(list[Here], "Here holds itself"),
        Case(Lost, "name 'Nowhere' is not defined"),
        Case(tuple[str, int], "tuple[str, int]"),
        Case(tuple[str], "tuple[str]"),
        Case(tuple[()], "tuple[()]"),
        Case(List, "List"),  # noqa: UP006
        Case(list, "list"),
        Case(tuple, "tuple"),
        Case(list[list[str]], "list"),
        Case(dict[str, str], "dict"),
        Case(Union[str, int], "union"),  # noqa: UP007
        Case(Any, "Any"),
        Case(None, "None"),
    ],
    ids=lambda case: str(case.annotation),
)
def test_a_type_that_has_no_place(case: Case) -> None:
    view = made("Odd", View, {"odd": case.annotation})

    def fold(view: Any, event: Made) -> Any:
        return view

    fold.__annotations__ = {"view": view | None, "event": Made, "return": view | None}
    error = refused(case.words, evolve=fold)
    assert "field 'odd'" in error.where or "Odd" in error.where


def test_types_that_have_one() -> None:
    class Wide(View):
        twice: Nested
        again: list[Nested]
        texts: tuple[str, ...]

    def fold(view: Wide | None, event: Made) -> Wide | None:
        return view

    fold.__annotations__ = {"view": Wide | None, "event": Made, "return": Wide | None}
    assert declared(evolve=fold).view is Wide


@pytest.mark.parametrize("base", [View, Event, Part])
def test_names_that_collide_in_camel_case(base: type[Any]) -> None:
    with pytest.raises(DefinitionError, match="rename to the same name") as caught:
        made("Twins", base, {"a_b": str, "aB": str})
    assert "Twins" in caught.value.where


def test_two_projections_of_one_name() -> None:
    other, third = declared(name="carts"), declared()
    assert distinct([carts, third]) == (carts, third)
    with pytest.raises(DefinitionError, match="two projections are named 'carts'"):
        distinct([carts, other])
