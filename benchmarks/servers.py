"""The broker and the store that a benchmark of the projector runs against, on the core of the load.

Invariants: both are started for it and stopped behind it. The broker is the embedded one.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from benchmarks.machine import LOAD_CORE, pinned
from gateway.dev.servers import EmbeddedKafka, EmbeddedValkey, embedded


@dataclass(frozen=True)
class Servers:
    """Where they are, and their processes by name."""

    kafka: str
    redis: str
    pids: dict[str, int]


@asynccontextmanager
async def store_and_broker() -> AsyncGenerator[Servers]:
    """Both, up. Raises what a server that does not start raises."""
    async with embedded(EmbeddedValkey()) as valkey, embedded(EmbeddedKafka()) as broker:
        assert valkey.pid
        assert broker.pid
        with pinned({valkey.pid: LOAD_CORE, broker.pid: LOAD_CORE}):
            yield Servers(broker.address, valkey.address, {"valkey": valkey.pid, "broker": broker.pid})
