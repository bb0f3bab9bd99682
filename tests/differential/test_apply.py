"""apply.lua on a real server and its Python model take the same histories: the same answers, the same state after each."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from redis.asyncio import Redis

from gateway.dev.servers import EmbeddedValkey
from projections.errors import StoreMisconfiguredError
from projections.store.change import ApplyOutcome, BucketChange
from projections.store.keys import Bucket
from projections.store.memory import MemoryStore
from projections.store.model import BucketState
from projections.store.redis import RedisStore
from tests.differential.histories import QUARANTINE_MAX, QUEUE_MAX, Again, Raise, Step, histories
from tests.differential.stored import stored

settings.register_profile("differential", deadline=None, suppress_health_check=list(HealthCheck))


async def outcome_of(store: MemoryStore | RedisStore, change: BucketChange) -> ApplyOutcome | str:
    """A defect of the caller is an answer, too; its words are each store's own."""
    try:
        return await store.apply(change)
    except StoreMisconfiguredError:
        return "refused"


def tidy(state: BucketState) -> BucketState:
    """Without lists that are empty: a real server has no such thing."""
    return replace(state, lists={name: members for name, members in state.lists.items() if members})


async def follow(server: EmbeddedValkey, history: list[Step | Raise | Again]) -> None:
    """Takes a history through both stores."""
    bucket = Bucket("orders", 1, 0)
    memory = MemoryStore(quarantine_max=QUARANTINE_MAX, queue_max=QUEUE_MAX)
    real = RedisStore(server.url, quarantine_max=QUARANTINE_MAX, queue_max=QUEUE_MAX)
    state = memory.buckets[bucket]
    change = BucketChange(bucket)
    try:
        async with Redis.from_url(server.url) as admin:
            await admin.flushdb()
            for step in history:
                if isinstance(step, Raise):
                    raised = (step.partitions, step.owner, step.now_ms)
                    assert await real.raise_fence(bucket, *raised) == await memory.raise_fence(bucket, *raised)
                else:
                    change = change if isinstance(step, Again) else step.resolve(bucket, state)
                    expected = await outcome_of(memory, change)
                    assert (change, await outcome_of(real, change)) == (change, expected)
                assert tidy(await stored(admin, bucket)) == tidy(state)
            ids = list(state.documents)
            assert await real.queued(bucket, ids) == await memory.queued(bucket, ids)
            assert await real.standing(bucket) == await memory.standing(bucket)
    finally:
        await real.close()


@settings(settings.get_profile("differential"), max_examples=60)
@given(history=histories)
async def test_the_function_does_what_the_model_says(
    plain_valkey: EmbeddedValkey, history: list[Step | Raise | Again]
) -> None:
    await follow(plain_valkey, history)


@settings(settings.get_profile("differential"), max_examples=25)
@given(history=histories)
async def test_it_does_so_under_another_locale(
    localized_valkey: EmbeddedValkey, history: list[Step | Raise | Again]
) -> None:
    await follow(localized_valkey, history)


async def test_the_other_locale_is_another_one(localized_valkey: EmbeddedValkey, plain_valkey: EmbeddedValkey) -> None:
    """Or the test above would show nothing."""
    for server, is_before in ((plain_valkey, None), (localized_valkey, 1)):
        async with Redis.from_url(server.url) as admin:
            assert await admin.eval("return 'a' < 'B'", 0) == is_before
