"""Fixtures that every folder of tests shares: the real servers, started once per run, and factories for tests that kill them.

TEST_BROKER=apache makes the broker an Apache Kafka; tests marked `apache_kafka` run on one in any case, and only when they
are asked for (`make test-kafka`).
"""

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
import redis

from gateway.dev.servers import EmbeddedKafka, EmbeddedValkey
from tools.apache_kafka import ApacheKafka

Broker = EmbeddedKafka | ApacheKafka
ON_APACHE_KAFKA = os.environ.get("TEST_BROKER") == "apache"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what needs Apache Kafka, unless the run's `-m` speaks of it."""
    if "apache_kafka" in config.option.markexpr:
        return
    left_out = [item for item in items if item.get_closest_marker("apache_kafka")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("apache_kafka")]


@pytest.fixture(scope="session")
def valkey() -> Iterator[EmbeddedValkey]:
    """The run's Valkey (`url`, `port`), shared by all tests: use keys of your own, or `clean_valkey`."""
    with EmbeddedValkey() as server:
        yield server


@pytest.fixture(scope="session")
def apache_kafka() -> Iterator[ApacheKafka]:
    """The run's Apache Kafka, for tests that are marked `apache_kafka`; use as `kafka`."""
    with ApacheKafka() as server:
        yield server


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """The run's broker (`bootstrap`, `port`), shared by all tests: use topics and groups that begin with `unique`."""
    if ON_APACHE_KAFKA:
        yield request.getfixturevalue("apache_kafka")
        return
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
def start_kafka() -> Iterator[Callable[[], Broker]]:
    """Starts a broker of the test's own, which it may `kill()` and `start()` again on the same port.

    The embedded one has then forgotten its topics and groups, Apache Kafka has kept them.
    """
    with ExitStack() as servers:

        def start() -> Broker:
            return servers.enter_context(ApacheKafka()) if ON_APACHE_KAFKA else servers.enter_context(EmbeddedKafka())

        yield start


@pytest.fixture
def start_apache_kafka() -> Iterator[Callable[[], ApacheKafka]]:
    """As `start_kafka`, for tests that are marked `apache_kafka`."""
    with ExitStack() as servers:
        yield lambda: servers.enter_context(ApacheKafka())
