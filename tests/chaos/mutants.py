"""Takes the guards away, one at a time, and sees which test notices: `python -m tests.chaos.mutants [NAME...]`.

Invariants: the tree itself is never changed, each mutation happens in a copy in a temporary folder; a mutation counts as
caught only when a test fails that passes without it. Prints one line per guard, ends with 1 when one could be taken away unnoticed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from tests.chaos.guards import GUARDS, Guard

ROOT: Final = Path(__file__).resolve().parents[2]
WITHIN_S: Final = 120.0
_TAKEN: Final = ("projections", "schema", "gateway", "examples", "tests", "tools", "pyproject.toml", "requirements")
_LEFT: Final = shutil.ignore_patterns("__pycache__", "node_modules", ".hypothesis", "*.pyc", "browser")
_FAILED: Final = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Verdict:
    """What became of a mutation: the test that failed because of it, None when none did."""

    name: str
    protects: str
    caught_by: str | None
    seconds: float
    output: str = ""


def copy_tree(folder: Path) -> Path:
    """What tests need of the tree, in a folder of its own."""
    for name in _TAKEN:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=_LEFT)
        else:
            shutil.copy(source, folder / name)
    return folder


def mutated(text: str, guard: Guard) -> str:
    """A file's text without the guard. Raises ValueError unless its words are there exactly once."""
    found = text.count(guard.text)
    if found != 1:
        raise ValueError(f"{guard.name}: its text occurs {found} times in {guard.file}")
    return text.replace(guard.text, guard.instead)


def judge(guard: Guard, tree: Path) -> Verdict:
    """Mutates a copy of the tree and runs the guard's tests until one fails that passes once the copy is mended."""
    target = tree / guard.file
    whole = target.read_text(encoding="utf-8")
    started_s = time.monotonic()
    output = ""
    for tests in guard.tests:
        try:
            target.write_text(mutated(whole, guard), encoding="utf-8")
            code, output = run_tests(tree, tests.split())
        finally:
            target.write_text(whole, encoding="utf-8")
        failed = _FAILED.findall(output)
        if code is None or (code == 1 and failed):
            culprit = [failed[0]] if failed else tests.split()
            again, told_without = run_tests(tree, culprit)
            if again == 0:
                how = " ".join(culprit) if code else f"{tests} (hangs)"
                return Verdict(guard.name, guard.protects, how, time.monotonic() - started_s)
            output = f"{culprit} fails without the mutation, too:\n{told_without}"
    return Verdict(guard.name, guard.protects, None, time.monotonic() - started_s, output[-2000:])


def run_tests(tree: Path, tests: Sequence[str]) -> tuple[int | None, str]:
    """pytest's exit code (None: it did not end in time) and output, for these arguments, in a copy of the tree."""
    environ = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(tree)}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=line", "-p", "no:cacheprovider", *tests]
    with subprocess.Popen(
        command, cwd=tree, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    ) as process:
        try:
            output, _ = process.communicate(timeout=WITHIN_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            return None, output.decode(errors="replace")
    return process.returncode, output.decode(errors="replace")


def judge_all(guards: Sequence[Guard], jobs: int = 1) -> list[Verdict]:
    """Verdicts in the order of the guards. Raises ValueError for a guard that is not where it should be."""
    for guard in guards:
        mutated((ROOT / guard.file).read_text(encoding="utf-8"), guard)
    with tempfile.TemporaryDirectory(prefix="headrace-mutants-") as folder:
        trees = [copy_tree(Path(folder) / str(number)) for number in range(jobs)]
        verdicts: dict[str, Verdict] = {}

        def work(number: int) -> None:
            for guard in guards[number::jobs]:
                verdict = verdicts[guard.name] = judge(guard, trees[number])
                print(told(verdict), flush=True)

        with ThreadPoolExecutor(jobs) as pool:
            list(pool.map(work, range(jobs)))
    return [verdicts[guard.name] for guard in guards]


def told(verdict: Verdict) -> str:
    """One line."""
    how = f"caught by {verdict.caught_by}" if verdict.caught_by else "SURVIVED"
    return f"D8 {verdict.name}: {how} ({verdict.seconds:.1f} s)"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.mutants", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="guards; all when left out")
    parser.add_argument("--jobs", type=int, default=1, help="copies of the tree that are worked on at the same time")
    parser.add_argument("--json", type=Path, help="where to write the verdicts")
    chosen = parser.parse_args(arguments)
    guards = [guard for guard in GUARDS if not chosen.names or any(name in guard.name for name in chosen.names)]
    if not guards:
        parser.error("no such guard")
    verdicts = judge_all(guards, chosen.jobs)
    survived = [verdict for verdict in verdicts if verdict.caught_by is None]
    if chosen.json:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(json.dumps([asdict(verdict) for verdict in verdicts], indent=2), encoding="utf-8")
    for verdict in survived:
        print(f"-- {verdict.name}, which protects: {verdict.protects}\n{verdict.output}")
    print(f"D8 {len(verdicts) - len(survived)} of {len(verdicts)} guards caught when taken away")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
