"""`.ci/run`: every step runs, any failure fails it, and its last line is the suite's closing line."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLOSING = "1372 passed, 1 skipped in 322.67s (0:05:22)"


STEPS = ("check", "kafka", "redis", "browser")


def run(folder: Path, **codes: int) -> "subprocess.CompletedProcess[str]":
    """`.ci/run` with programs in the place of make, of what its steps need, and of the browser's checks; with these codes."""
    (folder / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", folder / ".ci" / "run")
    make = f"""case "$1" in
      check) cat; echo linted; echo "{CLOSING}"; exit {codes.get("check", 0)} ;;
      test-kafka) echo "26 passed in 90.00s"; exit {codes.get("kafka", 0)} ;;
      test-redis) echo "300 passed in 50.00s"; exit {codes.get("redis", 0)} ;;
      *) exit 9 ;;
    esac"""
    browser = f"echo '9 passed, 0 failed'; exit {codes.get('browser', 0)}"
    programs = {"bin/make": make, "tests/browser/run": browser}
    programs |= {f"bin/{name}": "exit 0" for name in ("java", "mvn", "apt-get", "dpkg")}
    for name, program in programs.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"#!/usr/bin/env bash\n{program}\n")
        (folder / name).chmod(0o755)
    env = {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    return subprocess.run([folder / ".ci" / "run"], env=env, capture_output=True, text=True, timeout=30, check=False)


def test_all_steps_run_and_the_last_line_is_the_suites(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "== check",
        "linted",
        CLOSING,
        "== kafka",
        "26 passed in 90.00s",
        "== redis",
        "300 passed in 50.00s",
        "== browser",
        "9 passed, 0 failed",
        CLOSING,
    ]


@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_fails_fails_it_and_keeps_no_other_from_running(tmp_path: Path, step: str) -> None:
    done = run(tmp_path, **{step: 3})
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert [lines.count(f"== {name}") for name in STEPS] == [1, 1, 1, 1]
    assert lines[-2] == f"== failed: {step} (exit 3)"
    assert lines[-1] == CLOSING
