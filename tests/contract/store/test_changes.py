"""The change channel: what an apply published, from the moment the subscription holds."""

import asyncio
import json

import pytest

from projections.errors import StoreUnavailableError
from projections.store.change import BucketChange, Change, Conflict, SetAside, Waiting
from projections.store.document import PARKED, Document
from projections.store.keys import Bucket, queue_place
from projections.store.memory import MemoryStore
from projections.store.port import Notice, Wanted
from projections.store.redis import RedisStore
from tests.contract.store.conftest import Store

WITHIN_S = 5.0


def change(bucket: Bucket, *ids: str, version: int = 1) -> BucketChange:
    base = Document(0, version - 1, 0, None) if version > 1 else None
    return BucketChange(bucket, [Change(id, base, Document(0, version, 0, None)) for id in ids])


async def test_tells_what_was_written_and_nothing_else(store: Store, bucket: Bucket) -> None:
    other = Bucket(bucket.projection, 1, 1)
    async with asyncio.timeout(WITHIN_S), store.changes(bucket) as notices:
        await store.apply(change(other, "elsewhere"))
        await store.apply(change(bucket, "a", "b"))
        assert isinstance(await store.apply(change(bucket, "a")), Conflict)
        await store.apply(BucketChange(bucket, set_aside=[SetAside("orders/0/1", b"{}")]))
        await store.apply(change(bucket, 'q"\\ü', version=1))
        assert await anext(notices) == [Notice("a", 0, 1), Notice("b", 0, 1)]
        assert await anext(notices) == [Notice('q"\\ü', 0, 1)]


async def test_tells_of_an_aggregate_that_was_parked(store: Store, bucket: Bucket) -> None:
    waiting = Waiting(queue_place(0, 3), "orders/0/7", b"{}")
    await store.apply(change(bucket, "a"))
    async with asyncio.timeout(WITHIN_S), store.changes(bucket) as notices:
        parked = Document(0, 1, 0, None, PARKED)
        await store.apply(BucketChange(bucket, [Change("a", Document(0, 1, 0, None), parked, [waiting])]))
        assert await anext(notices) == [Notice("a", 0, 1)]


async def test_every_subscriber_is_told(store: Store, bucket: Bucket) -> None:
    async with asyncio.timeout(WITHIN_S), store.changes(bucket) as one, store.changes(bucket) as two:
        await store.apply(change(bucket, "a"))
        assert await anext(one) == await anext(two) == [Notice("a", 0, 1)]


async def test_a_large_change_comes_in_several_messages(store: Store, bucket: Bucket) -> None:
    ids = [f"{n:03}" + "ü" * 200 for n in range(200)]
    told: list[Notice] = []
    async with asyncio.timeout(WITHIN_S), store.changes(bucket) as notices:
        await store.apply(change(bucket, *ids))
        while len(told) < len(ids):
            batch = await anext(notices)
            if isinstance(store, RedisStore):
                assert len(json.dumps(batch, ensure_ascii=False).encode()) < 70_000
            told += batch
    assert told == [Notice(id, 0, 1) for id in ids]


async def test_memory_that_is_switched_off_breaks_the_channel(bucket: Bucket) -> None:
    store = MemoryStore()
    async with asyncio.timeout(WITHIN_S), store.changes(bucket) as notices:
        store.available = False
        with pytest.raises(StoreUnavailableError):
            await anext(notices)
    for call in (store.ping(), store.standing(bucket), store.read(Wanted()), store.apply(BucketChange(bucket))):
        with pytest.raises(StoreUnavailableError):
            await call
