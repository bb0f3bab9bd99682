"""`status`: where partitions stand, as rows for programs and as a table that fits a terminal."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from msgspec.structs import replace

from projections.errors import StoreUnavailableError
from projections.lag import PartitionLag, write_report
from projections.log.port import Partition
from projections.operate.arguments import parser
from projections.operate.live import status
from projections.operate.screen import CLEAR, HIDE_CURSOR, SHOW_CURSOR, drawn, plain, table
from projections.status import PartitionStatus, read_status, status_table
from projections.store.change import Advance, BucketChange
from projections.store.keys import Bucket
from projections.store.memory import MemoryStore
from tests.unit.projections.desk import NOW_MS, Counter
from tests.unit.projections.samples import carts, record

P0, P1 = Partition("shop.carts", 0), Partition("shop.carts", 1)
BUCKET = Bucket("carts", 1, 0)


def lag(next: int, end: int | None, **more: Any) -> PartitionLag:
    return PartitionLag(next, end, **{"polled_ms": NOW_MS - 500, "event_time_ms": NOW_MS - 9_000, **more})


async def a_store(*, built: bool = True) -> MemoryStore:
    """Positions 3 of 5 and 9 of 9, one partition's records set aside."""
    counter = Counter(carts)
    await counter.feed(record("c-1", 1, data={}, offset=1), record("c-2", 3, offset=2), record("c-3", "x", offset=0))
    marks = {"caught_up": [P0, P1], "partitions": [P0, P1]} if built else {}
    positions = {P0: Advance(0, 3), P1: Advance(0, 9)}
    await counter.store.apply(BucketChange(BUCKET, positions=positions, **marks))  # type: ignore[arg-type]
    report = {P0: lag(3, 5, rate=12.34, owner="w1"), P1: lag(9, 9, owner="w2")}
    await counter.store.report(BUCKET, write_report(report))
    return counter.store


async def rows(store: MemoryStore, buckets: int = 1, now_ms: int = NOW_MS) -> list[PartitionStatus]:
    return await read_status(store, [carts], buckets, now_ms)


async def test_a_row_per_partition_has_all_there_is_to_know() -> None:
    first, second = await rows(await a_store())
    assert first == PartitionStatus(
        projection="carts",
        kind="projection",
        generation=1,
        bucket=0,
        partition="shop.carts/0",
        position=3,
        end=5,
        lag=2,
        staleness_ms=9_000,
        rate=12.34,
        state="running",
        owner="w1",
        built=True,
        parked=2,
        set_aside=3,
        quarantine=3,
        polled_ms=NOW_MS - 500,
        event_time_ms=NOW_MS - 9_000,
    )
    assert (second.lag, second.staleness_ms, second.owner) == (0, 500, "w2")
    assert (second.parked, second.set_aside) == (0, 0)


async def test_of_a_large_quarantine_some_records_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("projections.status.LOOKED_AT", 2)
    found = await rows(await a_store())
    assert [row.quarantine for row in found] == [3, 3]
    assert sum(row.set_aside for row in found) == 2
    table = status_table(found).splitlines()
    assert [line.split()[6:8] for line in table[1:]] == [["2+", "2+"], ["0+", "0+"]]


async def test_a_projection_that_never_ran_has_a_row_too() -> None:
    [row] = await rows(MemoryStore())
    assert (row.partition, row.state, row.position, row.end, row.lag) == (None, "never ran", 0, None, None)
    assert not row.built
    assert "never ran" in status_table([row])


async def test_a_worker_that_is_silent_is_not_running() -> None:
    store = await a_store()
    first, _ = await rows(store, now_ms=NOW_MS + 4_600)
    assert (first.state, first.rate) == ("silent", None)


async def test_what_stopped_stays_stopped_and_says_why() -> None:
    store = await a_store(built=False)
    stopped = lag(3, 5, state="stopped: 60 of 100 records fail", polled_ms=NOW_MS - 60_000)
    await store.report(BUCKET, write_report({P0: stopped, P1: lag(9, 9, state="rebuilding")}))
    first, second = await rows(store)
    assert first.state == "stopped: 60 of 100 records fail"
    assert (second.state, second.built) == ("rebuilding", False)


async def test_buckets_are_as_many_as_the_generation_was_built_with() -> None:
    store = await a_store()
    await store.claim_buckets("carts", 1, 2)
    found = await rows(store, buckets=1)
    assert [(row.bucket, row.partition) for row in found] == [(0, "shop.carts/0"), (0, "shop.carts/1"), (1, None)]


async def test_the_table_has_a_line_per_partition_over_its_buckets() -> None:
    store = await a_store()
    other = Bucket("carts", 1, 1)
    await store.claim_buckets("carts", 1, 2)
    await store.apply(BucketChange(other, positions={P0: Advance(0, 1), P1: Advance(0, 9)}))
    await store.report(other, write_report({P0: lag(1, 5), P1: lag(9, 9)}))
    header, first, second = status_table(await rows(store)).splitlines()
    assert header.split() == [
        "projection", "partition", "lag", "stale", "rate/s", "parked", "aside", "state", "built", "position", "end", "gen", "owner",
    ]  # fmt: skip
    assert first.split()[:3] == ["carts", "shop.carts/0", "4"]
    assert "1 of 2" in first
    assert second.split()[:3] == ["carts", "shop.carts/1", "0"]
    assert second.split()[-4:-1] == ["9", "9", "1"]


async def test_what_needs_somebody_comes_first() -> None:
    """A terminal that is not long enough hides what comes last."""
    fine = PartitionStatus(
        "a", "projection", 1, 0, "t/0", 5, 5, 0, 0, 1.0, "running", "w", True, 0, 0, 0, NOW_MS, NOW_MS
    )
    others: dict[str, dict[str, Any]] = {
        "b": {},
        "c": {"set_aside": 1},
        "d": {"state": "silent"},
        "e": {"state": "stopped: full"},
        "f": {},
    }
    shown = status_table([fine, *(replace(fine, projection=name, **more) for name, more in others.items())])
    assert [line.split()[0] for line in shown.splitlines()[1:]] == ["e", "d", "c", "a", "b", "f"]


@pytest.mark.parametrize(
    ("age_ms", "told"),
    [
        (500, "0.5 s"),
        (119_940, "119.9 s"),
        (119_960, "2 min"),
        (7_100_000, "118 min"),
        (7_200_000, "2 h"),
        (172_000_000, "47 h"),
        (172_800_000, "2 d"),
        (25_402_324_000, "294 d"),
    ],
)
async def test_an_age_is_told_in_the_unit_that_fits(age_ms: int, told: str) -> None:
    store = await a_store()
    await store.report(BUCKET, write_report({P0: lag(3, 5, event_time_ms=NOW_MS - age_ms)}))
    _, first, _ = status_table(await rows(store)).splitlines()
    assert f"  {told}  " in first


# -- once, and again and again


def test_once_and_again_and_again_are_not_asked_for_together(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--once", "--watch"], ["--watch", "--json", "--once"]):
        with pytest.raises(SystemExit) as ended:
            parser().parse_args(["status", *words])
        assert ended.value.code == 2
        assert "not allowed with argument" in capsys.readouterr().err


async def said(store: MemoryStore, *words: str, is_terminal: bool, pages: int = 1) -> list[str]:
    written: list[str] = []
    stop = asyncio.Event()

    def write(text: str) -> None:
        written.append(text)
        if len([text for text in written if text not in (HIDE_CURSOR + CLEAR, SHOW_CURSOR)]) == pages:
            stop.set()

    async with asyncio.timeout(5):
        asked = parser().parse_args(["status", *words])
        await status(asked, store, [carts], 1, write=write, is_terminal=is_terminal, stop=stop)
    return written


async def test_no_terminal_one_plain_table() -> None:
    [page] = await said(await a_store(), is_terminal=False)
    assert page.startswith("projection")
    assert "\x1b" not in page
    assert [page] == await said(await a_store(), "--once", is_terminal=True) or "shop.carts/0" in page


async def test_json_is_one_line_of_rows_in_camel_case() -> None:
    [line] = await said(await a_store(), "--json", is_terminal=True)
    first, _ = json.loads(line)
    assert (first["setAside"], first["parked"], first["built"]) == (3, 2, True)
    assert line.count("\n") == 1


async def test_a_terminal_is_drawn_in_place_until_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("projections.operate.live.EVERY_S", 0.01)
    written = await said(await a_store(), is_terminal=True, pages=2)
    assert written[0] == HIDE_CURSOR + CLEAR
    assert written[-1] == SHOW_CURSOR
    assert len(written) == 4
    assert all(page.startswith("\x1b[H") for page in written[1:3])


async def test_watching_goes_on_over_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("projections.operate.live.EVERY_S", 0.01)
    store = await a_store()
    store.available = False
    first, _ = await said(store, "--watch", is_terminal=False, pages=2)
    assert first.endswith("trying again\n")
    lines = await said(store, "--watch", "--json", is_terminal=False, pages=2)
    assert "error" in json.loads(lines[0])
    with pytest.raises(StoreUnavailableError):
        await said(store, is_terminal=False)


# -- the screen


def test_a_table_pads_and_keeps_control_characters_out() -> None:
    assert table(("a", "b"), [(None, "x"), ("long\x1b[2J", 3)]) == "a            b\n-            x\nlong\\x1b[2J  3"
    assert plain("ok é") == "ok é"
    assert plain("\ud800") == "\\ud800"


def test_a_page_is_cut_to_the_terminal() -> None:
    page = drawn("now", "\n".join(f"row {number} {'x' * 90}" for number in range(50)), columns=40, lines=10)
    shown = page.removeprefix("\x1b[H").split("\x1b[K\n")
    assert len(shown) == 10
    assert shown[-1] == "\x1b[J"
    assert all(len(line) < 40 for line in shown)
    assert [line[:6] for line in shown[1:9]] == [f"row {number} " for number in range(8)]


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (7, "now||head|1|2|3"),
        (6, "now|head|1|2|3"),
        (5, "1 of 3 rows are not shown: a longer terminal, or --once  now|head|1|2"),
        (4, "2 of 3 rows are not shown: a longer terminal, or --once  now|head|1"),
        (3, "3 of 3 rows are not shown: a longer terminal, or --once  now|head"),
        (2, "3 of 3 rows are not shown: a longer terminal, or --once  now"),
    ],
)
def test_as_many_rows_as_fit_are_shown_and_the_others_counted(lines: int, told: str) -> None:
    page = drawn("now", "head\n1\n2\n3", columns=100, lines=lines)
    assert page == "\x1b[H" + "".join(f"{line}\x1b[K\n" for line in told.split("|")) + "\x1b[J"
