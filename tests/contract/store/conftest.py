"""The stores that the contract suite runs on: in memory, on the run's Valkey, and on a cluster of three."""

import os
import shlex
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack
from copy import deepcopy

import pytest
from redis.asyncio import Redis

from gateway.dev.servers import EmbeddedValkey
from projections.errors import StoreError
from projections.log.port import Partition
from projections.store.change import BucketChange
from projections.store.keys import Bucket
from projections.store.memory import MemoryStore
from projections.store.redis import RedisStore
from tests.reads import Rows
from tests.servers.cluster import EmbeddedCluster

QUARANTINE_MAX = 5
QUEUE_MAX = 3

Store = MemoryStore | RedisStore
AdminOf = Callable[[Bucket], Redis]
Dump = Callable[[Bucket], Awaitable[object]]

P0, P1 = Partition("orders", 0), Partition("orders", 1)


def page_of(answer: Rows | StoreError) -> Rows:
    """The page, where nothing is expected to be wrong with it."""
    assert isinstance(answer, Rows), answer
    return answer


async def build(store: Store, *buckets: Bucket) -> None:
    """Gives buckets their `built` mark."""
    for bucket in buckets:
        await store.apply(BucketChange(bucket, caught_up=[P0], partitions=[P0]))


@pytest.fixture(scope="session")
def command() -> tuple[str, ...]:
    """What starts the servers: the embedded Valkey, or what TEST_REDIS says (`make test-redis`)."""
    return tuple(shlex.split(os.environ.get("TEST_REDIS", "")))


@pytest.fixture(scope="session")
def valkey(command: tuple[str, ...]) -> Iterator[EmbeddedValkey]:
    """The run's server, shared by all tests: use keys of your own, or `clean_valkey`."""
    with EmbeddedValkey(command=command) as server:
        yield server


@pytest.fixture
def start_valkey(command: tuple[str, ...]) -> Iterator[Callable[[], EmbeddedValkey]]:
    """Starts a server of the test's own, which it may `kill()` and `start()` again on the same port."""
    with ExitStack() as servers:
        yield lambda: servers.enter_context(EmbeddedValkey(command=command))


@pytest.fixture(scope="session")
def cluster(command: tuple[str, ...]) -> Iterator[EmbeddedCluster]:
    """The run's cluster, shared by all tests: use buckets of your own."""
    with EmbeddedCluster(command=command) as servers:
        yield servers


@pytest.fixture(params=["memory", "valkey", "cluster"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    """A store that sets aside at most 5 records per bucket, 3 of them behind one aggregate."""
    if request.param == "memory":
        yield MemoryStore(quarantine_max=QUARANTINE_MAX, queue_max=QUEUE_MAX)
        return
    url = request.getfixturevalue(request.param).url
    is_cluster = request.param == "cluster"
    real = RedisStore(url, quarantine_max=QUARANTINE_MAX, queue_max=QUEUE_MAX, cluster=is_cluster)
    await real.check()
    yield real
    await real.close()


@pytest.fixture
def bucket(unique: str) -> Bucket:
    """A bucket that no other test has."""
    return Bucket(unique, 1, 0)


@pytest.fixture
def admin_of(request: pytest.FixtureRequest) -> AdminOf:
    """A client of the server that has a bucket, for what the store's own words cannot say."""

    def of(bucket: Bucket) -> Redis:
        if request.node.callspec.params.get("store") == "cluster":
            return Redis.from_url(request.getfixturevalue("cluster").owner(bucket.positions).address)
        return Redis.from_url(request.getfixturevalue("valkey").url)

    return of


@pytest.fixture
def dump(store: Store, admin_of: AdminOf) -> Dump:
    """Every byte that is stored of a bucket: what a refused call must leave as it is."""

    async def of(bucket: Bucket) -> object:
        if isinstance(store, MemoryStore):
            return deepcopy(store.buckets[bucket])
        async with admin_of(bucket) as admin:
            keys = sorted([key async for key in admin.scan_iter(f"{bucket.tag}:*", count=1000)])
            return [(key, await admin.dump(key)) for key in keys]

    return of
