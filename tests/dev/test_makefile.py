"""The Makefile: what its targets run, and the environment that it makes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed here")


def make(*arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "HEADRACE_", "MFLAGS"))}
    return subprocess.run(
        ["make", *arguments], cwd=ROOT, env={**clean, **env}, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("target", ["run", "test", "check", "bench", "chaos", "up", "fmt"])
def test_every_target_is_there(target: str) -> None:
    done = make("--dry-run", target)
    assert done.returncode == 0, done.stderr


def test_run_passes_port_and_scale_on() -> None:
    lines = make("--dry-run", "run", "TPCH=0.01", HEADRACE_PORT="8123").stdout.splitlines()
    assert lines[-1] == "HEADRACE_PORT=8123 exec .venv/bin/python -m examples.shop run --stop-with-parent --tpch 0.01"
    lines = make("--dry-run", "run").stdout.splitlines()
    assert lines[-1].rstrip() == "HEADRACE_PORT=8000 exec .venv/bin/python -m examples.shop run --stop-with-parent"


def test_an_interpreter_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = make("run", "PYTHON=python3.0", f"VENV={tmp_path}/none")
    assert done.returncode == 2
    assert "no python3.0 here; name a Python 3.11 or newer: make run PYTHON=python3.12" in done.stderr


def test_an_old_interpreter_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    program = (ROOT / "tools" / "environment.py").read_text()
    assert "sys.version_info < (3, 11)" in program
    old = tmp_path / "environment.py"
    old.write_text(program.replace("sys.version_info < (3, 11)", "sys.version_info < (99, 0)"))
    argv = [sys.executable, str(old), str(tmp_path / "env"), "requirements.txt", str(tmp_path / "env" / ".stamp")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Headrace needs Python 3.11 or newer; ")
    assert not (tmp_path / "env").exists()


def test_two_makes_side_by_side_make_one_environment(tmp_path: Path) -> None:
    requirements = tmp_path / "none.txt"
    requirements.write_text("# nothing but the interpreter\n")
    environment = tmp_path / "env"
    argv = [sys.executable, "tools/environment.py", str(environment), str(requirements), f"{environment}/.stamp-none-1"]
    both = [subprocess.Popen(argv, cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [one.communicate(timeout=120)[1] for one in both]
    assert [one.returncode for one in both] == [0, 0], said
    assert sorted("environment: making" in text for text in said) == [False, True], said
    assert (environment / ".stamp-none-1").exists()
    again = subprocess.run(
        [*argv[:-1], f"{environment}/.stamp-none-2"], cwd=ROOT, stderr=subprocess.PIPE, text=True, check=True
    )
    assert "environment: making" not in again.stderr
    assert [stamp.name for stamp in environment.glob(".stamp-*")] == [".stamp-none-2"]
