"""How many buckets a generation has: recorded once, and told to whoever asks."""

import pytest
from redis.asyncio import Redis

from gateway.dev.servers import EmbeddedValkey
from projections.errors import StoreMisconfiguredError
from projections.store.keys import Bucket
from projections.store.redis import RedisStore
from tests.contract.store.conftest import Store


async def test_the_first_claim_holds(store: Store, unique: str) -> None:
    assert await store.bucket_count(unique, 1) is None
    assert await store.claim_buckets(unique, 1, 4) == 4
    assert await store.claim_buckets(unique, 1, 4) == 4
    assert await store.claim_buckets(unique, 1, 16) == 4
    assert await store.bucket_count(unique, 1) == 4


async def test_each_generation_of_each_projection_has_its_own(store: Store, unique: str) -> None:
    await store.claim_buckets(unique, 1, 4)
    assert await store.bucket_count(unique, 2) is None
    assert await store.bucket_count(unique + "x", 1) is None
    assert await store.claim_buckets(unique, 2, 8) == 8
    assert await store.bucket_count(unique, 1) == 4


async def test_something_else_in_its_place_is_told(clean_valkey: EmbeddedValkey, unique: str) -> None:
    store = RedisStore(clean_valkey.url)
    async with Redis.from_url(clean_valkey.url) as admin:
        await admin.set(Bucket(unique, 1, 0).bucket_count, b"many")
    for call in (store.bucket_count(unique, 1), store.claim_buckets(unique, 1, 4)):
        with pytest.raises(StoreMisconfiguredError, match="did not write"):
            await call
    await store.close()
