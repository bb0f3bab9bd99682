"""A small process that outlives its starter, to kill what the starter left running and to remove its folder.

It is told over a pipe which processes are alive; the pipe's end, which the kernel brings about even when the starter
is killed with -9, is the signal to act. An orderly stop ends in the same way, with nothing left to kill, so there is
one road for both. The child runs this file alone, without the package: only the standard library is imported here.

Every watched process leads a process group of its own, and the whole group is killed.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO

LOCK = "owner.lock"
"""A file that goes last: as long as it is there and locked, nobody else puts anything into the folder."""

_CLOSE_WITHIN_S = 10.0


class Warden:
    """The starter's end of the pipe. Not thread-safe: one owner calls it.

    `folder` is removed when the pipe ends. `keep_open` are descriptors that the warden holds until it is done, so
    that a lock on them covers the removal as well.
    """

    def __init__(self, folder: Path, keep_open: Iterable[int] = ()) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - this file
            [sys.executable, "-I", "-S", __file__, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=tuple(keep_open),
            start_new_session=True,
            cwd="/",
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def watch(self, pid: int) -> None:
        """Kill the process group of `pid` when the starter is gone."""
        self._tell(f"watch {pid}")

    def forget(self, pid: int) -> None:
        """`pid` has ended and was waited for: its number may be given to a stranger."""
        self._tell(f"forget {pid}")

    def close(self) -> None:
        """End the pipe and wait until what is left has been killed and the folder is removed. May be called twice."""
        if self._process.stdin and not self._process.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        try:
            self._process.wait(_CLOSE_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _tell(self, line: str) -> None:
        stdin = self._process.stdin
        if stdin and not stdin.closed:
            with contextlib.suppress(BrokenPipeError):  # a warden that was killed cannot help; the parts are unharmed
                stdin.write(line.encode() + b"\n")
                stdin.flush()


def spawn(
    argv: Sequence[str], warden: Warden, *, env: Mapping[str, str], cwd: Path | None, output: int | IO[bytes]
) -> "subprocess.Popen[bytes]":
    """A watched process in a session of its own (a Ctrl-C in the terminal does not reach it), both streams to `output`."""
    process = subprocess.Popen(  # noqa: S603 - the caller's own program
        argv,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=env,
        cwd=cwd,
        start_new_session=True,
    )
    warden.watch(process.pid)
    return process


def kill_group(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to the process group that `pid` leads; a group that is gone is no error."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def empty(folder: Path) -> None:
    """Remove what is in the folder, except its lock."""
    with contextlib.suppress(OSError):
        for entry in folder.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            elif entry.name != LOCK:
                entry.unlink(missing_ok=True)


def _outlive(folder: Path) -> None:
    alive: set[int] = set()
    for line in sys.stdin:
        word, _, pid = line.partition(" ")
        if word == "watch":
            alive.add(int(pid))
        else:
            alive.discard(int(pid))
    for group in alive:
        kill_group(group)
    empty(folder)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    _outlive(Path(sys.argv[1]))
