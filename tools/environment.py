"""Makes the virtual environment that the Makefile's targets run in: `environment.py FOLDER REQUIREMENTS STAMP`.

Run with the interpreter that the environment is to have, which may be too old: until that has been checked, nothing
is used that an old Python does not know. Only the standard library is imported.

- Two makes side by side: one works, the other waits. The lock is on this file, so none is left behind.
- STAMP is a file inside FOLDER, written last: an installation that was cut short is done again.
- An environment with another minor version, or one that does not work, is made anew.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - this file may be run by any Python
    sys.exit(
        "Headrace needs Python 3.11 or newer; %s is Python %d.%d.\n"  # noqa: UP031 - must parse on an old Python
        "Name another one: make PYTHON=python3.12 ..." % ((sys.executable,) + tuple(sys.version_info[:2]))  # noqa: RUF005
    )

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

_WHO = "import sys; print(*sys.version_info[:2]); import pip"


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Hold the lock; say so when another make has it."""
    import fcntl

    with Path(__file__).open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another make is making the environment; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def make(folder: Path, requirements: Path, stamp: Path) -> None:
    """Bring `folder` to what `requirements` (a file of pinned versions and hashes) says, and write `stamp`."""
    started = time.monotonic()
    python = folder / "bin" / "python"
    if not works(python):
        say(f"making {folder} with Python {sys.version_info.major}.{sys.version_info.minor}")
        if shutil.which(python):
            say(f"the {folder} that was there has another version or does not work, and is replaced")
        create(folder)
    say(f"installing {requirements}")
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--quiet"]
    done = subprocess.run([*pip, "--require-hashes", "-r", str(requirements)], check=False)  # noqa: S603
    if done.returncode:
        sys.exit(f"{requirements} could not be installed into {folder}: see above")
    for old in folder.glob(f"{stamp.name.rpartition('-')[0]}-*"):
        old.unlink()
    stamp.touch()
    say(f"{folder} is ready for this after {time.monotonic() - started:.0f} s")


def works(python: Path) -> bool:
    """Whether the environment is there, has pip, and has this interpreter's minor version."""
    if not python.exists():
        return False
    seen = subprocess.run([str(python), "-c", _WHO], capture_output=True, text=True, check=False)  # noqa: S603
    return seen.returncode == 0 and seen.stdout.split() == [str(part) for part in sys.version_info[:2]]


def create(folder: Path) -> None:
    """A new environment; the `venv` module is told apart from pip's bootstrap, which some systems package on its own."""
    done = subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=False)  # noqa: S603
    if done.returncode:
        shutil.rmtree(folder, ignore_errors=True)
        sys.exit(
            f"{sys.executable} -m venv does not work here: install the venv module "
            "(python3-venv on Debian and Ubuntu), or name another interpreter: make PYTHON=python3.12 ..."
        )


def say(line: str) -> None:
    """One line about the environment; standard error, so that a target's own output stays its own."""
    print(f"environment: {line}", file=sys.stderr, flush=True)  # noqa: T201


def main(folder: str, requirements: str, stamp: str) -> None:
    with alone():
        if not Path(stamp).exists():
            os.environ.pop("PYTHONHOME", None)
            os.environ.pop("PYTHONPATH", None)
            make(Path(folder), Path(requirements), Path(stamp))


if __name__ == "__main__":
    main(*sys.argv[1:])
