"""The consumer over log and store in memory: every outcome of an apply, every outage, and always the same documents."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from projections import consume, stages
from projections.consume import Consumer
from projections.lag import lag_of
from projections.log.memory import MemoryBroker, MemoryLog
from projections.log.port import Partition
from projections.project import Projector
from projections.record import Record
from projections.store.change import Advance, ApplyOutcome, BucketChange, Change, Conflict
from projections.store.document import Document
from projections.store.keys import Bucket, bucket_of
from projections.store.memory import MemoryStore
from projections.telemetry import Instruments
from tests.unit.projections.samples import carts, record

WITHIN_S = 10.0
AT = Partition("shop.carts", 0)
BUCKET = Bucket("carts", 1, 0)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times that a test can wait for."""
    for name in ("TICK_S", "FULL_RETRY_S", "MAX_BACKOFF_S", "FIRST_BACKOFF_S"):
        monkeypatch.setattr(consume, name, 0.01)
    monkeypatch.setattr(stages, "FETCH_WAIT_MS", 5)


async def until(condition: Callable[[], object], what: str = "the condition") -> None:
    """Gives way to other tasks until the condition holds."""
    try:
        async with asyncio.timeout(WITHIN_S):
            while not condition():  # noqa: ASYNC110 - any condition of any object
                await asyncio.sleep(0)
    except TimeoutError:
        pytest.fail(f"{what} did not come about")


def publish(broker: MemoryBroker, item: Record, partition: int = 0) -> None:
    broker.append(item.topic, partition=partition, key=item.key, value=item.value, headers=item.headers)


def opened(broker: MemoryBroker, *ids: str) -> None:
    for id in ids:
        publish(broker, record(id=id))


def renamed(broker: MemoryBroker, id: str, version: int, owner: str = "bob") -> None:
    publish(broker, record(id=id, version=version, kind="other.team.Renamed", data={"owner": owner}))


@asynccontextmanager
async def running(broker: MemoryBroker, store: Any, **more: Any) -> AsyncIterator[Consumer]:
    """A consumer that runs while inside, and is stopped in order after that."""
    consumer = Consumer(carts, MemoryLog(broker), store, instruments=Instruments(), **more)
    async with asyncio.timeout(WITHIN_S), asyncio.TaskGroup() as group:
        task = group.create_task(consumer.run())
        try:
            yield consumer
        finally:
            consumer.stop()
            await task


def versions(store: MemoryStore, buckets: int = 1) -> dict[str, int]:
    found: dict[str, int] = {}
    for number in range(buckets):
        found |= {id: document.version for id, document in store.buckets[Bucket("carts", 1, number)].documents.items()}
    return found


def position(store: MemoryStore) -> int:
    return store.buckets[BUCKET].positions.get(AT, 0)


async def test_documents_positions_and_the_report() -> None:
    broker, store = MemoryBroker(), MemoryStore()
    opened(broker, "a", "b")
    renamed(broker, "a", 2)
    async with running(broker, store) as consumer:
        await consumer.assigned.wait()
        await until(lambda: store.buckets[BUCKET].live)
        assert versions(store) == {"a": 2, "b": 1}
        assert position(store) == 3
        [report] = await store.reports([BUCKET])
        lag = lag_of([report])
        assert lag
        assert lag.records == 0
        assert lag.event_time_ms == 1_714_564_800_123
        renamed(broker, "b", 2)
        await until(lambda: versions(store)["b"] == 2)


async def test_poison_is_set_aside_and_the_rest_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    broker, store = MemoryBroker(), MemoryStore()
    opened(broker, "a")
    publish(broker, record(id="b", data=b"{"))
    opened(broker, "c")
    async with running(broker, store):
        await until(lambda: position(store) == 3)
    assert versions(store) == {"a": 1, "b": 0, "c": 1}
    assert list(store.buckets[BUCKET].quarantine) == ["shop.carts/0/1"]
    assert json.loads(store.buckets[BUCKET].quarantine["shop.carts/0/1"])["cause"] == "body"
    assert "1 records set aside, the first shop.carts/0/1 (body)" in caplog.text


async def test_a_topic_and_partitions_that_appear_later() -> None:
    broker, store = MemoryBroker(), MemoryStore()
    async with running(broker, store) as consumer:
        await consumer.assigned.wait()
        await until(lambda: store.buckets[BUCKET].live)
        assert lag_of([store.buckets[BUCKET].live]) is not None
        opened(broker, "a")
        await until(lambda: versions(store) == {"a": 1})
        publish(broker, record(id="b"), partition=1)
        await until(lambda: versions(store) == {"a": 1, "b": 1})
    assert store.buckets[BUCKET].positions == {AT: 1, Partition("shop.carts", 1): 1}


async def test_several_buckets_get_their_share_and_every_position() -> None:
    broker, store = MemoryBroker(), MemoryStore()
    ids = [f"c-{n}" for n in range(40)]
    opened(broker, *ids)
    async with running(broker, store, buckets=4, batch_records=7):
        await until(lambda: len(versions(store, 4)) == 40)
    for id in ids:
        assert id in store.buckets[Bucket("carts", 1, bucket_of(id, 4))].documents
    assert [store.buckets[Bucket("carts", 1, n)].positions for n in range(4)] == [{AT: 40}] * 4


async def test_resumes_without_applying_anything_twice() -> None:
    broker, store = MemoryBroker(), CountingStore()
    opened(broker, "a", "b")
    async with running(broker, store):
        await until(lambda: position(store) == 2)
    opened(broker, "c")
    async with running(broker, store):
        await until(lambda: position(store) == 3)
    assert store.items == ["a", "b", "c"]


class CountingStore(MemoryStore):
    """Remembers what was asked to be written."""

    def __init__(self) -> None:
        super().__init__()
        self.items: list[str] = []

    async def apply(self, change: BucketChange) -> ApplyOutcome:
        self.items += [item.id for item in change.changes]
        return await super().apply(change)


async def test_a_store_that_is_away_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    broker, store = MemoryBroker(), MemoryStore()
    store.available = False
    opened(broker, "a")
    async with running(broker, store) as consumer:
        await until(lambda: "trying again" in caplog.text)
        assert not consumer.assigned.is_set()
        store.available = True
        await until(lambda: versions(store) == {"a": 1})
        store.available = False
        opened(broker, "b")
        await until(lambda: caplog.text.count("trying again") == 2)
        store.available = True
        await until(lambda: versions(store) == {"a": 1, "b": 1})
        await until(lambda: caplog.text.count("going on after") == 2)
    assert caplog.text.count("trying again") == 2


async def test_a_log_that_is_away_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    broker, store = MemoryBroker(), MemoryStore()
    broker.available = False
    opened(broker, "a")
    async with running(broker, store):
        await until(lambda: "the broker in memory" in caplog.text)
        broker.available = True
        await until(lambda: versions(store) == {"a": 1})
        broker.available = False
        opened(broker, "b")
        await until(lambda: caplog.text.count("trying again") == 2)
        broker.available = True
        await until(lambda: versions(store) == {"a": 1, "b": 1})


async def test_a_store_that_lost_its_tail_is_fed_again() -> None:
    broker, store = MemoryBroker(), MemoryStore()
    opened(broker, "a", "b")
    async with running(broker, store):
        await until(lambda: position(store) == 2)
        earlier = copy.deepcopy(store.buckets[BUCKET])
        renamed(broker, "a", 2)
        opened(broker, "c")
        await until(lambda: position(store) == 4)
        store.buckets[BUCKET] = earlier
        await until(lambda: versions(store) == {"a": 2, "b": 1, "c": 1}, "catching up after a failover")


async def test_a_quiet_log_does_not_hide_a_store_that_was_emptied(caplog: pytest.LogCaptureFixture) -> None:
    broker, store = MemoryBroker(), MemoryStore()
    opened(broker, "a", "b")
    async with running(broker, store, buckets=2):
        await until(lambda: len(versions(store, 2)) == 2)
        await until(lambda: store.buckets[BUCKET].positions == {AT: 2})
        store.buckets.clear()
        await until(lambda: versions(store, 2) == {"a": 1, "b": 1})
    assert "going back to it" in caplog.text


async def test_a_record_that_meets_a_regressed_store_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the help of the tick, which would notice it as well."""
    monkeypatch.setattr(consume, "TICK_S", 1_000.0)
    broker, store = MemoryBroker(), MemoryStore()
    opened(broker, "a", "b")
    async with running(broker, store):
        await until(lambda: store.buckets[BUCKET].live)
        store.buckets.clear()
        opened(broker, "c")
        await until(lambda: versions(store) == {"a": 1, "b": 1, "c": 1})


async def test_resumes_from_the_bucket_that_is_furthest_behind() -> None:
    broker, store = MemoryBroker(), MemoryStore()
    ids = ["a", "b", "c", "d"]
    opened(broker, *ids)
    ahead = Bucket("carts", 1, 1)
    await store.apply(BucketChange(ahead, positions={AT: Advance(0, 4)}))
    async with running(broker, store, buckets=2):
        await until(lambda: versions(store, 2) == dict.fromkeys(ids, 1))


async def test_a_stop_leaves_the_position_of_idle_buckets_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consume, "TICK_S", 1_000.0)
    broker, store = MemoryBroker(), MemoryStore()
    opened(broker, "a")
    async with running(broker, store, buckets=8):
        await until(lambda: store.buckets[BUCKET].live)
        opened(broker, "b")
        await until(lambda: versions(store, 8) == {"a": 1, "b": 1})
    assert [store.buckets[Bucket("carts", 1, n)].positions for n in range(8)] == [{AT: 2}] * 8


async def test_a_topic_that_was_made_anew_is_read_from_its_start() -> None:
    broker, store = MemoryBroker(), MemoryStore()
    opened(broker, "a", "b", "c")
    async with running(broker, store):
        await until(lambda: position(store) == 3)
    broker.delete("shop.carts")
    opened(broker, "d")
    async with running(broker, store):
        await until(lambda: position(store) == 1)
    assert versions(store) == {"a": 1, "b": 1, "c": 1, "d": 1}


async def test_another_number_of_buckets_within_a_generation_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    broker, store = MemoryBroker(), MemoryStore()
    opened(broker, "a", "b")
    async with running(broker, store, buckets=2):
        await until(lambda: len(versions(store, 2)) == 2)
    assert await store.bucket_count("carts", 1) == 2
    before = copy.deepcopy(store.buckets)
    opened(broker, "c")
    async with running(broker, store, buckets=4) as consumer:
        await until(lambda: "it does not run" in caplog.text)
        assert not consumer.assigned.is_set()
    assert store.buckets == before
    [told] = [record for record in caplog.records if "it does not run" in record.message]
    assert told.levelno == logging.ERROR
    for words in ("has 2 buckets", "HEADRACE_BUCKETS says 4", "set it back to 2, or raise the projection's version"):
        assert words in told.message
    async with running(broker, store, buckets=2):
        await until(lambda: len(versions(store, 2)) == 3)


async def test_a_number_of_buckets_that_was_lost_is_recorded_again() -> None:
    broker, store = MemoryBroker(), MemoryStore()
    opened(broker, "a")
    async with running(broker, store, buckets=2):
        await until(lambda: len(versions(store, 2)) == 1)
        store.buckets.clear()
        await until(lambda: store.buckets[BUCKET].count == 2)


async def test_a_record_that_cannot_be_read_whole_is_set_aside() -> None:
    broker, store = MemoryBroker(), MemoryStore()
    opened(broker, "a")
    source = msgspec.structs.replace(record(id="b"), headers=(("\\xff", None),), fault="a header name")
    broker.append(source.topic, key=source.key, value=source.value, headers=source.headers, fault=source.fault)
    opened(broker, "c")
    async with running(broker, store):
        await until(lambda: versions(store) == {"a": 1, "c": 1})
    [entry] = store.buckets[BUCKET].quarantine.values()
    assert json.loads(entry)["cause"] == "unreadable"


class RivalStore(MemoryStore):
    """Another writer gets in between reading and writing, as often as told."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times
        self.conflicts = 0

    async def apply(self, change: BucketChange) -> ApplyOutcome:
        if change.changes and self.times > 0:
            self.times -= 1
            stored = self.buckets[change.bucket].documents.get("a")
            assert stored
            rival = stored._replace(version=stored.version + 1)
            await super().apply(BucketChange(change.bucket, [Change("a", stored, rival)]))
        outcome = await super().apply(change)
        self.conflicts += isinstance(outcome, Conflict)
        return outcome


@pytest.mark.parametrize("times", [1, 9])
async def test_a_conflict_is_folded_again_until_it_fits(times: int) -> None:
    broker, store = MemoryBroker(), RivalStore(0)
    opened(broker, "a")
    async with running(broker, store):
        await until(lambda: position(store) == 1)
        store.times = times
        # The rival publishes nothing: versions 2 to `times` + 1 are its own, and the log goes on after them.
        for version in range(2, times + 3):
            renamed(broker, "a", version)
        await until(lambda: versions(store)["a"] == times + 2)
        await until(lambda: position(store) == times + 2)
    assert store.conflicts == times
    assert store.buckets[BUCKET].quarantine == {}


async def test_a_full_quarantine_blocks_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    broker, store = MemoryBroker(), MemoryStore(quarantine_max=1)
    publish(broker, record(id="x", data=b"{"))
    publish(broker, record(id="y", data=b"{"))
    opened(broker, "a")
    async with running(broker, store, batch_records=1):
        await until(lambda: "is full: 1 records" in caplog.text)
        assert (position(store), versions(store)) == (1, {"x": 0})
        before = store.buckets[BUCKET].live
        await until(lambda: store.buckets[BUCKET].live is not before, "a report while it waits")
        store.buckets[BUCKET].quarantine.clear()
        await until(lambda: versions(store) == {"x": 0, "y": 0, "a": 1})
    assert caplog.text.count("is full") == 1
    assert list(store.buckets[BUCKET].quarantine) == ["shop.carts/0/1"]


async def test_a_full_quarantine_does_not_hold_up_a_stop() -> None:
    broker, store = MemoryBroker(), MemoryStore(quarantine_max=0)
    publish(broker, record(id="x", data=b"{"))
    async with running(broker, store) as consumer:
        await consumer.assigned.wait()
        await until(lambda: store.buckets[BUCKET].live)
    assert position(store) == 0


async def test_a_defect_is_told_and_does_not_end_the_projection(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broker, store = MemoryBroker(), MemoryStore()
    real, calls = Projector.project, 0

    def defective(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ZeroDivisionError("a defect of ours")
        return real(*arguments)

    monkeypatch.setattr(Projector, "project", defective)
    opened(broker, "a")
    with caplog.at_level(logging.ERROR):
        async with running(broker, store):
            await until(lambda: versions(store) == {"a": 1})
    assert "a defect of ours" in caplog.text


async def test_a_stored_document_is_kept_when_a_replay_is_older() -> None:
    broker, store = MemoryBroker(), MemoryStore()
    newer = Document(0, 7, 0, b'{"owner":"x","renames":1,"at":"2024-05-01T12:00:00Z","items":[]}')
    await store.apply(BucketChange(BUCKET, [Change("a", None, newer)]))
    opened(broker, "a", "b")
    async with running(broker, store):
        await until(lambda: position(store) == 2)
    assert store.buckets[BUCKET].documents["a"] == newer
