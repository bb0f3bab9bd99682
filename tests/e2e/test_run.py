"""`make run`'s program from a copy of the checkout: it comes up, answers, and leaves nothing behind however it ends."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from gateway.dev.ports import LOOPBACK, free_port
from tests.e2e.program import Program, ask, assert_nothing_left, copy_checkout, environment, start_shop
from tests.until import is_alive, until

PARTS = ("redis", "kafka", "customers", "catalog", "orders", "payments", "shipping", "projector", "gateway")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_checkout(tmp_path_factory.mktemp("checkout"))


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """Where the program keeps its files; nothing else is put there."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


def printed_query(program: Program) -> str:
    """The query that the program printed to be pasted."""
    start = next(number for number, line in enumerate(program.lines) if line.strip().startswith("query {"))
    end = next(number for number in range(start, len(program.lines)) if not program.lines[number].strip())
    return "\n".join(program.lines[start:end])


def pid_of(program: Program, part: str) -> int:
    [pid] = [pid for pid, command in program.descendants().items() if part in command]
    return pid


REGISTER = """mutation($input: RegisterCustomerInput!) { registerCustomer(input: $input) {
  ... on RegisterCustomerAccepted { receipt { token } customer { id key version name email } } } }"""


def check_that_it_works(program: Program) -> None:
    """It has printed what it should, and answers a query, and a mutation that reads itself."""
    assert [line.split()[0] for line in program.lines if line.startswith(tuple(f"{part}" for part in PARTS))] != []
    shown = {
        line.split()[0]: line.split()[1:] for line in program.lines if line.split()[:1] and line.split()[0] in PARTS
    }
    assert set(shown) == set(PARTS)
    assert shown["projector"] == []
    url = program.lines[-1].removeprefix("ready ")
    assert url == f"{shown['gateway'][0]}/graphql"

    order = ask(url, printed_query(program))["data"]["order"]
    assert order["status"] == "COMPLETED"
    assert order["customer"]["name"]
    assert all(line["product"]["title"] for line in order["lines"])
    assert [payment["status"] for payment in order["payments"]] == ["CAPTURED"]
    delivered = sorted(number for shipment in order["shipments"] for number in shipment["lineNumbers"])
    assert delivered == [line["number"] for line in order["lines"]]

    person = {"name": "Nell Gwynn", "segment": "BUILDING", "nation": "FRANCE"}
    accepted = ask(url, REGISTER, input=person)["data"]["registerCustomer"]
    assert accepted["customer"]["name"] == "Nell Gwynn"
    read = "query($id: ID!) { customer(id: $id) { version name } }"
    again = ask(url, read, after=accepted["receipt"]["token"], id=accepted["customer"]["id"])
    assert again["data"]["customer"] == {"version": 1, "name": "Nell Gwynn"}
    assert again["extensions"]["consistency"]["satisfied"] is True

    page = httpx.get(url, headers={"Accept": "text/html"}, trust_env=False)
    assert page.status_code == 200
    assert "graphiql" in page.text.lower()


def test_two_runs_side_by_side_and_each_way_to_end(checkout: Path, temporary: Path) -> None:
    first_port, second_port = free_port(), free_port()
    with start_shop(checkout, temporary, first_port) as first, start_shop(checkout, temporary, second_port) as second:
        for program, port in ((first, first_port), (second, second_port)):
            assert program.line("ready ") == f"ready http://127.0.0.1:{port}/graphql"
            check_that_it_works(program)
        assert {entry.name for entry in temporary.iterdir()} == {
            f"headrace-{os.getuid()}-{port}" for port in (first_port, second_port)
        }

        with start_shop(checkout, temporary, second_port) as third:
            assert third.wait() == 2
        assert "another run uses" in third.output

        children = first.descendants()
        first.send(signal.SIGINT)
        assert first.wait() == 0, first.output
        assert not any(map(is_alive, children))
        assert [entry.name for entry in temporary.iterdir()] == [f"headrace-{os.getuid()}-{second_port}"]

        check_that_it_works(second)
        children = second.descendants()
        os.kill(pid_of(second, "-m projections run"), signal.SIGKILL)
        assert second.wait() == 1
        assert "projector was ended by SIGKILL; its last lines:" in second.output
        assert_nothing_left(children, temporary, within_s=0.1)


def test_a_history_instead_of_seeds(checkout: Path, temporary: Path) -> None:
    port = free_port()
    with start_shop(checkout, temporary, port, "--tpch", "0.0002") as program:
        url = program.line("ready ").removeprefix("ready ")
        assert any(
            line.startswith("TPC-H at scale 0.0002: 30 customers, 40 products, 300 orders") for line in program.lines
        )
        order = ask(url, printed_query(program))["data"]["order"]
        assert order["status"] == "COMPLETED"
        assert order["placedAt"].startswith("1993-10-14")
        assert ask(url, "{ orders { totalCount } }")["data"]["orders"]["totalCount"] == 300
        settings = {"HEADRACE_PORT": str(port), "TMPDIR": str(temporary)}
        again = [sys.executable, "-m", "examples.shop", "load", "--tpch", "0.0002"]
        with Program(again, checkout, settings) as loading:
            assert loading.wait() == 2, loading.output


@pytest.mark.parametrize("scale", ["0", "-1", "nan", "much", "1e9"])
def test_a_scale_that_cannot_be_had_is_refused(checkout: Path, temporary: Path, scale: str) -> None:
    with start_shop(checkout, temporary, free_port(), f"--tpch={scale}") as program:
        assert program.wait() == 2
    assert len(program.lines) == 1
    assert "scale" in program.lines[0]
    assert not list(temporary.iterdir())


def test_nothing_outlives_a_run_that_is_killed_while_it_starts(checkout: Path, temporary: Path) -> None:
    port = free_port()
    with start_shop(checkout, temporary, port) as program:
        program.line("gateway ")
        children = program.descendants()
        assert len(children) == 6
        program.send(signal.SIGKILL)
        assert_nothing_left(children, temporary)


def test_a_stop_while_parts_are_starting_is_an_orderly_one(checkout: Path, temporary: Path) -> None:
    with start_shop(checkout, temporary, free_port()) as program:
        program.line("kafka ")
        children = program.descendants()
        program.send(signal.SIGTERM)
        assert program.wait() == 0, program.output
        assert_nothing_left(children, temporary, within_s=0.1)


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed here")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_it_stops_when_only_the_make_that_started_it_is_told_to(
    checkout: Path, temporary: Path, number: signal.Signals
) -> None:
    settings = {"TMPDIR": str(temporary), "MAKEFLAGS": f"VENV={sys.prefix} RUN_STAMP= PORT={free_port()}"}
    with Program(["make", "run"], checkout, settings) as program:
        program.line("kafka ")
        children = program.descendants()
        program.send(number)
        assert_nothing_left(children, temporary, within_s=20)


def test_a_reader_that_goes_away_ends_it(checkout: Path, temporary: Path) -> None:
    argv = [sys.executable, "-m", "examples.shop", "run"]
    env = environment(HEADRACE_PORT=str(free_port()), TMPDIR=str(temporary))
    with subprocess.Popen(argv, cwd=checkout, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        assert program.stdout
        assert program.stderr
        program.stdout.readline()
        program.stdout.close()
        assert program.wait(60) == 1
        assert b"Traceback" not in program.stderr.read()
    until(lambda: not list(temporary.iterdir()), what="the end of the run's folder")


def test_a_port_that_is_taken_is_said_before_anything_starts(checkout: Path, temporary: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        with start_shop(checkout, temporary, port) as program:
            assert program.wait() == 2
    assert program.lines == [f"port {port} is taken: stop what listens there, or choose another with HEADRACE_PORT"]
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("value", ["http", "0", "65536", "-1", "８０００"])
def test_a_port_that_is_none_is_refused(checkout: Path, temporary: Path, value: str) -> None:
    settings = {"HEADRACE_PORT": value, "TMPDIR": str(temporary)}
    with Program([sys.executable, "-m", "examples.shop", "run"], checkout, settings) as program:
        assert program.wait() == 2
    assert program.lines == [f"HEADRACE_PORT is {value!r}, not a port number"]


def test_a_setting_that_no_part_knows_is_reported_by_the_part(checkout: Path, temporary: Path) -> None:
    settings = {"HEADRACE_PORT": str(free_port()), "TMPDIR": str(temporary), "HEADRACE_MAX_WAIT": "1"}
    with Program([sys.executable, "-m", "examples.shop", "run"], checkout, settings) as program:
        assert program.wait() == 1
    assert "HEADRACE_MAX_WAIT is not a setting; did you mean HEADRACE_MAX_WAIT_MS?" in program.output
    assert not list(temporary.iterdir())
