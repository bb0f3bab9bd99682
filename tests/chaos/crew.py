"""The workers of a run: child processes that are started, killed, stopped, let go on and asked to leave.

Invariants: every process is a child of this one and ends with it; what a worker wrote to its log is kept in the folder of the run.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from tests.chaos.worker import PAUSE
from tests.until import until

LEAVE_WITHIN_S = 12.0
READY_WITHIN_S = 60.0


class Worker:
    """One process."""

    def __init__(self, name: str, environ: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self.is_stopped = False
        self.log = folder / f"{name}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.worker"],
                env=dict(environ),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def is_ready(self) -> bool:
        """Whether it has told so once. Raises AssertionError when it has ended."""
        assert self.process.poll() is None, f"{self.name} ended with {self.process.returncode}: {self.tail()}"
        return any(line.startswith("ready") for line in self.log.read_text(errors="replace").splitlines())

    def stop(self) -> None:
        """SIGSTOP."""
        self.is_stopped = True
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        self.process.send_signal(signal.SIGCONT)
        self.is_stopped = False

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self._wait()

    def leave(self) -> int:
        """SIGTERM; its exit code."""
        self.process.terminate()
        try:
            return self._wait(LEAVE_WITHIN_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not leave within {LEAVE_WITHIN_S:g} s: {self.tail()}") from None

    def tail(self) -> str:
        """The end of what it wrote."""
        return self.log.read_text(errors="replace")[-3000:]

    def _wait(self, timeout_s: float | None = None) -> int:
        code = self.process.wait(timeout_s)
        if self.process.stdin:
            self.process.stdin.close()
        return code


class Crew:
    """All workers of one group. `environ` is theirs, beside what every process needs."""

    def __init__(self, environ: Mapping[str, str], folder: Path) -> None:
        self._folder = folder
        self._pause = folder / "pause"
        self._environ = {
            "PATH": os.defpath,
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HEADRACE_EXIT_ON_STDIN_EOF": "1",
            PAUSE: str(self._pause),
            **environ,
        }
        self._started = 0
        self.workers: list[Worker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.kill()
        self.workers.clear()

    def join(self) -> Worker:
        """Starts another worker; does not wait for it."""
        self._started += 1
        worker = Worker(f"worker-{self._started}", self._environ, self._folder)
        self.workers.append(worker)
        return worker

    def until_ready(self) -> None:
        """Waits until every worker has told that it is ready."""
        until(lambda: all(worker.is_ready for worker in self.workers), READY_WITHIN_S, "every worker's readiness")

    def kill(self, worker: Worker) -> None:
        """kill -9, and another one in its place."""
        worker.kill()
        self.workers.remove(worker)
        self.join()

    def leave(self, worker: Worker) -> int:
        """SIGTERM; its exit code."""
        code = worker.leave()
        self.workers.remove(worker)
        return code

    def alive(self) -> bool:
        """Whether nobody ended by itself."""
        return all(worker.process.poll() is None for worker in self.workers)

    def ask_for_pause(self) -> None:
        """The next worker that is about to raise a fence stops itself instead."""
        self._pause.touch()

    def paused(self) -> Worker | None:
        """The worker that stopped itself, once there is one."""
        for worker in self.workers:
            if Path(f"{self._pause}.{worker.pid}").exists():
                worker.is_stopped = True
                return worker
        return None

    def forget_pause(self) -> None:
        """Calls a pause off that nobody came by."""
        self._pause.unlink(missing_ok=True)
