"""P7: how many bytes of memory a stored row takes, beside its payload.

Invariants: Valkey's own count (`used_memory`) before and after, so that everything counts: key, header, the dictionary's slots,
what its allocator rounds up. Rows are stored by the product. The half of P7 that concerns subscriptions has no figure: the gateway
has none yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import Redis

from benchmarks.declare import Benchmark, Figures, at_most
from benchmarks.errors import BrokenRunError
from benchmarks.filled import fill
from benchmarks.stored import PROJECTIONS
from benchmarks.workload import EVENT_BYTES, ids
from gateway.dev.servers import EmbeddedValkey, embedded
from projections.store.document import Document, header_bytes, pack
from projections.store.keys import Bucket
from projections.store.redis import RedisStore

SIZES: Final = (200, 300, 350, 400, 450, 500, 550, 600, 800, 1000)
"""Of payloads, in bytes: an allocator rounds each up differently, so one size alone would be luck."""

_AT_ONCE: Final = 1000


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    rows: int = 100_000


QUICK: Final = Size(rows=2_000)


async def measure() -> Figures:
    """See the module."""
    return await bytes_per_row(Size())


async def bytes_per_row(size: Size) -> Figures:
    """The figures of P7 over so many rows."""
    async with embedded(EmbeddedValkey()) as valkey:
        store, client = RedisStore(valkey.address), Redis.from_url(valkey.address, protocol=2)
        try:
            await store.check()
            mixed = await _overhead(store, client, "plain", size.rows, SIZES)
            alone = await _overhead(store, client, "plain", size.rows, [EVENT_BYTES])
            indexed = await _overhead(store, client, "indexed", size.rows, [EVENT_BYTES])
            measured = await _overhead(store, client, "measured", size.rows, [EVENT_BYTES])
        finally:
            await client.aclose()
            await store.close()
    return {
        "bytes_beside_payload": mixed,
        "bytes_beside_payload_of_400": alone,
        "bytes_of_a_row_of_400": alone + EVENT_BYTES,
        "header_and_key_bytes": len(pack(Document(0, 1, 0, None))) + len(Bucket("plain", 1, 0).document(ids(1)[0])),
        "index_entry_bytes": indexed - alone,
        "two_measures_bytes_per_row": measured - alone,
    }


async def _overhead(store: RedisStore, client: Any, name: str, rows: int, sizes: Sequence[int]) -> float:
    """Bytes beside the payload of a row, a mean over the sizes; the store is empty before and full behind it."""
    await client.execute_command("FLUSHALL", "SYNC")
    before = await _used(client)
    each = rows // len(sizes)
    for number, size in enumerate(sizes):
        await fill(store, PROJECTIONS[name], ids(each, first=number * each), size)
    used = await _used(client) - before
    return (used - await _payload(client, name, ids(each * len(sizes)))) / (each * len(sizes))


async def _payload(client: Any, name: str, aggregates: Sequence[str]) -> int:
    """Bytes of JSON in all rows together. Raises BrokenRunError when one is missing."""
    prefix = Bucket(name, 1, 0).document("")
    found = 0
    for first in range(0, len(aggregates), _AT_ONCE):
        stored = await client.mget([prefix + id for id in aggregates[first : first + _AT_ONCE]])
        if None in stored:
            raise BrokenRunError(f"rows of {name} were not stored")
        found += sum(len(document) - header_bytes(document) for document in stored)
    return found


async def _used(client: Any) -> int:
    """Bytes, once the server is done with moving its dictionary into a larger one (or at the end of its patience)."""
    lately, now = -1, int((await client.info("memory"))["used_memory"])
    for _ in range(20):
        if abs(now - lately) < 4096:
            break
        await asyncio.sleep(0.2)
        lately, now = now, int((await client.info("memory"))["used_memory"])
    return now


benchmark: Final = Benchmark(
    id="P7",
    bar="Redis bytes per stored row: payload + 100 B",
    bounds={"bytes_beside_payload": at_most(100)},
    run=measure,
    within_s=240,
)
