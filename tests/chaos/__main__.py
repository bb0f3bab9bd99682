"""`python -m tests.chaos`: the full figures of D5 to D8, R2 and EQ, one line each, and artefacts/chaos-<id>.json.

Invariants: everything follows from SEED; sizes come from the environment. Ends with 1 when a figure is missed, with 2 when ONLY or
a size is not to be understood: nothing is played then.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Mapping, Sequence

from tests.chaos.figures import FIGURES, Sizes, run


def chosen(only: str | None) -> Sequence[str]:
    """The figures that ONLY names with commas between them, in any case; all without it. Raises ValueError."""
    if not only:
        return list(FIGURES)
    known = {id.upper(): id for id in FIGURES}
    names = [name.strip() for name in only.split(",") if name.strip()]
    unknown = [name for name in names if name.upper() not in known]
    if unknown or not names:
        raise ValueError(f"no such figure: {', '.join(unknown) or repr(only)}; there are {', '.join(FIGURES)}")
    return list(dict.fromkeys(known[name.upper()] for name in names))


def main(environ: Mapping[str, str]) -> int:
    """Plays what is asked for; the exit code."""
    try:
        sizes, only = Sizes.read(environ), chosen(environ.get("ONLY"))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    return asyncio.run(run(sizes, only))


if __name__ == "__main__":
    logging.basicConfig(level=logging.CRITICAL, format="%(message)s")
    sys.exit(main(os.environ))
