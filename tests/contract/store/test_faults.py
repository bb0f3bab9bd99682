"""What is wrong with one item of a trip is the answer to that item; the others are answered as ever."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from gateway.dev.servers import EmbeddedValkey
from projections.errors import StoreMisconfiguredError
from projections.store.change import Applied, BucketChange, Change
from projections.store.document import Document
from projections.store.keys import Bucket, Entry, member
from projections.store.memory import MemoryStore
from projections.store.port import DocumentKey, Page, PageQuery
from projections.store.redis import RedisStore
from tests.contract.store.conftest import Store

Spoil = Callable[[Store], Awaitable[None]]


@asynccontextmanager
async def admin_of(valkey: EmbeddedValkey) -> AsyncIterator[Redis]:
    async with Redis.from_url(valkey.url) as admin:
        yield admin


@pytest.fixture
def spoil_document(request: pytest.FixtureRequest, bucket: Bucket) -> Spoil:
    """Puts bytes that Headrace did not write in the place of document "bad"."""

    async def spoil(store: Store) -> None:
        if isinstance(store, MemoryStore):
            store.buckets[bucket].corrupt.add("bad")
            return
        async with admin_of(request.getfixturevalue("valkey")) as admin:
            await admin.set(bucket.document("bad"), b"\x02" + b"x" * 40)

    return spoil


@pytest.fixture
def spoil_list(request: pytest.FixtureRequest, bucket: Bucket) -> Spoil:
    """Puts a key of another type in the place of the list by_status:OPEN."""

    async def spoil(store: Store) -> None:
        if isinstance(store, MemoryStore):
            store.buckets[bucket].mistyped.add(("by_status", ("OPEN",)))
            return
        async with admin_of(request.getfixturevalue("valkey")) as admin:
            await admin.set(bucket.entries("by_status", ("OPEN",)), b"a text")

    return spoil


def document(version: int) -> Document:
    return Document(0, version, 0, b"{}")


async def filled(store: Store, bucket: Bucket) -> None:
    changes = [
        Change(id, None, document(1), added=frozenset([Entry("by_status", (status,), member(None, id))]))
        for id, status in (("good", "DONE"), ("bad", "LATE"))
    ]
    assert isinstance(await store.apply(BucketChange(bucket, changes)), Applied)


def query(bucket: Bucket, status: str) -> PageQuery:
    return PageQuery(bucket.projection, bucket.generation, 2, "by_status", (status,), limit=10)


async def test_a_corrupt_document_spoils_its_own_answer(store: Store, bucket: Bucket, spoil_document: Spoil) -> None:
    await filled(store, bucket)
    await spoil_document(store)
    keys = [DocumentKey(bucket, id) for id in ("good", "bad", "none")]
    [good, bad, none], [done, late] = await store.read(keys, [query(bucket, "DONE"), query(bucket, "LATE")])
    assert (good, none) == (document(1), None)
    assert isinstance(bad, StoreMisconfiguredError)
    assert bucket.document("bad") in str(bad)
    assert isinstance(done, Page)
    assert [row.document for row in done.rows] == [document(1)]
    assert isinstance(late, StoreMisconfiguredError)
    with pytest.raises(StoreMisconfiguredError):
        await store.documents(bucket, ["good", "bad"])
    with pytest.raises(StoreMisconfiguredError):
        await store.apply(BucketChange(bucket, [Change("bad", None, document(2))]))


async def test_a_list_of_another_type_spoils_its_own_page(store: Store, bucket: Bucket, spoil_list: Spoil) -> None:
    await filled(store, bucket)
    await spoil_list(store)
    [good], [spoilt, done] = await store.read(
        [DocumentKey(bucket, "good")], [query(bucket, "OPEN"), query(bucket, "DONE")]
    )
    assert good == document(1)
    assert isinstance(spoilt, StoreMisconfiguredError)
    assert "WRONGTYPE" in str(spoilt)
    assert isinstance(done, Page)
    assert [row.id for row in done.rows] == ["good"]


async def test_missing_functions_are_loaded_even_so(clean_valkey: EmbeddedValkey, bucket: Bucket) -> None:
    store = RedisStore(clean_valkey.url)
    async with admin_of(clean_valkey) as admin:
        await admin.set(bucket.entries("by_status", ("OPEN",)), b"a text")
    [], [spoilt, done] = await store.read([], [query(bucket, "OPEN"), query(bucket, "DONE")])
    assert isinstance(spoilt, StoreMisconfiguredError)
    assert done == Page([], 0, False, False)
    await store.close()
