"""What the projector counts, and that the catalogue is what it emits."""

from __future__ import annotations

import asyncio
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from projections.consume import Consumer
from projections.log.memory import MemoryBroker, MemoryLog
from projections.store.keys import Bucket
from projections.store.memory import MemoryStore
from projections.telemetry import (
    APPLIED,
    APPLY_DURATION,
    DUPLICATES,
    METRICS,
    RECORDS,
    SET_ASIDE,
    VANISHED,
    Instruments,
)
from tests.unit.projections.samples import carts, record
from tests.unit.projections.test_consume import until


def emitted(reader: InMemoryMetricReader) -> dict[str, Any]:
    """Metrics by name: {attribute values: sum or count}."""
    found: dict[str, Any] = {}
    data = reader.get_metrics_data()
    if data is None:
        return found
    for metric in data.resource_metrics[0].scope_metrics[0].metrics:
        points: dict[tuple[Any, ...], Any] = {}
        for point in metric.data.data_points:
            points[tuple((point.attributes or {}).values())] = getattr(point, "value", None) or getattr(
                point, "count", 0
            )
        found[metric.name] = points
    return found


async def test_records_documents_duplicates_and_what_was_set_aside() -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    broker, store = MemoryBroker(), MemoryStore()
    for item in (
        record(),
        record(),
        record(version=2, kind="x.Unheard"),
        record(id="b", data=b"{"),
        record(aggregate="basket"),
    ):
        broker.append(item.topic, key=item.key, value=item.value, headers=item.headers)
    consumer = Consumer(carts, MemoryLog(broker), store, instruments=Instruments(provider.get_meter("test")))
    async with asyncio.timeout(10.0), asyncio.TaskGroup() as group:
        group.create_task(consumer.run())
        await until(lambda: store.buckets[Bucket("carts", 1, 0)].live)
        consumer.stop()
    found = emitted(reader)
    assert found[RECORDS.name] == {
        ("carts", "decoded"): 2,
        ("carts", "ignored"): 1,
        ("carts", "poison"): 1,
        ("carts", "foreign"): 1,
    }
    assert found[APPLIED.name] == {("carts",): 2}  # the parked one is a header
    assert found[DUPLICATES.name] == {("carts",): 1}
    assert found[SET_ASIDE.name] == {("carts", "body"): 1}
    assert found[APPLY_DURATION.name] == {("carts",): 1}
    provider.shutdown()


async def test_a_topic_that_vanished_is_counted_once_until_it_is_there_again() -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    broker, store = MemoryBroker(), MemoryStore()
    live, topic = store.buckets[Bucket("carts", 1, 0)], carts.topics[0]
    consumer = Consumer(carts, MemoryLog(broker), store, instruments=Instruments(provider.get_meter("test")))

    def counted() -> dict[Any, int]:
        found: dict[Any, int] = emitted(reader).get(VANISHED.name, {})
        return found

    async def reported() -> None:
        live.live = {}
        await until(lambda: live.live)

    async with asyncio.timeout(10.0), asyncio.TaskGroup() as group:
        group.create_task(consumer.run())
        await reported()
        assert counted() == {}  # it is not there yet: nobody misses it
        for times in (1, 2):
            broker.create(topic, 2)
            await until(lambda: len(live.positions) == 2 and f"{topic}/1" in live.live)
            broker.delete(topic)
            await until(lambda: bool(counted()) and counted()[("carts", topic)] == times)  # noqa: B023 - awaited here
            await reported()
            assert counted() == {("carts", topic): times}
        consumer.stop()
    provider.shutdown()


def test_every_metric_of_the_catalogue_has_its_instrument() -> None:
    made: list[tuple[str, str, str]] = []

    class Meter:
        def create_counter(self, *arguments: str) -> None:
            made.append(arguments)  # type: ignore[arg-type]

        create_histogram = create_counter

    Instruments(Meter())  # type: ignore[arg-type]
    assert sorted(made) == sorted((metric.name, metric.unit, metric.description) for metric in METRICS)
    assert len({metric.name for metric in METRICS}) == len(METRICS)
