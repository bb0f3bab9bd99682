"""Chaos in memory: the real consumers, a simulated network and clock, and every invariant looked at after every change."""

from __future__ import annotations

from typing import Final

import pytest

from tests.chaos.simulation import run_seed

SEEDS: Final = range(1, 11)
FOUND_SOMETHING: Final = (50, 87, 139)
"""Seeds that showed a defect once."""


@pytest.mark.parametrize("seed", [*SEEDS, *FOUND_SOMETHING])
def test_what_must_hold_does_at_every_step_and_at_the_end(seed: int) -> None:
    outcome = run_seed(seed)
    assert len(outcome.comparisons) == 2
    assert all(comparison.is_equal for comparison in outcome.comparisons)
    assert outcome.changes > 0


def test_a_seed_is_played_again_exactly() -> None:
    first, second = run_seed(4), run_seed(4)
    assert (first.changes, first.refused, first.faults) == (second.changes, second.refused, second.faults)
