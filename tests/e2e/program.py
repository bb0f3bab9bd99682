"""`make run`'s program as a test sees it: a process, the lines that it printed, its descendants, its temporary folder."""

import contextlib
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import httpx

from tests.until import is_alive, until

ROOT = Path(__file__).parents[2]
READY_WITHIN_S = 90.0
STOPPED_WITHIN_S = 30.0


def copy_checkout(target: Path) -> Path:
    """What a clone would have: the tracked files and the new ones that are not ignored; all but caches without git."""
    argv = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    if not (ROOT / ".git").exists():
        ignored = shutil.ignore_patterns(".*_cache", ".venv", ".hypothesis", "__pycache__", "node_modules", "artefacts")
        shutil.copytree(ROOT, target, ignore=ignored, dirs_exist_ok=True)
        return target
    listed = subprocess.run(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return target


def environment(**settings: str) -> dict[str, str]:
    """The caller's environment without settings of another gateway, and without make's own variables."""
    strangers = ("HEADRACE_", "SHOP_", "MAKE", "MFLAGS", "PYTHONPATH")
    return {**{name: value for name, value in os.environ.items() if not name.startswith(strangers)}, **settings}


class Program:
    """A program that is up once it has printed a line that begins with `ready `. Ended, killed if need be, on exit."""

    def __init__(self, argv: Sequence[str], cwd: Path, settings: Mapping[str, str]) -> None:
        self.lines: list[str] = []
        self._coming: queue.Queue[str | None] = queue.Queue()
        self._process = subprocess.Popen(
            argv,
            cwd=cwd,
            env=environment(**settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def line(self, prefix: str, within_s: float = READY_WITHIN_S) -> str:
        """The first line, from here on, that begins with `prefix`; fails when the program ends or is late."""
        deadline = time.monotonic() + within_s
        while True:
            try:
                line = self._coming.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no line {prefix!r} within {within_s:.0f} s:\n{self.output}") from None
            assert line is not None, f"it ended before it printed {prefix!r}:\n{self.output}"
            if line.startswith(prefix):
                return line

    def descendants(self) -> dict[int, str]:
        """The command lines, by id, of all processes that come from this one and are alive."""
        parents: dict[int, int] = {}
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        found, generation = set[int](), {self.pid}
        while generation := {pid for pid, parent in parents.items() if parent in generation}:
            found |= generation
        return {pid: _command(pid) for pid in found if is_alive(pid)}

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self, within_s: float = STOPPED_WITHIN_S) -> int:
        """The exit code, once all of its output has been read."""
        code = self._process.wait(within_s)
        self._reader.join(within_s)
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOPPED_WITHIN_S)
            self._process.kill()
        self.wait()
        if self._process.stdout:
            self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self.lines.append(line.rstrip("\n"))
            self._coming.put(self.lines[-1])
        self._coming.put(None)


def start_shop(checkout: Path, temporary: Path, port: int, *options: str) -> Program:
    """`python -m examples.shop run` with this test's interpreter, in a copy of the checkout."""
    argv = [sys.executable, "-m", "examples.shop", "run", *options]
    return Program(argv, checkout, {"HEADRACE_PORT": str(port), "TMPDIR": str(temporary)})


def ask(url: str, query: str, after: str | None = None, **variables: Any) -> dict[str, Any]:
    """The answer's body; fails unless it is one without errors."""
    headers = {"Headrace-After": after} if after else {}
    reply = httpx.post(url, json={"query": query, "variables": variables}, headers=headers, timeout=30, trust_env=False)
    answer: dict[str, Any] = reply.json()
    assert reply.status_code == 200, answer
    assert "errors" not in answer, answer
    return answer


def assert_nothing_left(pids: Mapping[int, str], temporary: Path, within_s: float = 10.0) -> None:
    """All of these processes end, and the temporary folder is empty."""
    until(lambda: not any(map(is_alive, pids)), within_s, "the end of " + str(dict(pids)))
    until(lambda: not list(temporary.iterdir()), within_s, "the end of the run's folder")


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    return ""
