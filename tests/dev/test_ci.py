"""`.ci/run`: every step runs, any failure fails it, and its last line is the suite's closing line."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLOSING = "1372 passed, 1 skipped in 322.67s (0:05:22)"


def run(folder: Path, **codes: int) -> "subprocess.CompletedProcess[str]":
    """`.ci/run` with programs in the place of make and of the browser's checks, which end with these codes."""
    (folder / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", folder / ".ci" / "run")
    make = f'[ "$1" = check ] || exit 9; cat; echo linted; echo "{CLOSING}"; exit {codes.get("check", 0)}'
    browser = f"echo '9 passed, 0 failed'; exit {codes.get('browser', 0)}"
    for name, program in (("bin/make", make), ("tests/browser/run", browser)):
        (folder / name).parent.mkdir(parents=True)
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
        "== browser",
        "9 passed, 0 failed",
        CLOSING,
    ]


@pytest.mark.parametrize("step", ["check", "browser"])
def test_a_step_that_fails_fails_it_and_keeps_no_other_from_running(tmp_path: Path, step: str) -> None:
    done = run(tmp_path, **{step: 3})
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines.count("== check") == lines.count("== browser") == 1
    assert lines[-2] == f"== failed: {step} (exit 3)"
    assert lines[-1] == CLOSING
