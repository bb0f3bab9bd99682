"""A smoke test of the functions on Redis 7 and Redis 8 themselves, where they are; `make test-redis` runs the whole suite there."""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from gateway.dev.servers import EmbeddedValkey
from projections.store.change import (
    Advance,
    Append,
    Applied,
    BucketChange,
    Change,
    Conflict,
    Fence,
    Fenced,
    Regressed,
    SetAside,
    Waiting,
)
from projections.store.document import PARKED, Document
from projections.store.keys import Bucket, queue_place
from projections.store.port import DocumentKey, MeasureQuery, Notice, PageQuery
from projections.store.redis import RedisStore
from tests.contract.store.conftest import P0, page_of
from tests.reads import read
from tools import debian_redis

BUCKET = Bucket("orders", 1, 0)
PARKED_AT_1 = Document(0, 1, 0, b"{}", PARKED)
WAITING = Waiting(queue_place(0, 3), "orders/0/2", b'{"cause":"gap"}')


def server_command(major: int) -> tuple[str, ...]:
    """What starts that Redis: TEST_REDIS_<major>, `redis-server` on the PATH, or what was fetched from Debian."""
    said = os.environ.get(f"TEST_REDIS_{major}")
    if said:
        return tuple(shlex.split(said))
    there = shutil.which("redis-server")
    if there and re.search(
        rf"v={major}\.", subprocess.run([there, "--version"], capture_output=True, text=True).stdout
    ):
        return (there,)
    release = next(release for release, found in debian_redis.RELEASES.items() if found == major)
    if debian_redis.is_fetched(release):
        return debian_redis.command(release)
    pytest.skip(f"no Redis {major}: set TEST_REDIS_{major}, or run python -m tools.debian_redis {release}")


@pytest.fixture(params=[7, 8])
async def redis_server(request: pytest.FixtureRequest) -> AsyncIterator[EmbeddedValkey]:
    with EmbeddedValkey(command=server_command(request.param)) as server:
        async with Redis.from_url(server.url) as admin:
            version = (await admin.info("server"))["redis_version"]
        assert version.startswith(f"{request.param}.")
        yield server


async def test_the_functions_work(redis_server: EmbeddedValkey) -> None:
    store = RedisStore(redis_server.url)
    await store.check()
    fence = await store.raise_fence(BUCKET, [P0], "me", 7)
    change = BucketChange(
        BUCKET,
        [Change("a", None, PARKED_AT_1, [WAITING]), Change("b", None, Document(0, 1, 0, None))],
        [SetAside("orders/0/1", b"{}")],
        positions={P0: Advance(0, 3, "log")},
        added={"i:all": [b"1x\0a"], "m:last:x": [b"1x\0a"]},
        deltas={"m:total:x": 2**63 - 1},
        appends=[Append("c", f"e{n}", b"1%d\0e%d" % (n, n), b"{}") for n in range(3)],
        timeline_bound=2,
        fence=fence,
        caught_up=[P0],
        partitions=[P0],
    )
    async with store.changes(BUCKET) as notices:
        assert await store.apply(change) == Applied(2, 1, 1, 3)
        assert await anext(notices) == [Notice("a", 0, 1), Notice("b", 0, 1)]
    pages = [PageQuery("orders", 1, 1, "all", (), 5), PageQuery("orders", 1, 1, "", (), 5, timeline="c")]
    measures = [MeasureQuery("orders", 1, 1, "total", "x"), MeasureQuery("orders", 1, 1, "last", "x", 1)]
    found, [listed, timeline], numbers = await read(store, [DocumentKey(BUCKET, "a")], pages, measures)
    assert (found, numbers) == ([PARKED_AT_1], [2**63 - 1, b"1x"])
    assert [row.document for row in page_of(listed).rows] == [PARKED_AT_1]
    assert [row.id for row in page_of(timeline).rows] == ["e1", "e2"]
    assert await store.queued(BUCKET, ["a"]) == [[WAITING]]
    assert (await store.standing(BUCKET)).is_built
    assert await store.apply(change) == Regressed({P0: 3})
    assert await store.apply(BucketChange(BUCKET, change.changes)) == Conflict(["a", "b"])
    late = BucketChange(BUCKET, positions={P0: Advance(3, 4)}, fence=Fence(1, "z"))
    assert await store.apply(late) == Fenced(fence)
    await store.close()
