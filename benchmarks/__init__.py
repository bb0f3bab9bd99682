"""Headrace beside its yardsticks, measured in one run: `python -m benchmarks [--only ID,ID]`."""
