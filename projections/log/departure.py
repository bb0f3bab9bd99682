"""Ends an aiokafka consumer within a bound, and takes it out of its group at once, whatever it is doing.

Invariants: afterwards no task and no connection of it is left; the group does not wait for its session to run out, unless the
broker does not answer.

aiokafka 0.14 needs this: its own `stop` waits for a join that is under way, which the broker answers only when every other member
has joined as well (on Tansu after half a session, on Apache Kafka after the rebalance timeout at the latest), does not leave a
group in its generation 0 (Tansu counts from there), and lets the CancelledError of a fetch out before its client is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.protocol.group import LeaveGroupRequest

PATIENCE_S: Final = 0.5
"""How long each of its three steps may take: its own stop, a word to the broker, its own stop once more."""
ASIDE: Final = "aside"
"""Names a connection that neither a waiting fetch nor a waiting join holds up."""


async def depart(consumer: AIOKafkaConsumer) -> None:
    """Stops it, in about 2 s at most. On cancellation it is cut off, and still let go of."""
    member: tuple[str, str] | None = None
    if consumer._coordinator is not None:
        member = (consumer._coordinator.group_id, consumer._coordinator.member_id)
    try:
        if consumer._coordinator is not None and consumer._coordinator.generation == 0:
            await _leave(consumer, member)
        async with asyncio.TaskGroup() as group:
            stopping = group.create_task(_stopped(consumer))
            if not (await asyncio.wait([stopping], timeout=PATIENCE_S))[0]:
                await _leave(consumer, member)
                await asyncio.wait([stopping], timeout=PATIENCE_S)
                while not stopping.done():  # it swallows a cancellation at each of its own steps
                    stopping.cancel()
                    await _let_go(consumer)
    finally:
        await _let_go(consumer)


async def _stopped(consumer: AIOKafkaConsumer) -> None:
    with contextlib.suppress(KafkaError):
        await consumer.stop()


async def _leave(consumer: AIOKafkaConsumer, member: tuple[str, str] | None) -> None:
    """Says it on another connection: the one of the group is waiting for the join."""
    coordinator = consumer._coordinator
    if coordinator is None or coordinator.coordinator_id is None or member is None:
        return
    group, before = member
    name = coordinator.member_id or before
    if name:
        with contextlib.suppress(KafkaError, OSError, TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                await consumer._client.send(coordinator.coordinator_id, LeaveGroupRequest(group, name), group=ASIDE)


async def _let_go(consumer: AIOKafkaConsumer) -> None:
    """Ends what its own stop has left. Idempotent."""
    consumer._closed = True
    tasks: list[asyncio.Task[Any] | None] = []
    if (coordinator := consumer._coordinator) is not None:
        tasks += [coordinator._coordination_task, coordinator._heartbeat_task, coordinator._commit_refresh_task]
    if (fetcher := consumer._fetcher) is not None:
        tasks += [fetcher._fetch_task, *fetcher._pending_tasks]
    left = [task for task in tasks if task is not None and not task.done()]
    for task in left:
        task.cancel()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*left, return_exceptions=True)
            await consumer._client.close()
