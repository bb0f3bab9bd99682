"""What only a real server can show: outages, hangs, lost functions, settings that would lose data."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from gateway.dev.servers import EmbeddedValkey
from projections.errors import StoreMisconfiguredError, StoreUnavailableError
from projections.store import redis as redis_store
from projections.store.change import Advance, Applied, BucketChange, Change, Conflict, Fence, Fenced, Regressed
from projections.store.commands import Commands
from projections.store.document import Document
from projections.store.keys import Bucket
from projections.store.port import DocumentKey, Notice, PageQuery, Wanted
from projections.store.redis import RedisStore
from tests.chaos.servers import FailingValkey
from tests.contract.store.conftest import P0, build, page_of
from tests.reads import read

BUCKET = Bucket("orders", 1, 0)
CHANGE = BucketChange(BUCKET, [Change("a", None, Document(0, 1, 0, b"{}"))])


async def test_functions_are_loaded_where_they_are_missing(clean_valkey: EmbeddedValkey) -> None:
    """A promoted replica, or a server that was emptied, may not have them."""
    store = RedisStore(clean_valkey.url)
    async with Redis.from_url(clean_valkey.url) as admin:
        await store.check()
        await store.check()
        assert await store.apply(CHANGE) == Applied(1)
        await admin.function_flush()
        assert await store.apply(CHANGE) == Conflict(["a"])
        await admin.function_flush()
        assert await store.raise_fence(BUCKET, [P0], "me", 7) == Fence(7, "me")
        await build(store, BUCKET)
        await admin.function_flush()
        found, pages, _ = await read(store, [DocumentKey(BUCKET, "a")], [PageQuery("orders", 1, 1, "all", (), 3)])
        assert found == [Document(0, 1, 0, b"{}")]
        assert page_of(pages[0]).total == 0
    await store.close()


async def test_functions_that_are_lost_again_at_once_are_an_outage_that_ends(
    clean_valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Flushed twice in a row, before the trip that was given them could be sent once more."""
    store = RedisStore(clean_valkey.url)
    await build(store, BUCKET)
    load = Commands.load
    page = PageQuery("orders", 1, 1, "all", (), 3)
    async with Redis.from_url(clean_valkey.url) as admin:

        async def load_in_vain(commands: Commands, *, everywhere: bool = False) -> None:
            await load(commands, everywhere=everywhere)
            await admin.function_flush()

        with monkeypatch.context() as patch:
            patch.setattr(Commands, "load", load_in_vain)
            await admin.function_flush()
            for call in (
                store.apply(CHANGE),
                store.read(Wanted(pages=[page])),
                store.read(Wanted({BUCKET: ["a"]}, pages=[page])),
            ):
                with pytest.raises(StoreUnavailableError, match="unction not found"):
                    await call
    assert await store.apply(CHANGE) == Applied(1)
    await store.close()


async def test_a_promoted_replica_is_given_the_functions_and_tells_where_it_stands(
    command: tuple[str, ...],
) -> None:
    """It lost its tail with its master: what it stands at is told, and the lost change is written again."""
    tail = BucketChange(BUCKET, [Change("b", None, Document(0, 1, 0, b"{}"))], positions={P0: Advance(1, 2)})
    with FailingValkey(lambda: EmbeddedValkey(command=command)) as server:
        store = RedisStore(server.url)
        fence = await store.raise_fence(BUCKET, [P0], "me", 7)
        await store.apply(replace(CHANGE, positions={P0: Advance(0, 1)}, fence=fence))
        server.attach()
        server.detach()
        assert await store.apply(replace(tail, fence=fence)) == Applied(1)
        server.fail_over(amnesia=True)
        late = replace(tail, positions={P0: Advance(2, 3)}, fence=fence)
        async with asyncio.timeout(10.0):
            while (outcome := await _once_answered(store, late)) is None:
                pass
        assert outcome == Regressed({P0: 1})
        assert await store.documents(BUCKET, ["a", "b"]) == [Document(0, 1, 0, b"{}"), None]
        assert await store.apply(replace(tail, fence=Fence(6, "other"))) == Fenced(fence)
        assert await store.apply(replace(tail, fence=fence)) == Applied(1)
        await store.close()


async def _once_answered(store: RedisStore, change: BucketChange) -> object:
    with contextlib.suppress(StoreUnavailableError):
        return await store.apply(change)
    return None


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
async def test_a_store_that_may_evict_is_refused(valkey: EmbeddedValkey, policy: str) -> None:
    store = RedisStore(valkey.url)
    async with Redis.from_url(valkey.url) as admin:
        await admin.config_set("maxmemory-policy", policy)
        try:
            with pytest.raises(StoreMisconfiguredError, match=f"maxmemory-policy is {policy}.*noeviction"):
                await store.check()
        finally:
            await admin.config_set("maxmemory-policy", "noeviction")
    await store.close()


async def test_a_stranger_s_value_is_told_and_left_alone(clean_valkey: EmbeddedValkey) -> None:
    store = RedisStore(clean_valkey.url)
    async with Redis.from_url(clean_valkey.url) as admin:
        await admin.set(BUCKET.document("a"), b"not ours")
        with pytest.raises(StoreMisconfiguredError, match="a"):
            await store.documents(BUCKET, ["a"])
        with pytest.raises(StoreMisconfiguredError, match="CORRUPT"):
            await store.apply(CHANGE)
        assert await admin.get(BUCKET.document("a")) == b"not ours"
    await store.close()


async def test_refused_credentials_are_the_operator_s_business(valkey: EmbeddedValkey) -> None:
    store = RedisStore(valkey.url.replace("redis://", "redis://nobody:wrong@"))
    with pytest.raises(StoreMisconfiguredError, match="credentials"):
        await store.ping()
    await store.close()


async def test_a_lost_server_is_told_at_once_and_found_again(start_valkey: Callable[[], EmbeddedValkey]) -> None:
    server = start_valkey()
    store = RedisStore(server.url, connect_timeout_s=0.5, timeout_s=0.5)
    await store.check()
    async with store.changes(BUCKET) as notices:
        await store.apply(CHANGE)
        assert await anext(notices) == [Notice("a", 0, 1)]
        server.kill()
        with pytest.raises(StoreUnavailableError):
            await anext(notices)
    started_s = time.monotonic()
    for call in (store.ping(), store.apply(CHANGE), store.read(Wanted({BUCKET: ["a"]}))):
        with pytest.raises(StoreUnavailableError):
            await call
    with pytest.raises(StoreUnavailableError):
        async with store.changes(BUCKET):
            pass
    assert time.monotonic() - started_s < 2.0
    server.start()
    assert await store.apply(CHANGE) == Applied(1)
    await store.close()


async def test_a_hung_server_is_told_within_the_bound(start_valkey: Callable[[], EmbeddedValkey]) -> None:
    server = start_valkey()
    store = RedisStore(server.url, connect_timeout_s=0.2, timeout_s=0.2)
    await store.check()
    assert server.pid
    os.kill(server.pid, signal.SIGSTOP)
    try:
        started_s = time.monotonic()
        for call in (store.standing(BUCKET), store.apply(CHANGE)):
            with pytest.raises(StoreUnavailableError):
                await call
        assert time.monotonic() - started_s < 1.5
    finally:
        os.kill(server.pid, signal.SIGCONT)
    # The late answers belong to nobody: each of these is answered by its own.
    ids = [f"x{n}" for n in range(20)]
    await store.apply(BucketChange(BUCKET, [Change(id, None, Document(0, n + 1, 0, None)) for n, id in enumerate(ids)]))
    answers = await asyncio.gather(*(store.documents(BUCKET, [id]) for id in ids))
    assert answers == [[Document(0, n + 1, 0, None)] for n in range(20)]
    await store.close()


async def test_a_cancelled_call_leaves_no_answer_behind(valkey: EmbeddedValkey, unique: str) -> None:
    store = RedisStore(valkey.url)
    bucket = Bucket(unique, 1, 0)
    ids = [f"{n}" for n in range(50)]
    await store.apply(BucketChange(bucket, [Change(id, None, Document(0, n + 1, 0, None)) for n, id in enumerate(ids)]))
    for n, id in enumerate(ids):
        doomed = asyncio.ensure_future(store.documents(bucket, ["0", "1"]))
        for _ in range(n % 5):
            await asyncio.sleep(0)
        doomed.cancel()
        [found] = await store.documents(bucket, [id])
        assert found == Document(0, n + 1, 0, None)
        await asyncio.gather(doomed, return_exceptions=True)
    await store.close()


async def test_a_change_channel_to_a_hung_server_is_told(
    start_valkey: Callable[[], EmbeddedValkey], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_store, "IDLE_PING_S", 0.05)
    server = start_valkey()
    store = RedisStore(server.url, connect_timeout_s=0.2, timeout_s=0.2)
    async with asyncio.timeout(5.0), store.changes(BUCKET) as notices:
        waiting = asyncio.ensure_future(anext(notices))
        done, _ = await asyncio.wait([waiting], timeout=0.5)
        assert not done, "a quiet channel is kept"
        assert server.pid
        os.kill(server.pid, signal.SIGSTOP)
        try:
            with pytest.raises(StoreUnavailableError):
                await waiting
        finally:
            os.kill(server.pid, signal.SIGCONT)
    await store.close()
