"""The embedded servers: they answer, are our own, come back on their port, and leave nothing behind."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from gateway.dev import servers
from gateway.dev.errors import DevError, PartNotReadyError, StrangerError
from gateway.dev.ports import free_port, is_free
from gateway.dev.probes import http_answers, kafka_answers, valkey_answers
from gateway.dev.servers import EmbeddedKafka, EmbeddedServer, EmbeddedValkey, embedded
from tests.until import is_alive, until

ROOT = Path(__file__).parents[2]
Kind = type[EmbeddedValkey] | type[EmbeddedKafka]
BOTH = pytest.mark.parametrize("kind", [EmbeddedValkey, EmbeddedKafka])


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Servers of these tests put their folders here, so that what is left can be seen."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_valkey_is_set_up_as_a_store_must_be(valkey: EmbeddedValkey) -> None:
    with redis.Redis.from_url(valkey.url, decode_responses=True) as client:
        settings = client.config_get("maxmemory-policy", "save", "appendonly")
        assert settings == {"maxmemory-policy": "noeviction", "save": "", "appendonly": "no"}
        assert client.info("server")["process_id"] == valkey.pid


def test_clean_valkey_holds_neither_data_nor_functions(clean_valkey: EmbeddedValkey) -> None:
    with redis.Redis.from_url(clean_valkey.url) as client:
        assert client.dbsize() == 0
        assert client.function_list() == []


@BOTH
def test_a_killed_server_comes_back_on_its_port(kind: Kind) -> None:
    with kind() as server:
        port, first = server.port, server.pid
        server.kill()
        assert server.pid is None
        assert is_free(port)
        server.start()
        assert server.port == port
        assert server.pid not in (None, first)


@BOTH
def test_a_closed_server_leaves_neither_process_nor_file(kind: Kind, own_temporary_folder: Path) -> None:
    with kind() as server:
        pid = server.pid
        assert pid
        assert list(own_temporary_folder.iterdir())
    assert not is_alive(pid)
    assert not list(own_temporary_folder.iterdir())
    server.close()


@BOTH
def test_a_port_that_is_taken_meanwhile_is_left_to_its_owner(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    with kind() as owner:
        ports = iter([owner.port, owner.port, free_port()])
        monkeypatch.setattr(servers, "free_port", lambda: next(ports))
        with kind() as second:
            assert second.port != owner.port
        assert is_alive(owner.pid or 0)


@BOTH
def test_a_port_that_was_asked_for_and_is_taken_is_an_error(kind: Kind) -> None:
    with kind() as owner, pytest.raises((PartNotReadyError, StrangerError)) as caught, kind(owner.port):
        pass
    assert isinstance(caught.value, DevError)


def test_a_server_that_ends_at_once_is_reported_with_its_output() -> None:
    def launch(port: int, _: Path) -> servers.ServerLaunch:
        argv = (sys.executable, "-c", "print('cannot go on'); raise SystemExit(3)")
        return servers.ServerLaunch("odd", port, "", argv, lambda _: False)

    with pytest.raises(PartNotReadyError, match=r"odd ended with code 3 .*\n  odd \| cannot go on"):
        EmbeddedServer(launch).__enter__()


def test_nothing_answers_on_a_closed_port() -> None:
    port = free_port()
    assert not valkey_answers(port, 1)
    assert not kafka_answers(port, "x")
    assert not http_answers(port, "/")


def test_a_server_of_another_protocol_is_not_taken_for_ours(valkey: EmbeddedValkey, kafka: EmbeddedKafka) -> None:
    assert not kafka_answers(valkey.port, "x")
    assert not valkey_answers(kafka.port, kafka.pid or 0)
    assert not http_answers(valkey.port, "/")
    with pytest.raises(StrangerError):
        kafka_answers(kafka.port, "x")
    with pytest.raises(StrangerError):
        valkey_answers(valkey.port, 1)


async def test_servers_can_be_started_side_by_side_from_a_loop() -> None:
    async with embedded(EmbeddedValkey()) as store, embedded(EmbeddedKafka()) as log:
        pids = [store.pid or 0, log.pid or 0]
        assert valkey_answers(store.port, pids[0])
        assert all(map(is_alive, pids))
    assert not any(map(is_alive, pids))


STARTER = """
import sys
from gateway.dev.servers import EmbeddedKafka, EmbeddedValkey
with EmbeddedValkey() as store, EmbeddedKafka() as log:
    print(store.pid, log.pid, flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_servers_do_not_outlive_a_starter_that_is_killed(own_temporary_folder: Path, number: signal.Signals) -> None:
    env = {**os.environ, "TMPDIR": str(own_temporary_folder)}
    with subprocess.Popen(
        [sys.executable, "-c", STARTER], cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as starter:
        assert starter.stdout
        pids = [int(pid) for pid in starter.stdout.readline().split()]
        assert len(pids) == 2
        assert all(map(is_alive, pids))
        assert len(list(own_temporary_folder.iterdir())) == 2
        starter.send_signal(number)
    until(lambda: not any(map(is_alive, pids)), what="the end of the servers")
    until(lambda: not list(own_temporary_folder.iterdir()), what="the end of their folders")


def test_a_factory_gives_a_server_of_the_tests_own(
    start_valkey: Callable[[], EmbeddedValkey], valkey: EmbeddedValkey
) -> None:
    own = start_valkey()
    assert own.port != valkey.port
