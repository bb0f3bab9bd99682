"""`python -m tests.chaos`: the full figures of D5 to D8 and R2, one line each, and artefacts/chaos-<id>.json.

Invariants: everything follows from SEED; sizes come from the environment; ends with 1 when a figure is missed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys

from tests.chaos.figures import FIGURES, Sizes, run

if __name__ == "__main__":
    logging.basicConfig(level=logging.CRITICAL, format="%(message)s")
    sys.exit(asyncio.run(run(Sizes.read(os.environ), os.environ.get("ONLY", ",".join(FIGURES)).split(","))))
