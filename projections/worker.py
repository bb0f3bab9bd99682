"""The projector's composition root: settings -> log, store and one consumer per projection, until it is told to stop.

Invariants: any start order works, a store or a broker that is away is waited for; a stop ends the change that is under way and
returns within STOP_WITHIN_S.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from projections.consume import Consumer
from projections.errors import DefinitionError, SettingsError, StoreUnavailableError
from projections.log.kafka import KafkaLog
from projections.pause import event_within
from projections.runtime import Definition
from projections.settings import StoreSettings, WorkerSettings
from projections.store.redis import RedisStore
from projections.telemetry import Instruments

logger = logging.getLogger(__name__)

STOP_WITHIN_S: Final = 4.0
STORE_RETRY_S: Final = 0.5


def distinct(projections: Sequence[Definition]) -> tuple[Definition, ...]:
    """The projections. Raises DefinitionError when two have one name: they would write to the same keys."""
    seen: set[str] = set()
    for projection in projections:
        if projection.name in seen:
            raise DefinitionError(
                f"two projections are named {projection.name!r}",
                where="the catalog, PROJECTIONS",
                mend="give each a name of its own; another build of one is the same projection with a higher version",
            )
        seen.add(projection.name)
    return tuple(projections)


def selected(projections: Sequence[Definition], names: Sequence[str]) -> tuple[Definition, ...]:
    """The projections of these names, each once, all when none is given.

    Raises SettingsError for a name that is not in the catalog, DefinitionError when two have one name.
    """
    known = {projection.name: projection for projection in distinct(projections)}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SettingsError(
            [f"HEADRACE_PROJECTIONS: there is no projection {name!r}; there are {', '.join(known)}" for name in unknown]
        )
    return tuple(known[name] for name in dict.fromkeys(names)) if names else tuple(projections)


def open_store(settings: StoreSettings) -> RedisStore:
    """The store that the settings name; nothing is sent yet."""
    return RedisStore(
        settings.redis_url,
        cluster=settings.redis_cluster,
        quarantine_max=settings.quarantine_max,
        queue_max=settings.queue_max,
    )


async def run(
    settings: WorkerSettings,
    projections: Sequence[Definition],
    stop: asyncio.Event,
    ready: Callable[[], None],
) -> None:
    """Runs until `stop` is set. `ready` is called once every projection has its assignment.

    Raises DefinitionError when two projections have one name, StoreMisconfiguredError when the store must not be used as it is
    set up.
    """
    projections = distinct(projections)
    store = open_store(settings)
    logs = [_log(settings, projection) for projection in projections]
    instruments = Instruments()
    consumers = [
        Consumer(
            projection,
            log,
            store,
            instruments=instruments,
            buckets=settings.buckets,
            batch_records=settings.batch_records,
            failure_burst_percent=settings.failure_burst_percent,
        )
        for projection, log in zip(projections, logs, strict=True)
    ]
    try:
        if await _store_is_fit(store, stop):
            await _consume(consumers, stop, ready)
    finally:
        async with asyncio.TaskGroup() as closing:  # each says good-bye to its group
            for log in logs:
                closing.create_task(log.close())
        await store.close()


def _log(settings: WorkerSettings, projection: Definition) -> KafkaLog:
    """A member of the projection's own group: what slows or stops one projection leaves the others alone."""
    return KafkaLog(
        settings.kafka_bootstrap,
        group=f"{settings.group}.{projection.name}.{projection.version}",
        fetch_max_wait_ms=settings.fetch_max_wait_ms,
        session_timeout_ms=settings.session_timeout_ms,
    )


async def _store_is_fit(store: RedisStore, stop: asyncio.Event) -> bool:
    """Waits for the store. False when told to stop first."""
    told = False
    while not stop.is_set():
        try:
            await store.check()
        except StoreUnavailableError as error:
            if not told:
                logger.warning("%s; waiting for it", error)
                told = True
        else:
            return True
        await event_within(stop, STORE_RETRY_S)
    return False


async def _consume(consumers: Sequence[Consumer], stop: asyncio.Event, ready: Callable[[], None]) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(consumer.run(), name=consumer.name) for consumer in consumers]
        announcing = group.create_task(_announce(consumers, ready))
        stopping = group.create_task(stop.wait())
        await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
        if not stop.is_set():  # a library's stray cancellation: better no projector than one that misses a projection
            ended = ", ".join(task.get_name() for task in tasks if task.done())
            raise RuntimeError(f"consumer of {ended} ended without having been told to")
        announcing.cancel()
        for consumer in consumers:
            consumer.stop()
        _, late = await asyncio.wait(tasks, timeout=STOP_WITHIN_S)
        for task in late:
            logger.warning("%s did not stop within %g s and is cut off", task.get_name(), STOP_WITHIN_S)
            task.cancel()


async def _announce(consumers: Sequence[Consumer], ready: Callable[[], None]) -> None:
    for consumer in consumers:
        await consumer.assigned.wait()
    ready()


def spare_collections() -> None:
    """To be called once, when all is set up: what is there by then stays, and full collections need not walk it again.

    They would take 25 ms each on the machine of the benchmarks, in which nothing is applied.
    """
    gc.collect()
    gc.freeze()


@contextmanager
def stop_signals(stop: asyncio.Event, *, stdin: bool) -> Iterator[None]:
    """Sets `stop` on SIGTERM, SIGINT and, when `stdin`, at the end of standard input."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    def wait_for_end() -> None:
        while os.read(0, 4096):
            pass
        loop.call_soon_threadsafe(stop.set)

    if stdin:  # a daemon thread, as a read of standard input cannot be called off
        threading.Thread(target=wait_for_end, daemon=True).start()
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
