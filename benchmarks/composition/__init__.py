"""P1, P2, P2b and P3: Headrace beside the servers of `benchmarks/peers`, the same graph over the same data, in one run."""
