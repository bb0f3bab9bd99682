"""The whole loop as separate processes that a test starts and stops one by one, in any order."""

import base64
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import httpx

from examples.shop.parts import service_ports
from gateway.dev.ports import free_port
from gateway.dev.servers import EmbeddedKafka, EmbeddedValkey
from tests.until import until

ROOT = Path(__file__).parents[3]
KEY = base64.urlsafe_b64encode(b"loop" * 8).decode()


class Loop:
    """Knows every address beforehand, so that nothing has to be there before anything else."""

    def __init__(self, folder: Path) -> None:
        self._stack = ExitStack()
        self._folder = folder
        (folder / "shop").mkdir()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.valkey = self._stack.enter_context(EmbeddedValkey())
        self.kafka = self._stack.enter_context(EmbeddedKafka())
        self.services = service_ports(self.port)
        self.http = self._stack.enter_context(httpx.Client(base_url=self.url, trust_env=False, timeout=10))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self._processes):
            self.kill(name)
        self._stack.close()

    def start(self, name: str) -> None:
        """Starts `shop`, `projector` or `gateway`, and does not wait for it."""
        arguments = {
            "shop": ["examples.shop", "serve"],
            "projector": ["projections", "run"],
            "gateway": ["gateway", "serve"],
        }[name]
        log = self._stack.enter_context((self._folder / f"{name}.log").open("ab"))
        environ = {key: value for key, value in os.environ.items() if not key.startswith(("HEADRACE_", "SHOP_"))}
        self._processes[name] = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=ROOT,
            env=environ | self._settings(name),
            stdout=log,
            stderr=log,
        )

    def kill(self, name: str) -> None:
        """As kill -9."""
        process = self._processes.pop(name)
        process.kill()
        process.wait()

    def pause(self, pid: int | None) -> None:
        """As a machine that hangs."""
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)

    def resume(self, pid: int | None) -> None:
        """As a machine that goes on."""
        assert pid is not None
        os.kill(pid, signal.SIGCONT)

    def log(self, name: str) -> str:
        """What a part has said."""
        path = self._folder / f"{name}.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def ask(self, query: str, **body: Any) -> dict[str, Any]:
        """The decoded answer of the gateway."""
        answer: dict[str, Any] = self.http.post("/graphql", json={"query": query, **body}).json()
        return answer

    def answers(self) -> bool:
        """Whether the gateway is there at all."""
        try:
            return self.http.get("/livez").status_code == 200
        except httpx.TransportError:
            return False

    def until_answers(self) -> None:
        """Waits for the gateway."""
        until(self.answers, within_s=20, what="the gateway")

    def _settings(self, name: str) -> dict[str, str]:
        if name == "shop":
            return {
                "SHOP_KAFKA_BOOTSTRAP": self.kafka.bootstrap,
                "SHOP_DATA": str(self._folder / "shop"),
                "SHOP_PORTS": ",".join(f"{service}={port}" for service, port in self.services.items()),
            }
        shared = {"HEADRACE_REDIS_URL": self.valkey.url}
        if name == "projector":
            quick = {"HEADRACE_FETCH_MAX_WAIT_MS": "50", "HEADRACE_SESSION_TIMEOUT_MS": "1000"}
            return shared | quick | {"HEADRACE_KAFKA_BOOTSTRAP": self.kafka.bootstrap}
        services = ",".join(f"{service}=http://127.0.0.1:{port}" for service, port in self.services.items())
        return shared | {
            "HEADRACE_SERVICES": services,
            "HEADRACE_TOKEN_KEYS": f"loop:{KEY}",
            "HEADRACE_PORT": str(self.port),
        }
