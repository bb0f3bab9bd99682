"""The folder of one run: named after user and port, owned by at most one live run, gone when the run is.

Ownership is a lock that the kernel releases with the last process that holds it, so a folder without a live owner is
known for what it is, and is cleared by the next run. The run's warden holds the lock until it has removed the folder.
"""

import contextlib
import fcntl
import os
import tempfile
import time
from pathlib import Path
from typing import Self

from gateway.dev.errors import FolderTakenError
from gateway.dev.warden import LOCK, empty

# How long the warden of a run that was killed may take to clean up after it.
_CLEANED_WITHIN_S = 10.0
_POLL_S = 0.02


def run_folder_path(port: int) -> Path:
    """Where a run of this user with its gateway on `port` keeps its files; other commands find a running shop there."""
    return Path(tempfile.gettempdir()) / f"headrace-{os.getuid()}-{port}"


class RunFolder:
    """A folder that this process owns. `lock` is the descriptor to hand to the warden, who removes the folder."""

    def __init__(self, path: Path) -> None:
        """Claims `path`, and clears what a killed run left in it.

        Raises `FolderTakenError` when a live run owns it, or when it is not this user's.
        """
        self.path = path
        deadline = time.monotonic() + _CLEANED_WITHIN_S
        while (lock := self._claim()) is None:
            if time.monotonic() > deadline or _owner_is_alive(path / LOCK):
                raise FolderTakenError(f"another run uses {path}: stop it, or choose another port with HEADRACE_PORT")
            time.sleep(_POLL_S)
        self.lock = lock
        os.truncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        empty(path)

    def close(self) -> None:
        """Let go of the lock."""
        with contextlib.suppress(OSError):
            os.close(self.lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _claim(self) -> int | None:
        """The locked descriptor; None when somebody has the lock, or the folder went while it was taken."""
        with contextlib.suppress(FileExistsError):
            self.path.mkdir(mode=0o700)
        try:
            owner = self.path.lstat()
            if owner.st_uid != os.getuid() or not self.path.is_dir() or self.path.is_symlink():
                raise FolderTakenError(f"{self.path} is there and is not a folder of this user; remove it")
            lock = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(lock), (self.path / LOCK).stat()):
                return lock
        except (BlockingIOError, FileNotFoundError):
            pass
        os.close(lock)
        return None


def _owner_is_alive(lock: Path) -> bool:
    """Whether the process that wrote its id into the lock still runs; its warden may hold the lock a little longer."""
    try:
        os.kill(int(lock.read_text()), 0)
    except (OSError, ValueError):
        return False
    return True
