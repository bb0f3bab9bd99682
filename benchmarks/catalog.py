"""The benchmarks that `make bench` runs, in this order, one line each."""

from benchmarks import token_cost, token_wait
from benchmarks.declare import Benchmark

BENCHMARKS: tuple[Benchmark, ...] = (
    token_cost.benchmark,
    token_wait.benchmark,
)
