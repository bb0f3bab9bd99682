"""The parts of `make run`, as the supervisor starts them: two servers out of wheels and three Python processes.

A Python part gets the caller's environment, so that a run can be tuned (`HEADRACE_MAX_WAIT_MS=1000 make run`), but
whatever says where things are comes from here: what was exported for another gateway does not reach this one.
"""

import base64
import os
import secrets
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from examples.shop.settings import SERVICES
from gateway.dev.part import Launch, Part
from gateway.dev.ports import LOOPBACK, free_port, is_free
from gateway.dev.probes import http_answers
from gateway.dev.servers import SERVER_ENV, ServerLaunch, kafka_launch, valkey_launch

ROOT = Path(__file__).parents[2]
# Made here for every run, or meant for the run itself.
_OWN = ("KAFKA_BOOTSTRAP", "REDIS_URL", "SERVICES", "TOKEN_KEYS", "HOST", "PORT", "VERBOSE")
_NOT_PASSED_ON = {f"HEADRACE_{name}{suffix}" for name in _OWN for suffix in ("", "_FILE")}
# Over eight partitions of Tansu a record takes 25 ms from send to receipt when the broker may hold an answer back for
# 100 ms, 5 when it may for 50, 3 for 10; without records that costs 23 % of a core with 50, 48 % with 10.
_FETCH_MAX_WAIT_MS = "50"
_SESSION_TIMEOUT_MS = "1000"  # Tansu gives a new member its share after about so long
# A run's services listen side by side on ports that follow from the gateway's: two runs never reach for the same ones.
_SERVICE_PORTS_FROM, _SLOTS, _SLOT = 12_000, 1_000, 8
_SERVER_ATTEMPTS = 5


def redis(folder: Path) -> Part:
    """Valkey; its address is under `redis`."""
    return _server("redis", valkey_launch, folder)


def kafka(folder: Path) -> Part:
    """Tansu; its address is under `kafka`."""
    return _server("kafka", kafka_launch, folder)


def service_ports(gateway_port: int) -> dict[str, int]:
    """A free port for every write service, known before they start, so that the gateway can start beside them."""
    first = _SERVICE_PORTS_FROM + gateway_port % _SLOTS * _SLOT
    free = (port for port in range(first, first + _SLOT) if is_free(port))
    return {service: next(free, None) or free_port() for service in SERVICES}


def shop(kafka_address: str, data: Path, ports: Mapping[str, int]) -> Part:
    """All five write services in one process; it prints their addresses, one line each."""
    settings = {
        "SHOP_KAFKA_BOOTSTRAP": kafka_address,
        "SHOP_DATA": str(data),
        "SHOP_PORTS": ",".join(f"{service}={port}" for service, port in ports.items()),
    }
    return Part("shop", lambda: _python(["-m", "examples.shop", "serve"], settings, ready_line="shop ready"))


def projector(kafka_address: str, redis_address: str) -> Part:
    """Ready when it has its partitions."""
    settings = {
        "HEADRACE_KAFKA_BOOTSTRAP": kafka_address,
        "HEADRACE_REDIS_URL": redis_address,
        "HEADRACE_FETCH_MAX_WAIT_MS": os.environ.get("HEADRACE_FETCH_MAX_WAIT_MS", _FETCH_MAX_WAIT_MS),
        "HEADRACE_SESSION_TIMEOUT_MS": os.environ.get("HEADRACE_SESSION_TIMEOUT_MS", _SESSION_TIMEOUT_MS),
    }
    return Part("projector", lambda: _python(["-m", "projections", "run"], settings, ready_line="ready"))


def gateway(port: int, redis_address: str, services: Mapping[str, str]) -> Part:
    """Ready when `/readyz` says so; its address is under `gateway`."""
    settings = {
        "HEADRACE_HOST": LOOPBACK,
        "HEADRACE_PORT": str(port),
        "HEADRACE_REDIS_URL": redis_address,
        "HEADRACE_SERVICES": ",".join(f"{context}={url}" for context, url in services.items()),
        "HEADRACE_TOKEN_KEYS": _token_key(),
        "HEADRACE_SHOW_PLANS": "1",
    }
    launch = _python(
        ["-m", "gateway", "serve"],
        settings,
        answers=lambda _: http_answers(port, "/readyz"),
        addresses={"gateway": f"http://{LOOPBACK}:{port}"},
    )
    return Part("gateway", lambda: launch)


def _server(name: str, launch: Callable[[int, Path], ServerLaunch], folder: Path) -> Part:
    def on_a_free_port() -> Launch:
        server = launch(free_port(), folder)
        return Launch(server.argv, SERVER_ENV, answers=server.answers, addresses={name: server.address}, cwd=folder)

    return Part(name, on_a_free_port, attempts=_SERVER_ATTEMPTS)


def _python(
    arguments: list[str],
    settings: Mapping[str, str],
    *,
    ready_line: str | None = None,
    answers: Callable[[int], bool] | None = None,
    addresses: Mapping[str, str] | None = None,
) -> Launch:
    env = {name: value for name, value in os.environ.items() if name not in _NOT_PASSED_ON and name[:5] != "SHOP_"}
    return Launch(
        (sys.executable, *arguments), {**env, **settings}, ready_line, answers, addresses=addresses or {}, cwd=ROOT
    )


def _token_key() -> str:
    """A signing key of this run's own, as `HEADRACE_TOKEN_KEYS` takes it: `<key id>:<base64url of 32 bytes>`."""
    return f"run:{base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()}"
