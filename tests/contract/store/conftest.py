"""The stores that the contract suite runs on: in memory, and on the run's Valkey."""

from collections.abc import AsyncIterator

import pytest

from gateway.dev.servers import EmbeddedValkey
from projections.errors import StoreError
from projections.store.keys import Bucket
from projections.store.memory import MemoryStore
from projections.store.port import Page
from projections.store.redis import RedisStore

QUARANTINE_MAX = 3

Store = MemoryStore | RedisStore


def page_of(answer: Page | StoreError) -> Page:
    """The page, where nothing is expected to be wrong with it."""
    assert isinstance(answer, Page), answer
    return answer


@pytest.fixture(params=["memory", "valkey"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    """A store that sets aside at most 3 records per bucket."""
    if request.param == "memory":
        yield MemoryStore(quarantine_max=QUARANTINE_MAX)
        return
    valkey: EmbeddedValkey = request.getfixturevalue("valkey")
    real = RedisStore(valkey.url, quarantine_max=QUARANTINE_MAX)
    await real.check()
    yield real
    await real.close()


@pytest.fixture
def bucket(unique: str) -> Bucket:
    """A bucket that no other test has."""
    return Bucket(unique, 1, 0)
