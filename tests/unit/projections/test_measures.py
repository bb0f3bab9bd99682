"""Counts, totals, least and largest: what a row adds, what a change adds, and what a measure cannot hold."""

from __future__ import annotations

from dataclasses import replace as replaced
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest

from projections import Event, Index, Measure, Projection, View, replace
from projections.decode import Decoder
from projections.entries import MAX_CONTRIBUTION, Entries, index_entries, merged, units
from projections.errors import DefinitionError
from projections.project import Projector
from projections.store.keys import Entry, index_list, measure_list, member
from projections.testing import given
from tests.unit.projections.samples import record


class Kind(Enum):
    SMALL = "SMALL"
    LARGE = "LARGE"


class Sold(Event):
    buyer: str | None
    kind: Kind
    price: Decimal | None
    pieces: int
    at: datetime


class SaleView(View):
    buyer: str | None
    kind: Kind
    price: Decimal | None
    pieces: int
    at: datetime


def evolve(view: SaleView | None, event: Sold) -> SaleView | None:
    if event.pieces == 0:
        return None
    return SaleView(buyer=event.buyer, kind=event.kind, price=event.price, pieces=event.pieces, at=event.at)


def day(view: SaleView) -> date:
    return view.at.date()


def is_large(view: SaleView) -> bool:
    return view.kind is Kind.LARGE


MEASURES: list[Measure[SaleView]] = [
    Measure("sales", "count", by="buyer"),
    Measure("large_sales", "count", by="buyer", where=is_large),
    Measure("pieces", "total", of="pieces", by="kind"),
    Measure("spent", "total", of="price", by="buyer"),
    Measure("by_day", "total", of="price", by=day, places=0),
    Measure("first", "least", of="at", by="buyer"),
    Measure("dearest", "largest", of="price", by="buyer"),
]
sale_docs = Projection(
    name="sales",
    version=1,
    topics=["sales"],
    aggregate="sale",
    state=True,
    evolve=evolve,
    indexes=[Index("by_buyer", filters=("buyer", "kind?"), sort="price"), Index("all")],
    measures=MEASURES,
)
AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
SALE = SaleView(buyer="ann", kind=Kind.LARGE, price=Decimal("12.00"), pieces=3, at=AT)


def numbers(view: SaleView | None) -> dict[str, int]:
    return dict(Entries(sale_docs).numbers(view))


def test_what_a_row_adds_to_numbers() -> None:
    assert numbers(SALE) == {
        measure_list("sales", "ann"): 1,
        measure_list("large_sales", "ann"): 1,
        measure_list("pieces", "LARGE"): 3,
        measure_list("spent", "ann"): 1200,
        measure_list("by_day", "2026-01-31"): 12,
    }
    assert numbers(None) == {}


def test_a_row_without_key_or_value_does_not_count() -> None:
    assert numbers(replace(SALE, buyer=None, price=None)) == {measure_list("pieces", "LARGE"): 3}
    assert measure_list("large_sales", "ann") not in numbers(replace(SALE, kind=Kind.SMALL))


def test_lists_are_those_of_indexes_and_extremes() -> None:
    assert index_entries(sale_docs, "s-1", SALE) == {
        Entry(index_list("by_buyer", ("ann", "*")), member(Decimal(12), "s-1")),
        Entry(index_list("by_buyer", ("ann", "LARGE")), member(Decimal(12), "s-1")),
        Entry(index_list("all", ()), member(None, "s-1")),
        Entry(measure_list("first", "ann"), member(AT, "s-1")),
        Entry(measure_list("dearest", "ann"), member(Decimal(12), "s-1")),
    }
    assert index_entries(sale_docs, "s-1", replace(SALE, buyer=None)) == {
        Entry(index_list("all", ()), member(None, "s-1"))
    }


def test_a_change_tells_the_difference_alone() -> None:
    move = Entries(sale_docs).move("s-1", SALE, replace(SALE, price=Decimal("7.00"), kind=Kind.SMALL))
    assert sorted(move.amounts) == sorted(
        [
            (measure_list("large_sales", "ann"), -1),
            (measure_list("pieces", "LARGE"), -3),
            (measure_list("pieces", "SMALL"), 3),
            (measure_list("spent", "ann"), -500),
            (measure_list("by_day", "2026-01-31"), -5),
        ]
    )
    dearest = measure_list("dearest", "ann")
    assert {name for name, _ in move.added} == {"i:by_buyer:ann:*", "i:by_buyer:ann:SMALL", dearest}
    assert {name for name, _ in move.removed} == {"i:by_buyer:ann:*", "i:by_buyer:ann:LARGE", dearest}


def test_what_stays_is_not_told() -> None:
    move = Entries(sale_docs).move("s-1", SALE, replace(SALE, kind=Kind.SMALL))
    assert [name for name, _ in move.removed] == ["i:by_buyer:ann:LARGE"]
    assert [name for name, _ in move.added] == ["i:by_buyer:ann:SMALL"]


def test_there_and_back_is_nothing() -> None:
    entries = Entries(sale_docs)
    other = replace(SALE, buyer="bob", price=Decimal("1.00"))
    steps = [(SALE, other), (other, None), (None, SALE)]
    assert merged([entries.move("s-1", old, new) for old, new in steps]) == ([], [], [])


@pytest.mark.parametrize("price", ["12.345", "0.001", "90071992547409.93", "1e20"])
def test_what_a_total_cannot_hold_parks_the_record(price: str) -> None:
    result = project({"price": price})
    assert [poison.cause for poison in result.parked] == ["evolve"]
    assert (result.deltas, result.added) == ({}, {})


def test_author_s_functions_may_fail() -> None:
    def broken(view: SaleView) -> str:
        raise KeyError(view.buyer)

    odd: list[Any] = [{"by": broken}, {"by": lambda view: 1.5}, {"by": lambda view: view.at}]
    odd += [{"by": "buyer", "where": lambda view: "yes"}, {"by": "buyer", "where": lambda view: None}]
    for functions in odd:
        failing: Any = replaced(sale_docs, measures=[Measure("m", "count", **functions)])
        assert [poison.cause for poison in project({}, failing).parked] == ["evolve"]


def project(changes: dict[str, Any], projection: Any = sale_docs) -> Any:
    data = {"buyer": "ann", "kind": "LARGE", "price": "12.00", "pieces": 3, "at": "2026-01-31T12:00:00Z", **changes}
    source = record(id="s-1", kind="Sold", aggregate="sale", data=data)
    return Projector(projection).project([Decoder(projection).decode(source)], {"s-1": None}, {}, 0)


def test_numbers_add_up_over_aggregates_and_zeros_are_left_out() -> None:
    decode = Decoder(sale_docs).decode
    data = {"buyer": "ann", "kind": "LARGE", "price": "12.00", "pieces": 3, "at": "2026-01-31T12:00:00Z"}
    records = [record(id=f"s-{n}", kind="Sold", aggregate="sale", data=data, offset=n) for n in range(3)]
    records.append(record(id="s-0", version=2, kind="Sold", aggregate="sale", data={**data, "pieces": 0}, offset=4))
    result = Projector(sale_docs).project([decode(item) for item in records], {}, {}, 0)
    assert result.deltas[measure_list("sales", "ann")] == 2
    assert result.deltas[measure_list("spent", "ann")] == 2400
    assert 0 not in result.deltas.values()


@pytest.mark.parametrize(
    ("value", "places", "found"),
    [
        (Decimal("1.50"), 2, 150),
        (Decimal("1.5"), 1, 15),
        (Decimal("-0.01"), 2, -1),
        (Decimal("3E+2"), 0, 300),
        (7, 2, 7),
        (Decimal(MAX_CONTRIBUTION), 0, MAX_CONTRIBUTION),
    ],
)
def test_units_are_exact(value: Decimal | int, places: int, found: int) -> None:
    assert units(value, places) == found


def test_units_refuse_what_does_not_fit() -> None:
    for value, places in ((Decimal("0.001"), 2), (Decimal(MAX_CONTRIBUTION + 1), 0), (Decimal("1E+23"), 6)):
        with pytest.raises(ValueError, match=r"places|too large"):
            units(value, places)


def test_expect_measured() -> None:
    sold = Sold(buyer="ann", kind=Kind.LARGE, price=Decimal("12.00"), pieces=3, at=AT)
    found = given(sale_docs, sold).expect_measured("sales", "ann", 1).expect_measured("spent", "ann", Decimal(12))
    found.expect_measured("by_day", date(2026, 1, 31), Decimal(12)).expect_measured("sales", "bob", 0)
    found.expect_measured("first", "ann", AT).expect_measured("dearest", "bob", None)
    for measure, by, value in (("sales", "ann", 2), ("first", "ann", None), ("dearest", "ann", Decimal(11))):
        with pytest.raises(AssertionError):
            found.expect_measured(measure, by, value)


@pytest.mark.parametrize(
    "measures",
    [
        [Measure("Sales", "count", by="buyer")],
        [Measure("all", "count", by="buyer")],
        [Measure("a", "count", by="buyer"), Measure("a", "count", by="kind")],
        [Measure("a", "count", by="seller")],
        [Measure("a", "count", by="at")],
        [Measure("a", "count", by="buyer", of="price")],
        [Measure("a", "total", by="buyer")],
        [Measure("a", "total", by="buyer", of="buyer")],
        [Measure("a", "largest", by="buyer", of="kind")],
        [Measure("a", "total", by="buyer", of="price", places=7)],
        [Measure("a", "mean", by="buyer", of="price")],  # type: ignore[arg-type]
        [Measure("a", "count", by="buyer", places=3)],
        [Measure("a", "total", by="buyer", of="pieces", places=3)],
        [Measure("a", "total", by="buyer", of="price", places="3")],  # type: ignore[arg-type]
        [Measure("a", "total", by="buyer", of=3)],  # type: ignore[arg-type]
        [Measure(3, "count", by="buyer")],  # type: ignore[arg-type]
    ],
)
def test_a_measure_that_does_not_fit_is_refused(measures: list[Measure[SaleView]]) -> None:
    with pytest.raises(DefinitionError, match="Measure") as caught:
        replaced(sale_docs, measures=measures)
    assert caught.value.mend


@pytest.mark.parametrize(
    ("measure", "words"),
    [
        (Measure("a", "total", by="buyer"), "`of` is missing"),
        (Measure("all", "count", by="buyer"), "'all' is taken by an index"),
        (Measure("A", "count", by="buyer"), "name 'A' is not a plain name"),
    ],
)
def test_a_refusal_says_which_it_is(measure: Measure[SaleView], words: str) -> None:
    with pytest.raises(DefinitionError, match=words):
        replaced(sale_docs, measures=[measure])
    with pytest.raises(DefinitionError, match="'sales' is taken by another measure"):
        replaced(sale_docs, measures=[*MEASURES, MEASURES[0]])
