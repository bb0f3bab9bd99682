"""`python -m gateway`: what is wrong is said whole, and exit codes say who must act."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from gateway.compose import compose
from gateway.dev.ports import free_port
from gateway.dev.servers import EmbeddedValkey
from projections.catalog import PROJECTIONS
from projections.store.redis import RedisStore
from schema.catalog import CONTEXTS
from tests.serving import KEY, mark_built
from tests.until import until

ROOT = Path(__file__).parents[3]
SERVICES = sorted({command.service for command in compose(CONTEXTS, PROJECTIONS).graph.commands.values()})
GOOD = {
    "HEADRACE_REDIS_URL": "redis://127.0.0.1:1",
    "HEADRACE_SERVICES": ",".join(f"{name}=http://127.0.0.1:1" for name in SERVICES),
    "HEADRACE_TOKEN_KEYS": f"t1:{KEY}",
}


def environ(**changes: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    return kept | {name: value for name, value in (GOOD | changes).items() if value}


def run(*arguments: str, **changes: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "gateway", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environ(**changes), capture_output=True, text=True, timeout=30, check=False
    )


def test_all_wrong_settings_are_listed_and_no_secret_is_shown() -> None:
    done = run(
        "serve",
        HEADRACE_REDIS_URL="http://x",
        HEADRACE_SERVICES="",
        HEADRACE_TOKEN_KEYS="k1:c2VjcmV0",
        HEADRACE_PORT="80000",
        HEADRACE_PROT="1",
    )
    assert done.returncode == 2
    for name in ("REDIS_URL", "SERVICES", "TOKEN_KEYS", "PORT", "PROT"):
        assert f"HEADRACE_{name} " in done.stderr
    assert "did you mean HEADRACE_PORT" in done.stderr
    assert "c2VjcmV0" not in done.stderr
    assert "Traceback" not in done.stderr


def test_check() -> None:
    good = run("check")
    assert good.returncode == 0, good.stderr
    done = run("check", HEADRACE_SERVICES="another=http://127.0.0.1:1")
    assert done.returncode == 1
    assert [name for name in SERVICES if f"no address of {name!r}" not in done.stderr] == []


def test_check_says_what_is_being_rebuilt_and_that_it_is_no_fault(clean_valkey: EmbeddedValkey) -> None:
    away = run("check")
    assert away.returncode == 0, away.stderr
    assert "whether they are being rebuilt is not known" in away.stdout
    new = run("check", HEADRACE_REDIS_URL=clean_valkey.url)
    assert new.returncode == 0, new.stderr
    assert f"being rebuilt: {', '.join(sorted(model.name for model in PROJECTIONS))}" in new.stdout
    asyncio.run(build(clean_valkey.url))
    assert "no read model is being rebuilt" in run("check", HEADRACE_REDIS_URL=clean_valkey.url).stdout


async def build(url: str) -> None:
    """Marks all read models as built."""
    store = RedisStore(url)
    await mark_built(store, PROJECTIONS)
    await store.close()


def test_the_printed_sdl_is_the_committed_one() -> None:
    committed = (ROOT / "schema" / "schema.graphql").read_text(encoding="utf-8")
    assert run("schema").stdout == committed, "schema.graphql is stale: run python -m gateway schema --write"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_to_be_asked_to_stop_is_a_success_and_a_taken_port_is_not(number: signal.Signals) -> None:
    port = free_port()
    command = [sys.executable, "-m", "gateway", "serve"]
    with subprocess.Popen(
        command, cwd=ROOT, env=environ(HEADRACE_PORT=str(port)), stderr=subprocess.DEVNULL
    ) as process:
        try:
            until(lambda: answers(port), within_s=20, what="the gateway")
            second = run("serve", HEADRACE_PORT=str(port))
            assert second.returncode == 1
            assert "address already in use" in second.stderr
            process.send_signal(number)
            assert process.wait(10) == 0
        finally:
            process.kill()


def answers(port: int) -> bool:
    """Whether a gateway lives there."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/livez", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False
