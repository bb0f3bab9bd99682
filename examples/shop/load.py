"""`python -m examples.shop load --tpch SCALE`: the TPC-H history goes into a running shop, by the road of every fact.

The services' own databases and outboxes take it, their relays publish it, the projector projects it. For a program:
`load` writes, `until_shown` waits for the rest, `LoadReport.told` says what it was.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
from sqlalchemy.exc import DBAPIError

from examples.shop.service.errors import SettingsError
from examples.shop.settings import SERVICES, read_databases
from examples.shop.tpch import shown
from examples.shop.tpch.errors import LoadError, NotRunningError, NotShownError, PartlyLoadedError
from examples.shop.tpch.generate import MOST_SCALE, check_scale, checked_scale, generated
from examples.shop.tpch.history import count
from examples.shop.tpch.progress import shown_progress
from examples.shop.tpch.rows import Open
from examples.shop.tpch.write import Progress, Writer, Written, check_database_room, opened
from gateway.dev.folder import run_folder_path

_DATABASE_SETTINGS = ("SHOP_DATA", "SHOP_DATABASES", "SHOP_DATABASES_FILE")
_ANSWER_WITHIN_S = 30.0
_NOUNS = {"customers": "customers", "catalog": "products", "shipping": "shipments"}


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What was loaded, by context, and how long it took: to generate, and to write it into the databases."""

    scale: float
    written: Mapping[str, Written]
    generated_in_s: float
    written_in_s: float

    @property
    def records(self) -> int:
        """Facts in all: the records that are published."""
        return sum(part.records for part in self.written.values())

    def told(self, shown_in_s: float) -> str:
        """Two lines for a person; `shown_in_s` is what `until_shown` returned."""
        counts = ", ".join(f"{part.aggregates:,} {_NOUNS.get(name, name)}" for name, part in self.written.items())
        total_s = self.written_in_s + shown_in_s
        return (
            f"TPC-H at scale {self.scale:g}: {counts}; {self.records:,} records\n"
            f"generated in {self.generated_in_s:.1f} s, written in {self.written_in_s:.1f} s, all published and projected"
            f" {shown_in_s:.1f} s later: {total_s:.1f} s in all, {self.records / total_s:,.0f} records/s"
        )


async def load(scale: float, databases: Mapping[str, str], progress: Progress, *, force: bool = False) -> LoadReport:
    """Writes the history of this scale; `databases` has the SQLAlchemy URL of every context.

    Raises `LoadError`: nothing was written, except with `PartlyLoadedError`. When it is cancelled, the batch under way
    is ended first; the cause of the `CancelledError` is then a `PartlyLoadedError` that tells how far it came.
    """
    check_scale(scale, force=force)
    started = time.monotonic()
    with opened(databases) as engines:
        check_database_room(engines, scale)
        async with generated(scale) as table:
            totals = await asyncio.to_thread(count, table)
            generated_at = time.monotonic()
            written = await _write(Writer(engines, progress), table, totals)
    return LoadReport(scale, written, generated_at - started, time.monotonic() - generated_at)


async def _write(writer: Writer, table: Open, totals: Mapping[str, int]) -> Mapping[str, Written]:
    writing = asyncio.get_running_loop().run_in_executor(None, writer.write, table, totals)
    try:
        return await asyncio.shield(writing)
    except asyncio.CancelledError as cancelled:
        writer.stop()
        try:
            await writing
        except PartlyLoadedError as partly:
            raise cancelled from partly
        raise


async def until_shown(
    gateway: httpx.AsyncClient, databases: Mapping[str, str], report: LoadReport, progress: Progress
) -> float:
    """Waits until the gateway (its base URL is the client's) shows all of it; returns the seconds from the call on.

    Raises `NotShownError` when nothing has changed for a minute, or a database is gone.
    """
    try:
        with opened(databases) as engines:
            return await shown.until_shown(gateway, engines, report.written, progress)
    except (NotRunningError, DBAPIError) as error:
        raise NotShownError(f"the history is written, and the shop is gone: {error}") from error


def main(arguments: Sequence[str]) -> int:
    """Exit code 0: all is shown; 1: it stopped on the way, or is not shown; 2: it cannot be loaded as asked."""
    options = _options(arguments)
    try:
        scale = checked_scale(options.tpch, force=options.force)
        gateway, databases = find_shop(os.environ, options.port, options.gateway)
        asyncio.run(_load_and_wait(scale, gateway, databases, force=options.force))
    except (PartlyLoadedError, NotShownError) as error:
        return _fail(1, error)
    except (LoadError, SettingsError) as error:
        return _fail(2, error)
    except KeyboardInterrupt:
        return 130
    return 0


async def _load_and_wait(scale: float, gateway: str, databases: Mapping[str, str], *, force: bool) -> None:
    async with httpx.AsyncClient(base_url=gateway, timeout=_ANSWER_WITHIN_S) as client:
        await _refuse_silent(client, gateway)
        with shown_progress() as progress:
            try:
                report = await load(scale, databases, progress, force=force)
            except asyncio.CancelledError as cancelled:
                raise cancelled.__cause__ or cancelled from None
            shown_in_s = await until_shown(client, databases, report, progress)
    print(report.told(shown_in_s), flush=True)


def find_shop(environ: Mapping[str, str], port: int, gateway: str | None) -> tuple[str, Mapping[str, str]]:
    """The gateway's URL and the databases: of the environment when it names any, else of the `make run` on `port`.

    Raises `NotRunningError`, `SettingsError`.
    """
    if any(environ.get(name) for name in _DATABASE_SETTINGS):
        return gateway or f"http://127.0.0.1:{port}", read_databases(environ, SERVICES)
    folder = run_folder_path(port)
    try:
        if folder.lstat().st_uid != os.getuid():
            raise NotRunningError(f"{folder} is of another user")
        note = json.loads(Path(folder, "shop.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise NotRunningError(
            f"no shop runs with its gateway on port {port}: start one with `make run`, name its port with --port, or"
            " name the databases with SHOP_DATABASES"
        ) from error
    return gateway or note["gateway"], note["databases"]


async def _refuse_silent(client: httpx.AsyncClient, gateway: str) -> None:
    """Nothing is written for a gateway that is not there to show it."""
    try:
        (await client.get("/livez")).raise_for_status()
    except httpx.HTTPError as error:
        raise NotRunningError(f"the gateway does not answer at {gateway}: {error}") from error


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m examples.shop load", description=__doc__.partition("\n")[0])
    parser.add_argument("--tpch", required=True, metavar="SCALE", help="0.01: 15,000 orders, 173,722 records")
    port = os.environ.get("HEADRACE_PORT", "8000")
    parser.add_argument("--port", default=port, type=_port, help="of the gateway; default HEADRACE_PORT or 8000")
    parser.add_argument("--gateway", metavar="URL", help="the gateway, when it is on another machine")
    parser.add_argument("--force", action="store_true", help=f"allow a scale above {MOST_SCALE:g}")
    return parser.parse_args(arguments)


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port number")
    return int(text)


def _fail(code: int, error: Exception) -> int:
    print(error, file=sys.stderr, flush=True)
    return code
