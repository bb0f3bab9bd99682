"""Fixtures that every folder of tests shares: the real servers, started once per run, and factories for tests that kill them."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
import redis

from gateway.dev.servers import EmbeddedKafka, EmbeddedValkey


@pytest.fixture(scope="session")
def valkey() -> Iterator[EmbeddedValkey]:
    """The run's Valkey (`url`, `port`), shared by all tests: use keys of your own, or `clean_valkey`."""
    with EmbeddedValkey() as server:
        yield server


@pytest.fixture(scope="session")
def kafka() -> Iterator[EmbeddedKafka]:
    """The run's broker (`bootstrap`, `port`), shared by all tests: use topics and groups that begin with `unique`."""
    with EmbeddedKafka() as server:
        yield server


@pytest.fixture
def clean_valkey(valkey: EmbeddedValkey) -> EmbeddedValkey:
    """The run's Valkey, emptied of data and functions."""
    with redis.Redis.from_url(valkey.url) as client:
        client.flushall()
        client.function_flush()
    return valkey


@pytest.fixture
def unique() -> str:
    """A prefix that no other test has, fit for topics, groups and keys."""
    return f"t{uuid.uuid4().hex[:12]}"


@pytest.fixture
def start_valkey() -> Iterator[Callable[[], EmbeddedValkey]]:
    """Starts a Valkey of the test's own, which it may `kill()` and `start()` again on the same port."""
    with ExitStack() as servers:
        yield lambda: servers.enter_context(EmbeddedValkey())


@pytest.fixture
def start_kafka() -> Iterator[Callable[[], EmbeddedKafka]]:
    """Starts a broker of the test's own, which it may `kill()` and `start()` again on the same port."""
    with ExitStack() as servers:
        yield lambda: servers.enter_context(EmbeddedKafka())
