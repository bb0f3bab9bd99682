"""The projector's worker over the harness's own read models, as a child process: `python -m tests.chaos.worker`.

Invariants: runs `projections.worker.run` as it is; the one addition is a store that can be paused just before it raises a fence.
The pause is asked for by a file named in CHAOS_PAUSE: the first worker to come by takes the file away and stops itself.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from projections import worker
from projections.log.port import Partition
from projections.settings import WorkerSettings, read
from projections.store.change import Fence
from projections.store.keys import Bucket
from projections.store.redis import RedisStore
from tests.chaos.models import ALL

PAUSE: Final = "CHAOS_PAUSE"


class PausingStore(RedisStore):
    """Stops the whole process before it raises a fence, when asked to."""

    async def raise_fence(self, bucket: Bucket, partitions: Sequence[Partition], owner: str, now_ms: int) -> Fence:
        pause_here()
        return await super().raise_fence(bucket, partitions, owner, now_ms)


def pause_here() -> None:
    """SIGSTOP to this process when the file is there; `<file>.<pid>` then tells who it was."""
    asked = os.environ.get(PAUSE)
    if not asked:
        return
    try:
        Path(asked).rename(f"{asked}.{os.getpid()}")
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGSTOP)


async def main() -> None:
    settings = read(WorkerSettings, os.environ)
    logging.basicConfig(level=settings.log_level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    stop = asyncio.Event()
    with worker.stop_signals(stop, stdin=settings.exit_on_stdin_eof):
        await worker.run(settings, ALL, stop, lambda: print("ready", flush=True))


if __name__ == "__main__":
    vars(worker)["RedisStore"] = PausingStore
    asyncio.run(main())
