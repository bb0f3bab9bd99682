"""The servers that are compared: described by a `peer.toml` in a folder of `benchmarks/peers`, installed, started, asked, stopped.

    about          what it is, in one line
    start          the command
    directory      where it is started; the peer's folder when left out
    path           where operations are POSTed to
    ready          what answers GET with 200 once the server is ready
    answers_graph  false for one that is only sent `order_page`, and whose answers are not compared; true when left out
    needs          programs that it needs; without them it is left out
    install        a command that is run in the peer's folder when `installed` is not there, or older than `lock`
    installed      a file that the command leaves, seen from the peer's folder
    lock           what it is made of
    [environment]  variables, beside HOST, PORT and REDIS_URL
    [headers]      that every request has, beside Host and Content-Type

Texts may hold {python}, {root} (of the project), {host}, {port} and {redis_url}.

Invariants: every server is one process, of which nothing is left when it is not needed any more, also when this process is killed.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio.to_thread
import httpx
import msgspec

from benchmarks.errors import BrokenRunError
from gateway.dev.ports import LOOPBACK, free_port
from gateway.dev.warden import Warden, kill_group, spawn

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "benchmarks" / "peers"
_READY_WITHIN_S: Final = 30.0
_STOP_WITHIN_S: Final = 10.0
_INSTALL_WITHIN_S: Final = 180.0
_POLL_S: Final = 0.05
_TAIL_LINES: Final = 20

Tell = Callable[[str], None]


class Peer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A folder with a peer.toml; see the module."""

    folder: Path
    about: str
    start: tuple[str, ...]
    path: str
    ready: str
    directory: str = "."
    answers_graph: bool = True
    needs: tuple[str, ...] = ()
    install: tuple[str, ...] = ()
    installed: str = ""
    lock: str = ""
    environment: dict[str, str] = {}
    headers: dict[str, str] = {}

    @property
    def name(self) -> str:
        """As figures have it."""
        return self.folder.name.replace("-", "_")


@dataclass(frozen=True)
class RunningPeer:
    """A peer that answers: its process, and where operations are POSTed to."""

    peer: Peer
    pid: int
    url: str

    @property
    def name(self) -> str:
        """As figures have it."""
        return self.peer.name


def read_peers(folder: Path = FOLDER) -> list[Peer]:
    """Every peer, by name. Raises BrokenRunError for a peer.toml that is not one."""
    return [_peer(path) for path in sorted(folder.glob("*/peer.toml"))]


def available(peers: Sequence[Peer], tell: Tell) -> list[Peer]:
    """Those that can be started here, installed where that is needed; of the others it is told why they are left out."""
    found: list[Peer] = []
    for peer in peers:
        reason = _lacks(peer)
        if reason:
            tell(f"{peer.name} is left out: {reason}")
        else:
            found.append(peer)
    return found


@asynccontextmanager
async def running_peers(peers: Sequence[Peer], redis_url: str) -> AsyncGenerator[list[RunningPeer]]:
    """All of them, ready. Raises BrokenRunError with the last lines of one that is not."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(_running(peer, redis_url)) for peer in peers]


@asynccontextmanager
async def _running(peer: Peer, redis_url: str) -> AsyncGenerator[RunningPeer]:
    folder = Path(tempfile.mkdtemp(prefix="headrace-peer-"))
    warden = Warden(folder)
    process: subprocess.Popen[bytes] | None = None
    port = free_port()
    values = {"python": sys.executable, "root": str(ROOT), "host": LOOPBACK, "port": str(port), "redis_url": redis_url}
    try:
        with (folder / "server.log").open("wb") as log:
            process = spawn(
                [part.format_map(values) for part in peer.start],
                warden,
                env=_environment(peer, values),
                cwd=peer.folder / peer.directory.format_map(values),
                output=log,
            )
        await _until_ready(peer, process, f"http://{LOOPBACK}:{port}{peer.ready}", folder / "server.log")
        yield RunningPeer(peer, process.pid, f"http://{LOOPBACK}:{port}{peer.path}")
    finally:
        if process:
            await anyio.to_thread.run_sync(_stop, process, warden)
        await anyio.to_thread.run_sync(warden.close)


def _environment(peer: Peer, values: Mapping[str, str]) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("HEADRACE_", "PYTHONASYNCIO"))}
    given = {name: value.format_map(values) for name, value in peer.environment.items()}
    return {**ours, "HOST": values["host"], "PORT": values["port"], "REDIS_URL": values["redis_url"], **given}


async def _until_ready(peer: Peer, process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline_s = time.monotonic() + _READY_WITHIN_S
    said = "no answer"
    async with httpx.AsyncClient(trust_env=False) as client:
        while process.poll() is None and time.monotonic() < deadline_s:
            try:
                answer = await client.get(url)
            except httpx.HTTPError:
                pass
            else:
                if answer.status_code == 200:
                    return
                said = f"{answer.status_code} {answer.text[:500]}"
            await asyncio.sleep(_POLL_S)
    raise BrokenRunError("\n".join([f"{peer.name} did not come up: {said}", *_tail(log)]))


def _tail(log: Path) -> list[str]:
    return log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:]


def _stop(process: subprocess.Popen[bytes], warden: Warden) -> None:
    process.terminate()
    try:
        process.wait(_STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
    kill_group(process.pid)
    process.wait()
    warden.forget(process.pid)


def _peer(path: Path) -> Peer:
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
        return msgspec.convert({**told, "folder": str(path.parent)}, Peer, dec_hook=lambda kind, value: kind(value))
    except (msgspec.ValidationError, tomllib.TOMLDecodeError) as error:
        raise BrokenRunError(f"{path.parent.name}/{path.name}: {error}") from None


def _lacks(peer: Peer) -> str | None:
    """Why it cannot be started, None when it can."""
    missing = [program for program in peer.needs if shutil.which(program) is None]
    if missing:
        return f"there is no {' and no '.join(missing)} on the PATH"
    if not peer.install or _is_fresh(peer.folder / peer.installed, peer.folder / peer.lock):
        return None
    try:
        done = subprocess.run(
            peer.install, cwd=peer.folder, capture_output=True, text=True, timeout=_INSTALL_WITHIN_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{' '.join(peer.install)}: {error}"
    return f"{' '.join(peer.install)} failed: {done.stderr[-500:].strip()}" if done.returncode else None


def _is_fresh(installed: Path, lock: Path) -> bool:
    return installed.exists() and installed.stat().st_mtime >= lock.stat().st_mtime
