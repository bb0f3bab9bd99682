"""A batch as the projector cuts it, all at once: for tests that look at slices."""

from __future__ import annotations

from collections.abc import Sequence

from projections.batch import Cutter, Slice
from projections.record import Outcome


def slices(outcomes: Sequence[Outcome], buckets: int) -> list[Slice]:
    """All the slices of a batch."""
    cutter = Cutter(buckets)
    full = cutter.add(outcomes)
    rest = cutter.rest()
    return [*full, rest] if rest else full
