"""`python -m examples.shop load`: bad input is told and writes nothing; the generator's files go, and fit together."""

import asyncio
import io
import json
import re
import sysconfig
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx
import pytest

from examples.shop.contexts import CONTEXTS
from examples.shop.load import LoadReport, find_shop, load, main, until_shown
from examples.shop.settings import SERVICES
from examples.shop.tpch import generate, write
from examples.shop.tpch.errors import GenerateError, NotRunningError, NotShownError, PartlyLoadedError, ScaleError
from examples.shop.tpch.generate import checked_scale, generated
from examples.shop.tpch.history import STREAMS, count
from examples.shop.tpch.progress import shown_progress
from examples.shop.tpch.rows import order_rows, rows
from examples.shop.tpch.write import Written
from gateway.dev.folder import run_folder_path
from gateway.dev.ports import free_port
from tests.shop.test_tpch_write import ignore
from tests.until import is_alive, until

SMALLEST = 0.0001


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this test's temporary files are, also the folders of runs."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    for name in ("SHOP_DATA", "SHOP_DATABASES", "SHOP_DATABASES_FILE", "HEADRACE_PORT"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
def databases(tmp_path: Path) -> Mapping[str, str]:
    return {context.name: f"sqlite:///{tmp_path}/{context.name}.sqlite" for context in CONTEXTS}


@pytest.fixture
def note(temporary: Path, databases: Mapping[str, str]) -> Callable[[int], None]:
    """Leaves the note of a run whose gateway is on this port."""

    def leave(port: int) -> None:
        folder = run_folder_path(port)
        folder.mkdir(mode=0o700)
        found = {"gateway": f"http://127.0.0.1:{port}", "databases": databases}
        (folder / "shop.json").write_text(json.dumps(found))

    return leave


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "scale", ["0", "-1", "nan", "inf", "-inf", "1e400", "abc", "", "0x1", "2", "0.00009", "1e-300"]
)
def test_a_scale_that_cannot_be_had_is_refused(scale: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"--tpch={scale}"]) == 2
    told = capsys.readouterr()
    assert "scale" in told.err
    assert "Traceback" not in told.err
    assert told.out == ""


def test_a_large_scale_is_had_by_force() -> None:
    assert checked_scale("2", force=True) == 2.0
    with pytest.raises(ScaleError, match=r"34,000,000 records; above 1 only with --force"):
        checked_scale("2")
    with pytest.raises(ScaleError):
        checked_scale("inf", force=True)


@pytest.mark.parametrize(
    "arguments", [[], ["--tpch"], ["--tpch", "0.01", "--port", "x"], ["--tpch", "0.01", "--port", "0"], ["--nonsense"]]
)
def test_a_wrong_command_line_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: python -m examples.shop load" in capsys.readouterr().err


def test_a_wrong_port_in_the_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_PORT", "http")
    with pytest.raises(SystemExit) as ended:
        main(["--tpch", "0.01"])
    assert ended.value.code == 2


def test_no_shop_on_that_port(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--tpch", "0.01", "--port", "8123"]) == 2
    assert "no shop runs with its gateway on port 8123: start one with `make run`" in capsys.readouterr().err


def test_a_shop_whose_gateway_is_silent_gets_nothing(
    note: Callable[[int], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    note(port)
    assert main(["--tpch", "0.01", "--port", str(port)]) == 2
    assert f"the gateway does not answer at http://127.0.0.1:{port}" in capsys.readouterr().err
    assert names(tmp_path) == ["temporary"]


def test_a_note_that_is_no_json_is_no_shop(note: Callable[[int], None]) -> None:
    note(8123)
    (run_folder_path(8123) / "shop.json").write_text("{")
    with pytest.raises(NotRunningError):
        find_shop({}, 8123, None)


def test_two_ways_to_name_the_databases_are_one_too_many(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SHOP_DATA", str(tmp_path))
    monkeypatch.setenv("SHOP_DATABASES", "customers=sqlite://")
    assert main(["--tpch", "0.01"]) == 2
    assert "exactly one of" in capsys.readouterr().err


# --- where the shop is -----------------------------------------------------------------------------------------------


def test_the_run_on_the_gateways_port_is_found(note: Callable[[int], None], databases: Mapping[str, str]) -> None:
    note(8123)
    assert find_shop({}, 8123, None) == ("http://127.0.0.1:8123", databases)
    assert find_shop({}, 8123, "http://gateway:8000")[0] == "http://gateway:8000"


def test_the_environment_may_name_the_databases(note: Callable[[int], None]) -> None:
    note(8123)
    urls = {service: f"postgresql+psycopg://db/{service}" for service in SERVICES}
    environ = {"SHOP_DATABASES": ",".join(f"{service}={url}" for service, url in urls.items())}
    assert find_shop(environ, 8123, None) == ("http://127.0.0.1:8123", urls)


# --- the generator ---------------------------------------------------------------------------------------------------


async def test_the_smallest_data_set_fits_together_and_leaves_no_file(temporary: Path) -> None:
    async with generated(SMALLEST) as table:
        assert names(temporary)
        counts = count(table)
        customers = {key for key, _ in rows(table("customer"), "c_custkey", "c_name")}
        parts = {key for key, _ in rows(table("part"), "p_partkey", "p_name")}
        orders = list(order_rows(table))
        prices = [price for _, price in rows(table("part"), "p_partkey", "p_retailprice")]
        written = {name: sum(1 for _ in stream(table)) for name, stream in STREAMS.items()}
    assert names(temporary) == []
    assert counts == written
    assert (counts["customers"], counts["catalog"], counts["orders"]) == (15, 20, 150)
    assert {order.customer for order in orders} <= customers
    assert {line.part for order in orders for line in order.lines} <= parts
    assert all(order.lines for order in orders)
    money = [*prices, *(str(order.total) for order in orders)]
    money += [
        str(amount) for order in orders for line in order.lines for amount in (line.price, line.discount, line.tax)
    ]
    assert [amount for amount in money if not re.fullmatch(r"\d+\.\d\d", amount)] == []


async def test_a_generator_that_fails_is_told(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "_TABLES", ("nonsense",))
    with pytest.raises(GenerateError, match=r"tpchgen-cli ended with 2: .*nonsense"):
        async with generated(SMALLEST):
            pass
    assert names(temporary) == []


async def test_a_generator_that_is_not_installed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    with pytest.raises(GenerateError, match="tpchgen-cli cannot be started: No such file"):
        async with generated(SMALLEST):
            pass


async def test_a_cancelled_generator_leaves_no_process_and_no_file(
    temporary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, pid = tmp_path / "tpchgen-cli", tmp_path / "pid"
    program.write_text(f"#!/bin/sh\necho $$ > {pid}.part && mv {pid}.part {pid}\nexec sleep 60\n")
    program.chmod(0o700)
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))

    async def generate_in_vain() -> None:
        async with generated(SMALLEST):
            pytest.fail("it never ends")

    async with asyncio.TaskGroup() as group:
        generating = group.create_task(generate_in_vain())
        await asyncio.to_thread(until, pid.exists)
        generating.cancel()
    assert names(temporary) == []
    assert not is_alive(int(pid.read_text()))


# --- load ------------------------------------------------------------------------------------------------------------


async def test_a_cancelled_load_says_how_far_it_came(
    databases: Mapping[str, str], temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "_AGGREGATES_AT_ONCE", 50)
    loop = asyncio.get_running_loop()
    cancelled = threading.Event()

    def cancel_in_orders(stage: str, done: int, total: int) -> None:
        if stage == "orders":
            loop.call_soon_threadsafe(loading.cancel)
            # After the iterations of the loop in which the task is woken and tells the writer to stop.
            loop.call_soon_threadsafe(loop.call_later, 0.05, cancelled.set)
            assert cancelled.wait(10)

    async def load_and_tell() -> BaseException | None:
        try:
            await load(SMALLEST, databases, cancel_in_orders)
        except asyncio.CancelledError as error:
            return error.__cause__
        return None

    async with asyncio.TaskGroup() as group:
        loading = group.create_task(load_and_tell())
    cause = loading.result()
    assert isinstance(cause, PartlyLoadedError)
    assert "customers 15 of 15, catalog 20 of 20, orders 50 of 150, payments 0 of 150" in str(cause)
    assert names(temporary) == []


async def test_a_scale_out_of_bounds_is_refused_before_anything(databases: Mapping[str, str], tmp_path: Path) -> None:
    with pytest.raises(ScaleError):
        await load(1.5, databases, ignore)
    assert names(tmp_path) == ["temporary"]


async def test_a_shop_that_goes_after_the_load_is_told(tmp_path: Path) -> None:
    report = LoadReport(SMALLEST, {}, 0.0, 0.0)
    gone = {service: f"sqlite:///{tmp_path}/gone/{service}.sqlite" for service in SERVICES}
    async with httpx.AsyncClient(base_url="http://127.0.0.1:1") as client:
        with pytest.raises(NotShownError, match="the history is written, and the shop is gone"):
            await until_shown(client, gone, report, ignore)


def test_a_report_in_words() -> None:
    written = {name: Written(1_500, 3_000, ()) for name in STREAMS}
    told = LoadReport(0.01, written, generated_in_s=1.04, written_in_s=4.0).told(shown_in_s=6.0)
    assert told.splitlines() == [
        "TPC-H at scale 0.01: 1,500 customers, 1,500 products, 1,500 orders, 1,500 payments, 1,500 shipments; 15,000 records",
        "generated in 1.0 s, written in 4.0 s, all published and projected 6.0 s later: 10.0 s in all, 1,500 records/s",
    ]


# --- progress --------------------------------------------------------------------------------------------------------


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_without_a_terminal_is_a_line_per_stage() -> None:
    stream = io.StringIO()
    with shown_progress(stream) as progress:
        for done in (2_000, 4_000, 5_917):
            progress("shipping", done, 5_917)
        progress("published", 17_030, 17_030)
    assert stream.getvalue().splitlines() == ["shipping: 5,917 of 5,917", "published: 17,030 of 17,030"]


def test_progress_without_a_terminal_is_told_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    stream = io.StringIO()
    with shown_progress(stream) as progress:
        for now_s in (1.0, 6.0, 7.0, 12.0):
            progress("shipping", int(now_s), 100)
    assert stream.getvalue().splitlines() == ["shipping: 6 of 100", "shipping: 12 of 100"]


def test_progress_on_a_terminal_is_a_bar_per_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = _Terminal()
    with shown_progress(stream) as progress:
        progress("orders", 2_000, 15_000)
        progress("orders", 15_000, 15_000)
        progress("payments", 15_000, 15_000)
    last = stream.getvalue()
    assert re.search(r"orders.*15000/15000", last)
    assert re.search(r"payments.*15000/15000", last)
