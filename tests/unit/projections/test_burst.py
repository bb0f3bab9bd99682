"""A bad deploy is told from bad records."""

from __future__ import annotations

from projections.burst import MIN_AGGREGATES, MIN_FAILED, WINDOW, Burst
from projections.decode import Decoder
from projections.project import Projector
from projections.record import Record
from tests.unit.projections.samples import carts, record

decode = Decoder(carts).decode
projector = Projector(carts)


def fed(burst: Burst, *records: Record) -> Burst:
    outcomes = [decode(item) for item in records]
    burst.add(outcomes, projector.project(outcomes, {}, {}, 0))
    return burst


def good(count: int, start: int = 0) -> list[Record]:
    return [record(id=f"good-{start + n}", offset=start + n) for n in range(count)]


def bad(count: int, aggregates: int = 10_000) -> list[Record]:
    versions = [(n % aggregates, n // aggregates + 1) for n in range(count)]
    return [record(id=f"bad-{id}", version=v, data=b"{", offset=100_000 + n) for n, (id, v) in enumerate(versions)]


def failing(count: int) -> list[Record]:
    return [record(id=f"raise-{n}", kind="x.Broken", data={"how": "raise"}, offset=200_000 + n) for n in range(count)]


def test_half_of_the_records_failing_is_a_burst() -> None:
    assert not fed(Burst(), *good(MIN_FAILED + 1), *bad(MIN_FAILED)).began()
    burst = fed(Burst(), *good(MIN_FAILED), *bad(MIN_FAILED))
    assert burst.began()
    assert f"{MIN_FAILED} of the last {2 * MIN_FAILED}" in burst.told()


def test_few_failures_are_none() -> None:
    assert not fed(Burst(), *bad(MIN_FAILED - 1)).began()


def test_few_aggregates_are_none() -> None:
    assert not fed(Burst(), *bad(400, MIN_AGGREGATES - 1)).began()
    assert fed(Burst(), *bad(400, MIN_AGGREGATES)).began()


def test_an_evolve_that_raises_counts() -> None:
    burst = fed(Burst(), *failing(MIN_FAILED))
    assert burst.began()
    assert "RuntimeError" in burst.told()


def test_what_waits_behind_says_nothing() -> None:
    behind = [record(id=f"gap-{n}", version=5, offset=n) for n in range(200)]
    assert not fed(Burst(), *behind).began()
    assert fed(Burst(), *behind, *bad(MIN_FAILED)).began()


def test_a_broken_envelope_says_nothing_of_the_code() -> None:
    assert not fed(Burst(), *(record(id=f"c-{n}", version="x", offset=n) for n in range(200))).began()


def test_one_in_a_hundred_never_stops_it() -> None:
    burst = Burst()
    for n in range(100):
        fed(burst, *good(99, n * 100), record(id=f"bad-{n}", data=b"{", offset=n * 100 + 99))
        assert not burst.began()


def test_old_failures_are_forgotten() -> None:
    burst = fed(Burst(), *bad(MIN_FAILED))
    assert burst.began()
    assert not fed(burst, *good(WINDOW)).began()
    assert burst._failed.total() == 0


def test_it_can_be_turned_off_and_set() -> None:
    assert not fed(Burst(0), *bad(400)).began()
    assert fed(Burst(20), *good(150), *bad(MIN_FAILED)).began()
    assert not fed(Burst(30), *good(150), *bad(MIN_FAILED)).began()


def test_it_can_be_cleared() -> None:
    burst = fed(Burst(), *bad(MIN_FAILED))
    burst.clear()
    assert not burst.began()
