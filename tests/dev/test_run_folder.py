"""The folder of a run: one live owner, cleared after a killed one, never somebody else's."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from gateway.dev.errors import FolderTakenError
from gateway.dev.folder import RunFolder, run_folder_path
from gateway.dev.warden import Warden
from tests.until import until

ROOT = Path(__file__).parents[2]


def test_the_path_tells_user_and_port() -> None:
    assert run_folder_path(8000) == Path(tempfile.gettempdir()) / f"headrace-{os.getuid()}-8000"


def test_a_folder_is_private(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run") as folder:
        assert folder.path.stat().st_mode & 0o777 == 0o700


def test_a_live_run_keeps_its_folder(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run") as folder:
        (folder.path / "shop.json").write_text("{}")
        with pytest.raises(FolderTakenError, match=r"another run uses .*run: stop it, or choose another port"):
            RunFolder(tmp_path / "run")
        assert (folder.path / "shop.json").exists()


def test_what_a_dead_run_left_is_cleared(tmp_path: Path) -> None:
    path = tmp_path / "run"
    (path / "data").mkdir(parents=True)
    (path / "data" / "orders.sqlite").write_text("old")
    (path / "shop.json").write_text("old")
    (path / "owner.lock").write_text("999999999")
    with RunFolder(path):
        assert [entry.name for entry in path.iterdir()] == ["owner.lock"]


def test_a_file_or_a_link_in_its_place_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("file", "link"):
        with pytest.raises(FolderTakenError, match="is not a folder of this user"):
            RunFolder(tmp_path / name)
    assert (tmp_path / "file").read_text() == "mine"
    assert not list((tmp_path / "elsewhere").iterdir())


def test_the_warden_holds_the_folder_until_it_is_gone(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    warden = Warden(folder.path, keep_open=[folder.lock])
    folder.close()
    with pytest.raises(FolderTakenError):
        RunFolder(tmp_path / "run")
    warden.close()
    assert not folder.path.exists()
    RunFolder(tmp_path / "run").close()


KILLED = """
import os, signal, sys
from pathlib import Path
from gateway.dev.folder import RunFolder
from gateway.dev.warden import Warden
folder = RunFolder(Path(sys.argv[1]))
warden = Warden(folder.path, keep_open=[folder.lock])
for number in range(2000): (folder.path / f"old-{number}").touch()
os.kill(warden.pid, signal.SIGSTOP)
print(warden.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_next_run_waits_for_the_warden_of_a_killed_one(tmp_path: Path) -> None:
    path = tmp_path / "run"
    argv = [sys.executable, "-c", KILLED, str(path)]
    killed = subprocess.run(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    claimed: list[RunFolder] = []
    claiming = threading.Thread(target=lambda: claimed.append(RunFolder(path)))
    claiming.start()
    assert not claimed
    os.kill(int(killed.stdout), signal.SIGCONT)
    until(lambda: claimed, what="the claim")
    claiming.join()
    assert [entry.name for entry in path.iterdir()] == ["owner.lock"]
    claimed[0].close()
