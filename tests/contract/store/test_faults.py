"""What is wrong with one item of a trip is the answer to that item; the others are answered as ever."""

from collections.abc import Awaitable, Callable

import pytest
from redis.asyncio import Redis

from gateway.dev.servers import EmbeddedValkey
from projections.errors import StoreMisconfiguredError
from projections.store.change import Advance, Append, Applied, BucketChange, Change, Fence, SetAside, Waiting
from projections.store.document import Document, pack
from projections.store.keys import Bucket, index_list, measure_list, member
from projections.store.memory import CORRUPT, MemoryStore
from projections.store.port import DocumentKey, Listing, MeasureQuery, Page, PageQuery, Wanted
from projections.store.redis import RedisStore
from projections.store.stored import read_document, shown_rows
from tests.contract.store.conftest import P0, AdminOf, Store, build
from tests.reads import Rows, read

Spoil = Callable[[Store], Awaitable[None]]

STRANGE = b"\x02" + b"x" * 40


@pytest.fixture
def spoil_document(admin_of: AdminOf, bucket: Bucket) -> Spoil:
    """Puts bytes that Headrace did not write in the place of document "bad"."""

    async def spoil(store: Store) -> None:
        if isinstance(store, MemoryStore):
            store.buckets[bucket].corrupt.add("bad")
            return
        async with admin_of(bucket) as admin:
            await admin.set(bucket.document("bad"), STRANGE)

    return spoil


@pytest.fixture
def spoil_list(admin_of: AdminOf, bucket: Bucket) -> Spoil:
    """Puts a key of another type in the place of the list by_status:OPEN."""

    async def spoil(store: Store) -> None:
        if isinstance(store, MemoryStore):
            store.buckets[bucket].mistyped.add(index_list("by_status", ("OPEN",)))
            return
        async with admin_of(bucket) as admin:
            await admin.set(bucket.entries(index_list("by_status", ("OPEN",))), b"a text")

    return spoil


def document(version: int) -> Document:
    return Document(0, version, 0, b"{}")


async def filled(store: Store, bucket: Bucket) -> None:
    rows = {"good": "DONE", "bad": "LATE"}
    added = {index_list("by_status", (status,)): [member(None, id)] for id, status in rows.items()}
    changes = [Change(id, None, document(1)) for id in rows]
    assert isinstance(await store.apply(BucketChange(bucket, changes, added=added)), Applied)
    await build(store, bucket, bucket._replace(number=1))


def query(bucket: Bucket, status: str) -> PageQuery:
    return PageQuery(bucket.projection, bucket.generation, 2, "by_status", (status,), limit=10)


async def test_a_corrupt_document_spoils_its_own_answer(store: Store, bucket: Bucket, spoil_document: Spoil) -> None:
    await filled(store, bucket)
    await spoil_document(store)
    keys = [DocumentKey(bucket, id) for id in ("good", "bad", "none")]
    [good, bad, none], [done, late], _ = await read(store, keys, [query(bucket, "DONE"), query(bucket, "LATE")])
    assert (good, none) == (document(1), None)
    assert isinstance(bad, StoreMisconfiguredError)
    assert "bad" in str(bad)
    assert isinstance(done, Rows)
    assert [row.document for row in done.rows] == [document(1)]
    assert isinstance(late, StoreMisconfiguredError)
    with pytest.raises(StoreMisconfiguredError):
        await store.documents(bucket, ["good", "bad"])
    with pytest.raises(StoreMisconfiguredError):
        await store.apply(BucketChange(bucket, [Change("bad", None, document(2))]))


async def test_a_list_of_another_type_spoils_its_own_page(store: Store, bucket: Bucket, spoil_list: Spoil) -> None:
    await filled(store, bucket)
    await spoil_list(store)
    [good], [spoilt, done], _ = await read(
        store, [DocumentKey(bucket, "good")], [query(bucket, "OPEN"), query(bucket, "DONE")]
    )
    assert good == document(1)
    assert isinstance(spoilt, StoreMisconfiguredError)
    assert "WRONGTYPE" in str(spoilt)
    assert isinstance(done, Rows)
    assert [row.id for row in done.rows] == ["good"]


@pytest.mark.parametrize("buckets", [1, 2])
async def test_a_list_of_another_type_spoils_its_own_answer_among_many(
    store: Store, bucket: Bucket, spoil_list: Spoil, buckets: int
) -> None:
    await filled(store, bucket)
    await spoil_list(store)
    names = [index_list("by_status", (status,)) for status in ("LATE", "OPEN", "DONE", "NONE")]
    listing = Listing(bucket.projection, bucket.generation, buckets, "by_status", 10, descending=False)
    answer = await store.read(Wanted({bucket: ["good"]}, {listing: names}))
    late, spoilt, done, none = answer.lists[listing]
    assert isinstance(spoilt, StoreMisconfiguredError)
    assert "WRONGTYPE" in str(spoilt)
    assert late == Page([member(None, "bad")], [pack(document(1))], 0, False, False)
    assert done == Page([member(None, "good")], [pack(document(1))], 0, False, False)
    assert none == Page([], [], 0, False, False)
    assert answer.documents == {bucket: [pack(document(1))]}


async def test_what_is_stored_is_handed_on_as_it_is_and_found_out_by_who_reads_it(
    store: Store, bucket: Bucket, spoil_document: Spoil
) -> None:
    await filled(store, bucket)
    await spoil_document(store)
    listing = Listing(bucket.projection, bucket.generation, 2, "by_status", 10, descending=False)
    names = [index_list("by_status", (status,)) for status in ("LATE", "DONE")]
    answer = await store.read(Wanted({bucket: ["good", "bad"]}, {listing: names}, [query(bucket, "LATE")]))
    strange = CORRUPT if isinstance(store, MemoryStore) else STRANGE
    assert answer.documents == {bucket: [pack(document(1)), strange]}
    [of_page], [of_list, done] = answer.pages, answer.lists[listing]
    for page in (of_page, of_list):
        assert isinstance(page, Page)
        assert list(page.stored) == [strange]
        with pytest.raises(StoreMisconfiguredError, match="bad"):
            shown_rows(page)
    with pytest.raises(StoreMisconfiguredError, match="bad"):
        read_document("bad", strange)
    assert isinstance(done, Page)
    assert (list(done.stored), shown_rows(done)) == ([pack(document(1))], done)


async def test_missing_functions_are_loaded_even_so(clean_valkey: EmbeddedValkey, bucket: Bucket) -> None:
    store = RedisStore(clean_valkey.url)
    async with Redis.from_url(clean_valkey.url) as admin:
        await admin.set(bucket.entries(index_list("by_status", ("OPEN",))), b"a text")
    await build(store, bucket, bucket._replace(number=1))
    async with Redis.from_url(clean_valkey.url) as admin:
        await admin.function_flush()
    [], [spoilt, done], _ = await read(store, [], [query(bucket, "OPEN"), query(bucket, "DONE")])
    assert isinstance(spoilt, StoreMisconfiguredError)
    assert done == Rows([], 0, False, False)
    await store.close()


async def test_a_number_that_is_none_spoils_its_own_answer(clean_valkey: EmbeddedValkey, bucket: Bucket) -> None:
    store = RedisStore(clean_valkey.url)
    bad, good = (measure_list("total", value) for value in ("bad", "good"))
    await store.apply(BucketChange(bucket, deltas={good: 3}))
    await build(store, bucket)
    async with Redis.from_url(clean_valkey.url) as admin:
        await admin.set(bucket.entries(bad), b"1.5")
    queries = [MeasureQuery(bucket.projection, 1, 1, "total", value) for value in ("bad", "good")]
    _, _, [spoilt, found] = await read(store, [], [], queries)
    assert isinstance(spoilt, StoreMisconfiguredError)
    assert found == 3
    with pytest.raises(StoreMisconfiguredError, match="CORRUPT"):
        await store.apply(BucketChange(bucket, deltas={bad: 1}))
    await store.close()


STRINGS = ["d:a", "m:count:x"]
SORTED_SETS = ["i:all", "m:least:x", "t:c"]
HASHES = ["e:c", "q:a", "quarantine", "pos", "log", "fence", "caught"]
MISPLACED = [
    *(("set", place) for place in STRINGS + SORTED_SETS + HASHES),
    *(("string", place) for place in SORTED_SETS + HASHES),
    *(("hash", place) for place in STRINGS + SORTED_SETS),
]


@pytest.mark.parametrize(("kind", "place"), MISPLACED)
async def test_a_key_of_another_type_anywhere_refuses_the_whole_change(
    clean_valkey: EmbeddedValkey, bucket: Bucket, kind: str, place: str
) -> None:
    """Nothing is written before everything was looked at."""
    change = BucketChange(
        bucket,
        [Change("b", None, document(1)), Change("a", None, document(1), [Waiting("0:3", "orders/0/1", b"{}")])],
        [SetAside("orders/0/2", b"{}")],
        positions={P0: Advance(0, 3, "log")},
        added={"i:all": [b"1\0a"], "m:least:x": [b"1\0a"]},
        deltas={"m:count:x": 1},
        appends=[Append("c", "e1", b"1\0e1", b"{}")],
        timeline_bound=3,
        fence=Fence(1, "me"),
        caught_up=[P0],
        partitions=[P0],
    )
    store = RedisStore(clean_valkey.url)
    await store.check()
    key = f"{bucket.tag}:{place}"
    async with Redis.from_url(clean_valkey.url) as admin:
        words = {"string": ("SET", key, "text"), "set": ("SADD", key, "text"), "hash": ("HSET", key, "field", "text")}
        if place != "fence":
            await store.raise_fence(bucket, [P0], "me", 1)
        await admin.execute_command(*words[kind])  # type: ignore[no-untyped-call]
        before = sorted(await admin.keys("*"))
        with pytest.raises(StoreMisconfiguredError):
            await store.apply(change)
        assert sorted(await admin.keys("*")) == before
    await store.close()
