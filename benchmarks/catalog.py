"""The benchmarks that `make bench` runs, in this order, one line each."""

from benchmarks import growth, projector_rate, row_size, token_cost, visible
from benchmarks.declare import Benchmark

BENCHMARKS: tuple[Benchmark, ...] = (
    projector_rate.benchmark,
    visible.benchmark,
    token_cost.benchmark,
    row_size.benchmark,
    growth.benchmark,
)
