"""The README's commands do what it says, from a copy of the checkout: every shell block is run, every query is asked."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.dev.ports import free_port
from tests.e2e.program import ROOT, Program, ask, assert_nothing_left, copy_checkout, environment

README = (ROOT / "README.md").read_text(encoding="utf-8")
RUNS = ("curl ", "TOKEN=", "python -m ")

pytestmark = pytest.mark.skipif(not (shutil.which("curl") and shutil.which("make")), reason="needs make and curl")


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def table_commands(start: str) -> list[str]:
    """What stands in backquotes in the first column of a table and begins with `start`."""
    return re.findall(rf"^\| `({start}[^`]*)` \|", README, re.MULTILINE)


@dataclass(frozen=True)
class Made:
    """The program that the README's `make run` started."""

    program: Program
    checkout: Path
    port: int

    def here(self, text: str) -> str:
        """A command of the README with this run's port."""
        return text.replace("127.0.0.1:8000", f"127.0.0.1:{self.port}")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """`make run` as the README has it; the environment is this test's own, so nothing is installed."""
    checkout = copy_checkout(tmp_path_factory.mktemp("clone"))
    temporary = tmp_path_factory.mktemp("temporary")
    port = free_port()
    installed = f"VENV={sys.prefix} RUN_STAMP= DEV_STAMP="
    settings = {"HEADRACE_PORT": str(port), "TMPDIR": str(temporary), "MAKEFLAGS": installed}
    with Program(["make", "run"], checkout, settings) as program:
        assert program.line("ready ") == f"ready http://127.0.0.1:{port}/graphql"
        yield Made(program, checkout, port)
        children = program.descendants()
        os.killpg(program.pid, signal.SIGINT)  # as Ctrl-C in a terminal: to make and to what it started
        program.wait()
        assert_nothing_left(children, temporary)


def test_the_first_command_is_make_run() -> None:
    assert blocks("sh")[0] == "make run\n"


@pytest.mark.parametrize("block", [block for block in blocks("sh") if block.startswith(RUNS)])
def test_a_shell_block_does_what_it_says(made: Made, block: str) -> None:
    bash = ["bash", "-euo", "pipefail", "-c", made.here(block)]
    done = subprocess.run(
        bash, cwd=made.checkout, env=environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert '"errors"' not in done.stdout
    if "Headrace-After" in block:
        assert '"satisfied":true' in done.stdout.replace(" ", "")


def test_every_shell_block_is_run_or_is_a_make_target() -> None:
    for block in blocks("sh"):
        for line in block.splitlines():
            assert line.startswith((*RUNS, "make ", "#")), f"nothing tests this line: {line}"
    assert any("Headrace-After" in block for block in blocks("sh"))


@pytest.mark.parametrize("query", blocks("graphql"))
def test_a_query_has_an_answer(made: Made, query: str) -> None:
    data = ask(f"http://127.0.0.1:{made.port}/graphql", query)["data"]
    assert all(data.values())


@pytest.mark.parametrize("command", table_commands("make "))
def test_a_make_target_of_the_table_is_there(command: str) -> None:
    done = subprocess.run(
        ["make", "--dry-run", *command.split()[1:]],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", table_commands("python "))
def test_a_program_of_the_table_is_there(command: str) -> None:
    argv = [sys.executable, *command.split()[1:], "--help"]
    done = subprocess.run(argv, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: ")


def test_the_tables_were_found() -> None:
    assert len(table_commands("make ")) >= 5
    assert len(table_commands("python ")) >= 3
    assert len(blocks("graphql")) >= 1
