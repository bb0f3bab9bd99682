"""What only a cluster can show: every master is looked at, slots move, masters fail and are replaced."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from gateway.dev.servers import EmbeddedValkey
from projections.errors import StoreMisconfiguredError, StoreUnavailableError
from projections.store.change import Advance, Applied, BucketChange, Change, Conflict, Regressed
from projections.store.document import Document
from projections.store.keys import Bucket
from projections.store.library import library
from projections.store.port import DocumentKey, MeasureQuery, Notice, PageQuery
from projections.store.reading import Trip
from projections.store.redis import RedisStore
from tests.contract.store.conftest import P0, build, page_of
from tests.servers.cluster import EmbeddedCluster
from tests.until import until

BUCKETS = 16
WITHIN_S = 10.0


@pytest.fixture
async def clustered(cluster: EmbeddedCluster) -> AsyncIterator[RedisStore]:
    """A store on the run's cluster."""
    store = RedisStore(cluster.url, cluster=True)
    await store.check()
    yield store
    await store.close()


def first(bucket: Bucket, id: str = "a", position: int = 0) -> BucketChange:
    change = Change(id, None, Document(0, 1, 0, b"{}"))
    return BucketChange(bucket, [change], positions={P0: Advance(position, position + 1)})


async def until_answered(store: RedisStore, change: BucketChange) -> object:
    """The outcome, once the store answers again: nothing is done to it meanwhile."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            try:
                return await store.apply(change)
            except StoreUnavailableError:
                await asyncio.sleep(0.02)  # between two tries, as every caller has it


async def test_one_trip_reads_from_every_master(clustered: RedisStore, cluster: EmbeddedCluster, unique: str) -> None:
    buckets = [Bucket(unique, 1, number) for number in range(BUCKETS)]
    assert len({cluster.owner(bucket.positions).port for bucket in buckets}) == 3
    for number, bucket in enumerate(buckets):
        change = BucketChange(
            bucket,
            [Change(f"a{number}", None, Document(0, number + 1, 0, b"{}"))],
            added={"i:all": [b"1%02d\0a%d" % (number, number)], "m:last:x": [b"1%02d\0a%d" % (number, number)]},
            deltas={"m:count:x": 1},
            caught_up=[P0],
            partitions=[P0],
        )
        assert await clustered.apply(change) == Applied(1)
    keys = [DocumentKey(bucket, f"a{number}") for number, bucket in enumerate(buckets)]
    measures = [MeasureQuery(unique, 1, BUCKETS, "count", "x"), MeasureQuery(unique, 1, BUCKETS, "last", "x", 1)]
    found, [page], numbers = await clustered.read(keys, [PageQuery(unique, 1, BUCKETS, "all", (), 100)], measures)
    assert [document.version for document in found if isinstance(document, Document)] == list(range(1, BUCKETS + 1))
    assert [row.id for row in page_of(page).rows] == [key.id for key in keys]
    assert numbers == [BUCKETS, b"115"]


def test_documents_come_before_the_pages_of_their_bucket(unique: str) -> None:
    """What vouches for a list is read before it, on the connection that the list is read on."""
    keys = [DocumentKey(Bucket(unique, 1, number), id) for id in "ab" for number in range(3)]
    trip = Trip(keys, [PageQuery(unique, 1, 3, "all", (), 5)], [], library(), one_slot_each=True)
    words = [command.words[0] for command in trip.commands]
    assert words == ["MGET"] * 3 + ["FCALL_RO"] * 3
    for number, command in enumerate(trip.commands[:3]):
        bucket = Bucket(unique, 1, number)
        assert set(command.words[1:]) == {bucket.document("a"), bucket.document("b"), bucket.built}


async def test_every_master_is_looked_at(clustered: RedisStore, cluster: EmbeddedCluster) -> None:
    for member in cluster.members:
        async with Redis.from_url(member.address) as admin:
            await admin.config_set("maxmemory-policy", "allkeys-lru")
            try:
                with pytest.raises(StoreMisconfiguredError, match="noeviction"):
                    await clustered.check()
            finally:
                await admin.config_set("maxmemory-policy", "noeviction")
    await clustered.check()


async def test_functions_are_loaded_where_they_are_missing(
    clustered: RedisStore, cluster: EmbeddedCluster, bucket: Bucket
) -> None:
    for member in cluster.members:
        member.ask("FUNCTION", "FLUSH")
    assert await clustered.apply(first(bucket)) == Applied(1)
    assert all(len(member.ask("FUNCTION", "LIST")) == 1 for member in cluster.members)


async def test_a_slot_that_moved_is_followed(clustered: RedisStore, cluster: EmbeddedCluster, unique: str) -> None:
    bucket, other = Bucket(unique, 1, 0), Bucket(unique, 1, 1)
    await build(clustered, other)
    old = cluster.owner(bucket.positions)
    new = next(member for member in cluster.members if member is not old)
    async with asyncio.timeout(WITHIN_S), clustered.changes(bucket) as notices:
        cluster.move(bucket.positions, new)
        with pytest.raises(StoreUnavailableError):
            await anext(notices)
    assert await clustered.apply(first(bucket)) == Applied(1)
    cluster.move(other.positions, cluster.owner(other.positions))
    async with asyncio.timeout(WITHIN_S), clustered.changes(bucket) as notices:
        assert await clustered.apply(first(bucket, "b", 1)) == Applied(1)
        assert await anext(notices) == [Notice("b", 0, 1)]
    assert await clustered.apply(first(bucket)) == Regressed({P0: 2})


async def test_a_lost_master_concerns_its_own_buckets_until_it_is_replaced(
    command: tuple[str, ...], unique: str
) -> None:
    buckets = [Bucket(unique, 1, number) for number in range(BUCKETS)]
    with EmbeddedCluster(command=command) as cluster:
        victim = cluster.members[1]
        replica = cluster.add_replica(victim)
        store = RedisStore(cluster.url, connect_timeout_s=0.5, timeout_s=0.5, cluster=True)
        await store.check()
        for bucket in buckets:
            assert await store.apply(first(bucket)) == Applied(1)
        lost = [bucket for bucket in buckets if cluster.owner(bucket.positions) is victim]
        kept = [bucket for bucket in buckets if bucket not in lost]
        victim.ask("WAIT", 1, 0)
        victim.kill()
        with pytest.raises(StoreUnavailableError):
            await store.apply(first(lost[0]))
        with pytest.raises(StoreUnavailableError):
            await store.read([DocumentKey(bucket, "a") for bucket in buckets], [])
        assert await store.apply(first(kept[0], "b", 1)) == Applied(1)
        replica.ask("CLUSTER", "FAILOVER", "TAKEOVER")
        until(lambda: replica.ask("FUNCTION", "FLUSH"), what="the replica's promotion")
        assert await until_answered(store, first(lost[0])) == Regressed({P0: 1})
        assert await until_answered(store, BucketChange(lost[0], first(lost[0]).changes)) == Conflict(["a"])
        found = await store.read([DocumentKey(bucket, "a") for bucket in buckets], [])
        assert found.documents == [Document(0, 1, 0, b"{}")] * BUCKETS
        await store.close()


async def test_the_wrong_kind_of_client_is_told(cluster: EmbeddedCluster, valkey: EmbeddedValkey, unique: str) -> None:
    plain = RedisStore(cluster.url)
    elsewhere = (Bucket(unique, 1, number) for number in range(BUCKETS))
    bucket = next(bucket for bucket in elsewhere if cluster.owner(bucket.positions) is not cluster.members[0])
    with pytest.raises(StoreMisconfiguredError, match="HEADRACE_REDIS_CLUSTER"):
        await plain.apply(first(bucket))
    await plain.close()
    strange = RedisStore(valkey.url, cluster=True)
    with pytest.raises(StoreMisconfiguredError, match="HEADRACE_REDIS_CLUSTER"):
        await strange.check()
    await strange.close()
