"""P5: from the acceptance of a command to a read that shows it, through outbox and broker; and the projector's own share of that.

Invariants: the first half is the whole running loop (`token_wait`), the second one projector at half load (`own_share`).
"""

from __future__ import annotations

from typing import Final

from benchmarks import own_share, token_wait
from benchmarks.declare import Benchmark, Figures, at_least, at_most


async def measure() -> Figures:
    """See the module."""
    return {**await own_share.own_share(own_share.Size()), **await token_wait.measure()}


benchmark: Final = Benchmark(
    id="P5",
    bar="accepted -> visible to a token read: p99 <= 5x produce -> consume; the projector's share <= 10 ms p99 at half load",
    bounds={
        "alone_p99_ratio": at_most(5),
        f"side_by_side_{token_wait.CLIENTS}_p99_ratio": at_most(5),
        "satisfied_percent": at_least(99),
        "satisfied_but_older": at_most(0),
        "own_share_p99_ms": at_most(10),
    },
    run=measure,
    within_s=360,
)
