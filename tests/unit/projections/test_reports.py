"""What the projector leaves in the store for others: lag reports and quarantine entries."""

from datetime import UTC, datetime

import msgspec
import pytest

from projections.lag import Lag, PartitionLag, lag_of, read_report, write_report
from projections.log.port import Partition
from projections.quarantine import QuarantineEntry, read_entry, set_aside
from projections.record import Poison, Record
from projections.store.library import library

P0, P1 = Partition("shop.carts", 0), Partition("shop.carts", 1)


def test_a_report_comes_back_as_it_was_written() -> None:
    lags = {P0: PartitionLag(3, 5, 1_000, 900), P1: PartitionLag(0, None, 1_000)}
    report = write_report(lags)
    running = b',"rate":null,"state":"running","owner":null}'
    assert report["shop.carts/0"] == b'{"next":3,"end":5,"polledMs":1000,"eventTimeMs":900' + running
    assert read_report(report) == lags


def test_lag_is_the_sum_over_partitions_of_the_slowest_bucket() -> None:
    first = write_report({P0: PartitionLag(3, 5, 1_000, 900), P1: PartitionLag(9, 9, 1_010, 950)})
    second = write_report({P0: PartitionLag(1, 5, 990, 800), P1: PartitionLag(9, 9, 1_010, 950)})
    assert lag_of([first, second]) == Lag(records=4, polled_ms=990, event_time_ms=950)


def test_lag_is_unknown_without_an_end_and_none_without_a_report() -> None:
    assert lag_of([write_report({P0: PartitionLag(3, None, 1_000)})]) == Lag(None, 1_000, None)
    assert lag_of([write_report({P0: PartitionLag(3, 3, 1_000)}), {}]) is None
    assert lag_of([]) is None


def test_a_log_that_was_made_anew_is_not_behind_a_negative_number() -> None:
    assert PartitionLag(400, 4, 0).records == 0


@pytest.mark.parametrize(
    ("lag", "staleness_ms"),
    [
        (Lag(0, 1_000, 10), 500),
        (Lag(3, 1_400, 10), 1_490),
        (Lag(None, 1_400, 10), 1_490),
        (Lag(3, 1_400, None), None),
        (Lag(0, 9_000, 10), 0),
    ],
)
def test_staleness(lag: Lag, staleness_ms: int | None) -> None:
    assert lag.staleness_ms(1_500) == staleness_ms


def test_a_quarantine_entry_keeps_the_whole_record() -> None:
    record = Record("shop.carts", 2, 77, b"\xff\x00", None, (("ce_type", b"x"), ("x", b"\xff"), ("x", b"")), 5)
    kept = set_aside(Poison("body", "why", record), 1_714_564_800_000)
    assert kept.coordinates == "shop.carts/2/77"
    assert read_entry(kept.entry) == QuarantineEntry(
        cause="body",
        detail="why",
        topic="shop.carts",
        partition=2,
        offset=77,
        key=b"\xff\x00",
        value=None,
        headers=(("ce_type", b"x"), ("x", b"\xff"), ("x", b"")),
        timestamp_ms=5,
        when=datetime(2024, 5, 1, 12, tzinfo=UTC),
    )
    assert msgspec.json.decode(kept.entry)["key"] == "/wA="


def test_the_names_of_the_functions_follow_their_source() -> None:
    ours, other = library(), library("#!lua name=headrace_@DIGEST@\n")
    assert len({ours.name, other.name}) == len({ours.apply, other.apply}) == 2
    assert ours.name in ours.code
    assert ours.apply in ours.code
    assert ours.page in ours.code
    assert "@DIGEST@" not in ours.code.replace("-- @DIGEST@ is", "")
    assert library() == ours
