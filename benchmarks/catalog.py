"""The benchmarks that `make bench` runs, in this order, one line each."""

from benchmarks import growth, limits, projector_rate, row_size, token_cost, visible
from benchmarks.composition import benchmark as composition
from benchmarks.declare import Benchmark

BENCHMARKS: tuple[Benchmark, ...] = (
    composition.page,
    composition.listing,
    composition.same,
    composition.first_run,
    projector_rate.benchmark,
    visible.benchmark,
    token_cost.benchmark,
    row_size.benchmark,
    growth.benchmark,
    limits.benchmark,
)
