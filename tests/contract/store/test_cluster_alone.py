"""What only a cluster can show: every master is looked at, slots move, masters fail and are replaced."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from redis.asyncio.cluster import NodesManager

from gateway.dev.ports import LOOPBACK
from gateway.dev.servers import EmbeddedValkey
from projections.errors import StoreMisconfiguredError, StoreUnavailableError
from projections.store.change import Advance, Applied, BucketChange, Change, Conflict, Regressed
from projections.store.document import Document
from projections.store.keys import Bucket
from projections.store.library import library
from projections.store.port import DocumentKey, Listing, MeasureQuery, Notice, PageQuery, ReadAnswer, Wanted
from projections.store.reading import Trip
from projections.store.redis import RedisStore
from tests.contract.store.conftest import P0, build, page_of
from tests.reads import read
from tests.servers.cluster import ClusterMember, EmbeddedCluster
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
    found, [page], numbers = await read(clustered, keys, [PageQuery(unique, 1, BUCKETS, "all", (), 100)], measures)
    assert [document.version for document in found if isinstance(document, Document)] == list(range(1, BUCKETS + 1))
    assert [row.id for row in page_of(page).rows] == [key.id for key in keys]
    assert numbers == [BUCKETS, b"115"]


def test_documents_come_before_the_pages_of_their_bucket(unique: str) -> None:
    """What vouches for a list is read before it, on the connection that the list is read on."""
    wanted = Wanted(
        {Bucket(unique, 1, number): ["a", "b"] for number in range(3)},
        {Listing(unique, 1, 3, "all", 5, descending=False): ["i:all"]},
        [PageQuery(unique, 1, 3, "all", (), 5)],
    )
    functions = library()
    trip = Trip(wanted, functions, one_slot_each=True)
    words = [command.words[0] for command in trip.commands]
    assert words == ["MGET"] * 3 + ["FCALL_RO"] * 6
    for number, command in enumerate(trip.commands[:3]):
        bucket = Bucket(unique, 1, number)
        assert command.words[1:] == (bucket.built, bucket.document("a"), bucket.document("b"))
    assert [command.words[1] for command in trip.commands[3:]] == [functions.rows] * 3 + [functions.page] * 3


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
        mixed = await store.read(Wanted({bucket: ["a"] for bucket in buckets}))
        for bucket in buckets:
            [answer] = mixed.documents[bucket]
            assert isinstance(answer, StoreUnavailableError if bucket in lost else bytes)
        with pytest.raises(StoreUnavailableError):
            await store.read(Wanted({bucket: ["a"] for bucket in lost}))
        assert await store.apply(first(kept[0], "b", 1)) == Applied(1)
        replica.ask("CLUSTER", "FAILOVER", "TAKEOVER")
        until(lambda: replica.ask("FUNCTION", "FLUSH"), what="the replica's promotion")
        assert await until_answered(store, first(lost[0])) == Regressed({P0: 1})
        assert await until_answered(store, BucketChange(lost[0], first(lost[0]).changes)) == Conflict(["a"])
        found = await read(store, [DocumentKey(bucket, "a") for bucket in buckets])
        assert found.documents == [Document(0, 1, 0, b"{}")] * BUCKETS
        await store.close()


FIRST_READS = 5


def reads(store: RedisStore, *buckets: Bucket) -> list[asyncio.Future[ReadAnswer]]:
    """As many reads at once as there are buckets, each of them of one."""
    return [asyncio.ensure_future(store.read(Wanted({bucket: ["a"]}))) for bucket in buckets]


async def test_all_first_reads_wait_for_the_one_map(
    clustered: RedisStore, cluster: EmbeddedCluster, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    buckets = [Bucket(unique, 1, number) for number in range(FIRST_READS)]
    await build(clustered, *buckets)
    readings = counted(monkeypatch)
    store = RedisStore(cluster.url, cluster=True)
    answers = await asyncio.gather(*reads(store, *buckets))
    assert [answer.documents for answer in answers] == [{bucket: [None]} for bucket in buckets]
    assert len(readings) == 1
    await store.close()


def counted(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Grows by one whenever a map of slots is read from now on."""
    found: list[None] = []
    initialize = NodesManager.initialize

    async def initialize_counted(nodes: NodesManager) -> None:
        found.append(None)
        await initialize(nodes)

    monkeypatch.setattr(NodesManager, "initialize", initialize_counted)
    return found


@pytest.mark.parametrize("ticks", range(6))
@pytest.mark.parametrize("cancelled", [0, 1])
async def test_a_cancelled_first_read_is_missed_by_nobody(
    clustered: RedisStore, cluster: EmbeddedCluster, unique: str, cancelled: int, ticks: int
) -> None:
    buckets = [Bucket(unique, 1, number) for number in range(3)]
    await build(clustered, *buckets)
    store = RedisStore(cluster.url, cluster=True)
    asked = reads(store, *buckets)
    for _ in range(ticks):
        await asyncio.sleep(0)
    doomed = asked.pop(cancelled)
    doomed.cancel()
    async with asyncio.timeout(WITHIN_S):
        assert [await found for found in asked]
        with pytest.raises(asyncio.CancelledError):
            await doomed
    await store.close()


async def test_a_server_that_takes_connections_and_says_nothing_is_away(bucket: Bucket) -> None:
    held: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: held.append(writer), LOOPBACK, 0)
    url = f"redis://{LOOPBACK}:{server.sockets[0].getsockname()[1]}"
    store = RedisStore(url, connect_timeout_s=0.2, timeout_s=0.2, cluster=True)
    loop = asyncio.get_running_loop()
    for _ in range(2):
        started_s = loop.time()
        asked = reads(store, *[bucket] * FIRST_READS)
        await asyncio.sleep(0)
        asked.pop().cancel()
        for error in await asyncio.gather(*asked, store.ping(), return_exceptions=True):
            assert isinstance(error, StoreUnavailableError)
        assert loop.time() - started_s < 1.0
    assert held
    asked = reads(store, bucket, bucket)
    await asyncio.sleep(0)
    await store.close()
    for error in await asyncio.gather(*asked, return_exceptions=True):
        assert isinstance(error, StoreUnavailableError), "not a cancellation, which nobody asked for"
    for writer in held:
        writer.transport.abort()
    server.close()


async def test_slots_that_nobody_has_are_away_until_somebody_has_them(command: tuple[str, ...], unique: str) -> None:
    with ClusterMember(command) as member:
        store = RedisStore(member.address, cluster=True)
        buckets = [Bucket(unique, 1, number) for number in range(BUCKETS)]
        slots = [member.ask("CLUSTER", "KEYSLOT", bucket.positions) for bucket in buckets]
        for error in await asyncio.gather(*reads(store, *buckets), return_exceptions=True):
            assert isinstance(error, StoreUnavailableError)
        member.ask("CLUSTER", "ADDSLOTS", slots[0])
        assert await until_answered(store, first(buckets[0])) == Applied(1)
        found = await store.read(Wanted({bucket: ["a"] for bucket in buckets[:2]}))
        assert isinstance(found.documents[buckets[0]][0], bytes)
        assert isinstance(found.documents[buckets[1]][0], StoreUnavailableError)
        for call in (store.apply(first(buckets[1])), store.read(Wanted({buckets[1]: ["a"]}))):
            with pytest.raises(StoreUnavailableError, match="slot"):
                await call
        with pytest.raises(StoreUnavailableError, match="slot"):
            async with store.changes(buckets[1]):
                pass
        member.ask("CLUSTER", "ADDSLOTS", *{*slots} - {slots[0]})
        assert await until_answered(store, first(buckets[1])) == Applied(1)
        await store.close()


async def test_a_server_that_stands_still_keeps_back_what_is_on_it_and_nothing_else(unique: str) -> None:
    buckets = [Bucket(unique, 1, number) for number in range(BUCKETS)]
    listing = Listing(unique, 1, BUCKETS, "all", 10, False)
    number = MeasureQuery(unique, 1, BUCKETS, "count", "x")
    with EmbeddedCluster() as cluster:
        store = RedisStore(cluster.url, connect_timeout_s=0.3, timeout_s=0.3, cluster=True)
        for bucket in buckets:
            assert await store.apply(first(bucket)) == Applied(1)
        await build(store, *buckets)
        still = cluster.members[1]
        assert still.pid
        os.kill(still.pid, signal.SIGSTOP)
        try:
            for _ in range(3):  # also while and after the map is read anew
                wanted = Wanted({bucket: ["a"] for bucket in buckets}, {listing: ["i:all"]}, (), (number,))
                found = await store.read(wanted)
                for bucket in buckets:
                    [answer] = found.documents[bucket]
                    is_there = cluster.owner(bucket.positions) is not still
                    assert isinstance(answer, bytes if is_there else StoreUnavailableError)
                assert isinstance(found.lists[listing][0], StoreUnavailableError)
                assert isinstance(found.measures[0], StoreUnavailableError)
        finally:
            os.kill(still.pid, signal.SIGCONT)
        await store.close()


async def test_who_has_a_map_goes_on_with_it_until_it_is_read_anew(
    cluster: EmbeddedCluster, clustered: RedisStore, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who was sent away with it waits for the new one, and so does what asks every master."""
    kept, moved = Bucket(unique, 1, 0), Bucket(unique, 1, 1)
    await build(clustered, kept)
    initialize, begun, may_begin = NodesManager.initialize, asyncio.Event(), asyncio.Event()

    async def initialize_late(nodes: NodesManager) -> None:
        begun.set()
        await may_begin.wait()
        await initialize(nodes)

    monkeypatch.setattr(NodesManager, "initialize", initialize_late)
    cluster.move(moved.positions, next(one for one in cluster.members if one is not cluster.owner(moved.positions)))
    async with asyncio.timeout(WITHIN_S), asyncio.TaskGroup() as group:
        sent_away = [group.create_task(clustered.apply(first(moved, id, at))) for at, id in enumerate("ab")]
        await begun.wait()
        looking = group.create_task(clustered.check())
        assert await clustered.read(Wanted({kept: ["a"]}))
        assert not any(task.done() for task in (*sent_away, looking))
        may_begin.set()
    assert [task.result() for task in sent_away] == [Applied(1), Applied(1)]


async def test_the_wrong_kind_of_client_is_told(cluster: EmbeddedCluster, valkey: EmbeddedValkey, unique: str) -> None:
    plain = RedisStore(cluster.url)
    elsewhere = (Bucket(unique, 1, number) for number in range(BUCKETS))
    bucket = next(bucket for bucket in elsewhere if cluster.owner(bucket.positions) is not cluster.members[0])
    with pytest.raises(StoreMisconfiguredError, match="HEADRACE_REDIS_CLUSTER"):
        await plain.apply(first(bucket))
    for buckets in ([bucket], [Bucket(unique, 1, number) for number in range(BUCKETS)]):
        with pytest.raises(StoreMisconfiguredError, match="HEADRACE_REDIS_CLUSTER"):
            await plain.read(Wanted({bucket: ["a"] for bucket in buckets}))
    await plain.close()
    strange = RedisStore(valkey.url, cluster=True)
    with pytest.raises(StoreMisconfiguredError, match="HEADRACE_REDIS_CLUSTER"):
        await strange.check()
    await strange.close()
