"""A short chaos on real processes and servers: kills, a stalled worker, a failover that loses its tail, an emptied Redis."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.chaos.figures import Sizes, campaign
from tests.chaos.history import generate
from tests.chaos.schedule import EMPTY, FAILOVER, KILL, STALL, Fault

SIZES = Sizes(seed=4, events=3600, workers=3, partitions=3, buckets=2, brokers=0, session_ms=1000)


async def test_everything_equals_the_fold_of_history_after_kills_a_stall_a_failover_and_an_emptied_store(
    tmp_path: Path,
) -> None:
    messages = generate(SIZES.shape).messages
    faults = [
        Fault(KILL, place=600, progress=0.3, dice=1, count=2),
        Fault(FAILOVER, place=1500, progress=0.6, dice=2, tail=0.6, amnesia=True),
        Fault(STALL, place=2600, progress=0.4, dice=3),
        Fault(EMPTY, place=3400, progress=0.5, dice=4),
    ]
    async with campaign(SIZES, tmp_path) as run:
        await run.play(messages, faults)
        await run.until_applied(within_s=30.0)
        found = await run.compared()
        assert found.is_equal, "\n".join(found.differences)
        assert run.tally.faults[KILL] == 2
        assert run.tally.faults["positions lost in failovers"] > 0
        assert sum(found.counts.values()) > 300
        codes = await asyncio.gather(*(asyncio.to_thread(run.crew.leave, worker) for worker in list(run.crew.workers)))
        assert set(codes) == {0}
