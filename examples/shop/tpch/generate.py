"""Generates the TPC-H tables that the history is made of, with `tpchgen-cli`, which needs no network.

Invariant: the files are in a folder of their own that goes when the context is left, however it is left.
"""

import asyncio
import math
import shutil
import sysconfig
import tempfile
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from examples.shop.tpch.errors import GenerateError, ScaleError
from examples.shop.tpch.rows import Open

# Below, the data set has no supplier, and the generator divides by zero.
LEAST_SCALE = 0.0001
# 17 million records: above it, a machine that holds broker and store in memory needs tens of gigabytes.
MOST_SCALE = 1.0
# 9.5 MB at scale 0.01, and some room.
_CSV_BYTES_PER_SCALE = 1_100_000_000
_TABLES = ("customer", "nation", "part", "orders", "lineitem")
_TOLD = 300


def checked_scale(text: str, *, force: bool = False) -> float:
    """The scale that a person typed. Raises `ScaleError`; `force` lifts the upper bound."""
    try:
        scale = float(text)
    except ValueError:
        raise ScaleError(f"the scale must be a number such as 0.01, not {text!r}") from None
    check_scale(scale, force=force)
    return scale


def check_scale(scale: float, *, force: bool = False) -> None:
    """Raises `ScaleError` for a scale that is not within 0.0001 and 1 (`force`: any above)."""
    if not math.isfinite(scale) or scale <= 0:
        raise ScaleError(f"the scale must be a number above zero, such as 0.01, not {scale}")
    if scale < LEAST_SCALE:
        raise ScaleError(f"the smallest scale is {LEAST_SCALE} (15 customers, 150 orders), not {scale}")
    if scale > MOST_SCALE and not force:
        raise ScaleError(f"scale {scale} is {scale * 17_000_000:,.0f} records; above {MOST_SCALE:g} only with --force")


@asynccontextmanager
async def generated(scale: float) -> AsyncIterator[Open]:
    """The tables of this scale. Raises `GenerateError`, `ScaleError` when the disk has no room for them."""
    folder = Path(tempfile.mkdtemp(prefix="tpch-"))
    try:
        check_room(folder, scale * _CSV_BYTES_PER_SCALE)
        await _generate(scale, folder)
        yield lambda table: _lines(folder / f"{table}.csv")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def check_room(folder: Path, needed_bytes: float) -> None:
    """Raises `ScaleError` when the disk of `folder` has less than that."""
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < needed_bytes:
        raise ScaleError(
            f"this scale needs some {needed_bytes / 1e6:,.0f} MB in {folder}, where {free_bytes / 1e6:,.0f} MB are free"
        )


async def _generate(scale: float, folder: Path) -> None:
    program = Path(sysconfig.get_path("scripts"), "tpchgen-cli")
    arguments = ["csv", "--scale-factor", str(scale), "--output-dir", str(folder), "--tables", ",".join(_TABLES)]
    try:
        process = await asyncio.create_subprocess_exec(
            program, *arguments, "--quiet", stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE
        )
    except OSError as error:
        raise GenerateError(f"{program} cannot be started: {error.strerror}; install the extra `shop`") from error
    try:
        _, told = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        reason = told.decode(errors="replace").strip()[-_TOLD:]
        raise GenerateError(f"tpchgen-cli ended with {process.returncode}: {reason}")


def _lines(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8", newline="") as lines:
        yield from lines
