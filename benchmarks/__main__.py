"""`python -m benchmarks [--only P4,P6] [--list]`: measures, prints a table, leaves benchmarks/out/<id>.json.

Invariants: exit code 0 when every bar is met, 1 when one is missed or a benchmark failed, 2 for a wrong command line.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from benchmarks.catalog import BENCHMARKS
from benchmarks.errors import UnknownBenchmarkError
from benchmarks.run import choose, run


def main(argv: Sequence[str] | None = None) -> int:
    """Runs what is asked for; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measures Headrace beside its yardsticks."
    )
    parser.add_argument("--only", metavar="ID,ID", help="some of them, as in P4,P6; all when left out")
    parser.add_argument("--list", action="store_true", help="show the ids and the bars, and stop")
    arguments = parser.parse_args(argv)
    try:
        chosen = choose(BENCHMARKS, arguments.only)
    except UnknownBenchmarkError as error:
        parser.error(str(error))
    if arguments.list:
        for benchmark in chosen:
            print(f"{benchmark.id:<8}{benchmark.bar}")
        return 0
    try:
        return run(chosen)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
