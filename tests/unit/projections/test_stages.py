"""The stages of a consumer: what is folded ahead of what is written, what is drained, what stops, and who is held up by it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence

import pytest

from projections import Measure, Projection, consume, stages
from projections.consume import Consumer
from projections.errors import StoreUnavailableError
from projections.lag import lag_of, read_report
from projections.log.memory import MemoryBroker, MemoryLog
from projections.record import Record
from projections.store.change import ApplyOutcome, BucketChange, Conflict, Waiting
from projections.store.document import Document
from projections.store.keys import Bucket
from projections.store.memory import MemoryStore
from projections.telemetry import Instruments
from tests.unit.projections.samples import CartView, carts, evolve, record
from tests.unit.projections.test_consume import BUCKET, opened, position, publish, renamed, running, until, versions
from tests.unit.projections.test_ownership import Member, StallingStore, filled, together


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times that a test can wait for."""
    for name in ("TICK_S", "FULL_RETRY_S", "MAX_BACKOFF_S", "FIRST_BACKOFF_S"):
        monkeypatch.setattr(consume, name, 0.01)
    monkeypatch.setattr(stages, "FETCH_WAIT_MS", 5)


class SlowStore(MemoryStore):
    """Its changes wait until they are let go; remembers what was read."""

    def __init__(self) -> None:
        super().__init__()
        self.go = asyncio.Event()
        self.waiting = 0
        self.read_ids: list[str] = []

    async def apply(self, change: BucketChange) -> ApplyOutcome:
        if change.changes:
            self.waiting += 1
            await self.go.wait()
        return await super().apply(change)

    async def documents(self, bucket: Bucket, ids: Sequence[str]) -> list[Document | None]:
        self.read_ids += ids
        return await super().documents(bucket, ids)


async def test_a_slice_is_folded_onto_what_is_not_written_yet() -> None:
    broker, store = MemoryBroker(), SlowStore()
    opened(broker, "a")
    renamed(broker, "a", 2, "bob")
    renamed(broker, "a", 3, "cleo")
    async with running(broker, store, batch_records=1):
        await until(lambda: store.waiting)
        store.go.set()
        await until(lambda: versions(store) == {"a": 3})
        await until(lambda: position(store) == 3)
    assert json.loads(store.buckets[BUCKET].documents["a"].view or b"")["owner"] == "cleo"
    assert store.read_ids[0] == "a"
    assert len(store.read_ids) < 3, "what is about to be written was read"


async def test_a_stop_writes_what_was_read() -> None:
    broker, store = MemoryBroker(), SlowStore()
    opened(broker, "a", "b", "c")
    async with running(broker, store, batch_records=1) as consumer:
        await until(lambda: store.waiting)
        consumer.stop()
        store.go.set()
    assert "a" in versions(store)
    assert position(store) == len(versions(store))


async def test_a_revoke_lets_the_change_under_way_end_before_another_takes_over() -> None:
    broker, shared = filled(partitions=1), MemoryStore()
    slow = StallingStore(shared)
    slow.stall_apply = True
    first, second = Member(broker, slow), Member(broker, shared)
    async with together(first):
        await slow.stalled.wait()
        async with together(second):
            slow.go.set()
            await until(lambda: len(versions(shared)) == 5)
            opened(broker, "late")
            await until(lambda: "late" in versions(shared))
    assert position(shared) == 6


async def test_one_projection_that_is_held_up_holds_up_no_other() -> None:
    broker = MemoryBroker()
    opened(broker, "a")
    stuck, free = SlowStore(), MemoryStore()
    other = Projection(
        name="other", version=1, topics=["shop.carts"], aggregate="cart", evolve=evolve, indexes=carts.indexes
    )
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        one = Consumer(carts, MemoryLog(broker, "one"), stuck, instruments=Instruments())
        two = Consumer(other, MemoryLog(broker, "two"), free, instruments=Instruments())
        tasks = [group.create_task(one.run()), group.create_task(two.run())]
        await until(lambda: stuck.waiting)
        for number in range(20):
            opened(broker, f"b-{number}")
        await until(lambda: len(free.buckets[Bucket("other", 1, 0)].documents) == 21)
        assert versions(stuck) == {}
        stuck.go.set()
        for consumer in (one, two):
            consumer.stop()
        await asyncio.wait(tasks)


def broken(broker: MemoryBroker, id: str, version: int = 2) -> None:
    publish(broker, record(id=id, version=version, kind="shop.carts.Broken", data={"how": "raise"}))


async def test_a_burst_of_failures_stops_the_projection_before_it_parks_the_world(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker, store = MemoryBroker(), MemoryStore()
    ids = [f"c-{number}" for number in range(400)]
    opened(broker, *ids)
    for id in ids:
        broken(broker, id)
    async with running(broker, store, batch_records=100):
        await until(lambda: "it has stopped" in caplog.text)
        [report] = read_report(store.buckets[BUCKET].live).values()
        await until(
            lambda: (
                "stopped" in read_report(store.buckets[BUCKET].live)[next(iter(store.buckets[BUCKET].positions))].state
            )
        )
        assert report.owner
        stopped_at = position(store)
    assert "a defect of the author" in caplog.text
    assert stopped_at < 800
    assert len(store.buckets[BUCKET].quarantine) <= 300
    before = dict(store.buckets[BUCKET].quarantine)
    async with running(broker, store, batch_records=100, failure_burst_percent=0):
        await until(lambda: position(store) == 800)
    assert len(store.buckets[BUCKET].quarantine) == 400
    assert before.items() <= store.buckets[BUCKET].quarantine.items()


async def test_one_in_a_hundred_failures_stops_nothing() -> None:
    broker, store = MemoryBroker(), MemoryStore()
    ids = [f"c-{number}" for number in range(1000)]
    opened(broker, *ids)
    for number, id in enumerate(ids):
        broken(broker, id) if number % 100 == 0 else renamed(broker, id, 2)
    async with running(broker, store):
        await until(lambda: position(store) == 2000)
    assert len(store.buckets[BUCKET].quarantine) == 10


async def test_failures_that_are_read_again_and_again_are_no_burst(caplog: pytest.LogCaptureFixture) -> None:
    broker, store = MemoryBroker(), MemoryStore(quarantine_max=5)
    opened(broker, *(f"c-{number}" for number in range(30)))
    for number in range(30):
        broken(broker, f"c-{number}")
    opened(broker, "late")
    async with running(broker, store, batch_records=10):
        for _ in range(4):
            store.buckets[BUCKET].live = {}
            await until(
                lambda: any("is full" in told.state for told in read_report(store.buckets[BUCKET].live).values())
            )
        store._quarantine_max = 100
        await until(lambda: position(store) == 61)
    assert "of the last" not in caplog.text
    assert len(store.buckets[BUCKET].quarantine) == 30


async def test_what_holds_no_record_is_passed_over_and_leaves_nothing_behind() -> None:
    broker, store = MemoryBroker(), MemoryStore()
    opened(broker, "a", "b")
    [at] = broker.partitions()
    broker.mark(at)
    async with running(broker, store):
        await until(lambda: store.buckets[BUCKET].is_built)
        await until(lambda: position(store) == 3)
        [report] = read_report(store.buckets[BUCKET].live).values()
        assert report.records == 0
        opened(broker, "c")
        broker.mark(at)
        await until(lambda: position(store) == 5)
    assert versions(store) == {"a": 1, "b": 1, "c": 1}


async def test_a_log_that_retention_has_emptied_leaves_nothing_to_build() -> None:
    broker, store = MemoryBroker(), MemoryStore()
    opened(broker, "a", "b")
    [at] = broker.partitions()
    broker.drop_before(at, 2)
    async with running(broker, store):
        await until(lambda: store.buckets[BUCKET].is_built)
    assert position(store) == 2


async def test_a_measure_without_room_parks_the_rows_that_would_add_to_it_and_no_others() -> None:
    broker, store = MemoryBroker(), MemoryStore()
    counted = Projection(
        name="carts",
        version=1,
        topics=["shop.carts"],
        aggregate="cart",
        evolve=evolve,
        measures=[Measure[CartView]("carts_of", "count", by="owner")],
    )
    store.buckets[BUCKET].numbers["m:carts_of:ann"] = 2**63 - 3
    opened(broker, "a", "b", "c", "d")
    renamed(broker, "c", 2, "bob")
    publish(broker, record(id="e", data={"owner": "cleo", "at": "2024-05-01T12:00:00Z", "items": []}))
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        consumer = Consumer(counted, MemoryLog(broker), store, instruments=Instruments(), batch_records=1)
        task = group.create_task(consumer.run())
        await until(lambda: position(store) == 6)
        consumer.stop()
        await task
    assert versions(store) == {"a": 1, "b": 1, "c": 0, "d": 0, "e": 1}
    assert store.buckets[BUCKET].numbers == {"m:carts_of:ann": 2**63 - 1, "m:carts_of:cleo": 1}
    assert {json.loads(entry)["cause"] for entry in store.buckets[BUCKET].quarantine.values()} == {"evolve", "behind"}


class ShelfStore(MemoryStore):
    """Remembers how many entries of queues were read."""

    shown = 0

    async def entries(self, bucket: Bucket, coordinates: Sequence[str]) -> list[bytes | None]:
        self.shown += len(coordinates)
        return await super().entries(bucket, coordinates)


async def test_of_a_long_queue_only_what_is_due_is_read() -> None:
    broker, store = MemoryBroker(), ShelfStore()
    opened(broker, "a")
    for version in range(3, 203):
        renamed(broker, "a", version, f"owner-{version}")
    async with running(broker, store, batch_records=1):
        await until(lambda: position(store) == 201)
        assert store.shown == 0, "a gap needs no entry to be told"
        renamed(broker, "a", 2)
        await until(lambda: versions(store) == {"a": 202})
    assert 200 <= store.shown <= 240
    assert store.buckets[BUCKET].quarantine == {}
    assert json.loads(store.buckets[BUCKET].documents["a"].view or b"")["owner"] == "owner-202"


async def test_behind_a_bad_record_only_that_is_read_again() -> None:
    broker, store = MemoryBroker(), ShelfStore()
    opened(broker, "a")
    broken(broker, "a", 2)
    for version in range(3, 53):
        renamed(broker, "a", version)
    async with running(broker, store, batch_records=1):
        await until(lambda: position(store) == 52)
    assert store.shown <= 51
    assert len(store.buckets[BUCKET].quarantine) == 51


async def test_a_quarantine_takes_what_fits_of_a_batch_that_does_not() -> None:
    broker, store = MemoryBroker(), MemoryStore(quarantine_max=3)
    for number in range(10):
        publish(broker, record(id=f"b-{number}", data=b"{"))
    opened(broker, "a")
    async with running(broker, store) as consumer:
        await until(lambda: len(store.buckets[BUCKET].quarantine) == 3)
        await until(
            lambda: any("is full: 3" in told.state for told in read_report(store.buckets[BUCKET].live).values())
        )
        assert position(store) == 3
        assert lag_of([store.buckets[BUCKET].live]).is_stopped  # type: ignore[union-attr]
        store._quarantine_max = 20
        await until(lambda: position(store) == 11)
        await until(lambda: not lag_of([store.buckets[BUCKET].live]).is_stopped)  # type: ignore[union-attr]
        assert consumer.name == "carts"
    assert len(store.buckets[BUCKET].quarantine) == 10
    assert versions(store)["a"] == 1


async def test_records_that_were_gone_before_they_were_read_are_told(caplog: pytest.LogCaptureFixture) -> None:
    broker, store = MemoryBroker(), MemoryStore()
    opened(broker, *"abcde")
    [at] = broker.partitions()
    broker.drop_before(at, 3)
    async with running(broker, store):
        await until(lambda: position(store) == 5)
    assert versions(store) == {"d": 1, "e": 1}
    assert "shop.carts/0 begins at 3: records from 0 on are gone" in caplog.text


class SwallowingStore(MemoryStore):
    """A call that is cancelled answers all the same, as `asyncio.wait_for` may make it; its first changes are refused."""

    def __init__(self, call: str) -> None:
        super().__init__()
        self.call = call
        self.refuse = 3
        self.swallowed = 0

    async def _through(self, call: str) -> None:
        if call == self.call:
            try:
                await asyncio.sleep(0.002)
            except asyncio.CancelledError:
                self.swallowed += 1

    async def apply(self, change: BucketChange) -> ApplyOutcome:
        if change.changes and self.call == "documents" and self.refuse:
            self.refuse -= 1
            return Conflict([change.changes[0].id])
        await self._through("apply")
        return await super().apply(change)

    async def documents(self, bucket: Bucket, ids: Sequence[str]) -> list[Document | None]:
        await self._through("documents")
        if self.call == "apply" and self.refuse:
            self.refuse -= 1
            raise StoreUnavailableError("away")
        return await super().documents(bucket, ids)


@pytest.mark.parametrize("call", ["documents", "apply"])
async def test_a_cancellation_that_a_library_swallows_does_not_hold_the_stages_up(call: str) -> None:
    broker, store = MemoryBroker(), SwallowingStore(call)
    opened(broker, *(f"c-{number}" for number in range(60)))
    async with running(broker, store, batch_records=2):
        await until(lambda: position(store) == 60)
    assert store.refuse == 0


class Sated(MemoryLog):
    """Tells its consumer to stop once it has been given so many records."""

    limit: int
    stop: Callable[[], None]

    async def fetch(self, *, max_records: int, wait_ms: int) -> list[Record]:
        found = await super().fetch(max_records=max_records, wait_ms=wait_ms)
        self.limit -= len(found)
        if self.limit <= 0:
            self.stop()
        return found


@pytest.mark.parametrize("limit", [5, 10, 12])
async def test_a_slice_that_is_begun_is_written_before_it_stops(limit: int) -> None:
    broker, store = MemoryBroker(), MemoryStore()
    opened(broker, *(f"c-{number}" for number in range(12)))
    log = Sated(broker)
    consumer = Consumer(carts, log, store, instruments=Instruments(), batch_records=5)
    log.limit, log.stop = limit, consumer.stop
    async with asyncio.timeout(10):
        await consumer.run()
    assert position(store) == limit
    assert len(versions(store)) == limit


async def test_what_is_at_hand_goes_into_one_slice_across_batches() -> None:
    broker, store = MemoryBroker(), CountingStore()
    opened(broker, *(f"c-{number}" for number in range(60)))
    async with running(broker, store, batch_records=20):
        await until(lambda: position(store) == 60)
    assert store.sizes == [60]


class CountingStore(MemoryStore):
    """Remembers how many documents each change had."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    async def apply(self, change: BucketChange) -> ApplyOutcome:
        if change.changes:
            self.sizes.append(len(change.changes))
        return await super().apply(change)


class OrderlyStore(MemoryStore):
    """Takes its time over a change, and notes whether a queue was asked for meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.under_way = self.asked = self.asked_meanwhile = 0

    async def apply(self, change: BucketChange) -> ApplyOutcome:
        self.under_way += 1
        for _ in range(50):
            await asyncio.sleep(0)
        self.under_way -= 1
        return await super().apply(change)

    async def queue_places(self, bucket: Bucket, ids: Sequence[str]) -> list[list[Waiting]]:
        self.asked += 1
        self.asked_meanwhile += self.under_way
        return await super().queue_places(bucket, ids)


async def test_a_queue_is_asked_for_once_all_that_may_change_it_is_written() -> None:
    broker, store = MemoryBroker(), OrderlyStore()
    opened(broker, "a")
    for version in (3, 4, 5, 2):
        renamed(broker, "a", version)
    async with running(broker, store, batch_records=1):
        await until(lambda: versions(store) == {"a": 5})
    assert store.asked
    assert not store.asked_meanwhile
