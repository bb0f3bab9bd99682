"""What can go wrong with a benchmark.

BenchmarkError
├── UnknownBenchmarkError    --only names one that the catalog does not have: the caller corrects it
└── BrokenRunError           what was measured did not behave, so that its figures would mean nothing: look at its message
"""

from collections.abc import Sequence


class BenchmarkError(Exception):
    """Root of the tree above."""


class UnknownBenchmarkError(BenchmarkError):
    """Ids that are not in the catalog."""

    def __init__(self, unknown: Sequence[str], known: Sequence[str]) -> None:
        super().__init__(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(known)}")


class BrokenRunError(BenchmarkError):
    """The run cannot be judged."""
