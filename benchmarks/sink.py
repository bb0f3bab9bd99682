"""`python -m benchmarks.sink WAY ...`: what a projector is compared with, in a process of its own, one run each.

    set      documents that are at hand already, written with pipelines of SET (redis-py, asyncio): what the best Python sinks do,
             without reading, decoding, versions, positions or notices
    sink     records that are read from a topic and written to a key of their own in the same way, value as it is: a whole sink that
             guards nothing
    drop     records that are read from a topic and dropped: what aiokafka alone costs

Invariants: it prints one line of JSON, `{"per_s": ..., "cpu_us": ...}`, of its own process; the first tenth is not measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final

import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition
from redis.asyncio import Redis

from benchmarks.errors import BrokenRunError
from benchmarks.machine import SERVER_CORE, pinned
from benchmarks.measure import Pace
from benchmarks.servers import Servers
from benchmarks.stored import Stored, StoredView, evolve
from benchmarks.workload import ids, stored_events
from projections.store.document import Document, pack
from projections.store.keys import Bucket
from projections.wire import Codec

PIPELINE: Final = 2000
"""Of 100 to 5,000 the quickest for the blind SET."""
_ROOT: Final = Path(__file__).parents[1]
_WITHIN_S: Final = 120.0
_WARM_SHARE: Final = 0.1


async def run_sink(way: str, servers: Servers, count: int, topic: str = "", starts: Sequence[int] = ()) -> Pace:
    """One run over `count` documents, or records from `starts` (by partition) on. Raises BrokenRunError."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.sink", way, servers.redis, servers.kafka, str(count)),
        *("--topic", topic, "--starts", ",".join(map(str, starts))),
        cwd=_ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        with pinned({process.pid: SERVER_CORE}):
            async with asyncio.timeout(_WITHIN_S):
                said, _ = await process.communicate()
    except TimeoutError:
        raise BrokenRunError(f"{way} took longer than {_WITHIN_S:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise BrokenRunError(f"{way} ended with {process.returncode}")
    found = json.loads(said)
    return Pace(found["per_s"], {way: found["cpu_us"]})


def documents(count: int) -> list[tuple[str, bytes]]:
    """Documents as the projector stores them of `workload.stored_events`, under keys as long as its own."""
    prefix = Bucket("blind", 1, 0).document("")
    events, views = Codec(Stored), Codec(StoredView)
    found: list[tuple[str, bytes]] = []
    for id, entry in zip(names := ids(count), stored_events(names, 1), strict=True):
        view = evolve(None, events.decode(entry.value))
        assert view
        found.append((prefix + id, pack(Document(0, 1, 0, views.encode(view)))))
    return found


class _Clock:
    """Measures all but the first tenth."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._done = 0
        self._seen: list[tuple[int, float, float]] = []

    def passed(self, count: int) -> None:
        self._done += count
        is_due = self._done >= self._count * (1 if self._seen else _WARM_SHARE)
        if is_due:
            self._seen.append((self._done, time.perf_counter(), time.process_time()))

    def told(self) -> str:
        began, ended = self._seen[0], self._seen[-1]
        count = ended[0] - began[0]
        return json.dumps({"per_s": count / (ended[1] - began[1]), "cpu_us": (ended[2] - began[2]) / count * 1e6})


async def set_all(client: Any, pairs: Sequence[tuple[str, bytes]]) -> None:
    """Writes pairs of key and value blindly."""
    for first in range(0, len(pairs), PIPELINE):
        pipe = client.pipeline(transaction=False)
        for key, document in pairs[first : first + PIPELINE]:
            pipe.set(key, document)
        await pipe.execute()


async def _blind(client: Any, clock: _Clock, count: int) -> None:
    stored = documents(count)
    each = min(PIPELINE, max(1, count // 10))
    for first in range(0, count, each):
        await set_all(client, stored[first : first + each])
        clock.passed(min(each, count - first))


async def _records(kafka: str, topic: str, starts: Sequence[int], count: int) -> AsyncIterator[list[Any]]:
    """Batches of records until there were `count`; partitions assigned by hand: no group to wait for."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka, group_id=None, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        places = {TopicPartition(topic, number): start for number, start in enumerate(starts)}
        consumer.assign(list(places))
        for place, start in places.items():
            consumer.seek(place, start)
        done = 0
        while done < count:
            batches = await consumer.getmany(timeout_ms=1000, max_records=min(PIPELINE, max(1, count // 10)))
            records = [record for found in batches.values() for record in found]
            done += len(records)
            if records:
                yield records
    finally:
        await consumer.stop()


async def main(arguments: argparse.Namespace) -> None:
    """The child."""
    clock = _Clock(arguments.count)
    client = Redis.from_url(arguments.redis, protocol=2)
    try:
        if arguments.way == "set":
            await _blind(client, clock, arguments.count)
        else:
            starts = [int(start) for start in arguments.starts.split(",")]
            async for records in _records(arguments.kafka, arguments.topic, starts, arguments.count):
                if arguments.way == "sink":
                    await set_all(client, [(f"sink:{record.key.decode()}", record.value) for record in records])
                clock.passed(len(records))
        print(clock.told(), flush=True)
    finally:
        await client.aclose()


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sink")
    parser.add_argument("way", choices=("set", "sink", "drop"))
    parser.add_argument("redis")
    parser.add_argument("kafka")
    parser.add_argument("count", type=int)
    parser.add_argument("--topic", default="")
    parser.add_argument("--starts", default="")
    return parser.parse_args()


if __name__ == "__main__":
    os.environ.pop("PYTHONASYNCIODEBUG", None)
    uvloop.run(main(_parsed()))
