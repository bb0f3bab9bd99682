"""`make run`: the shop, the projector and the gateway on servers that need no installation, filled with real commands.

One folder per user and gateway port holds the run's files (SQLite databases, and `shop.json` with every address); it
goes when the run ends, however it ends. The last line on standard output is `ready http://127.0.0.1:<port>/graphql`.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from examples.shop import parts
from examples.shop.load import load, until_shown
from examples.shop.seed import SeedError, seed
from examples.shop.service.errors import SettingsError
from examples.shop.settings import SERVICES, read_databases
from examples.shop.tpch.errors import LoadError, NotShownError, PartlyLoadedError
from examples.shop.tpch.generate import checked_scale
from examples.shop.tpch.progress import shown_progress
from gateway.dev.errors import DevError, PartError, PortTakenError
from gateway.dev.folder import RunFolder, run_folder_path
from gateway.dev.parent import end_with
from gateway.dev.ports import LOOPBACK, is_free
from gateway.dev.supervisor import Supervisor, supervise
from gateway.dev.warden import Warden

# A gateway that was killed a moment ago gives its port back within milliseconds.
_PORT_FREE_WITHIN_S = 2.0
_SHOWN_WITHIN_S = 30.0
_POLL_S = 0.05

# Order 3 of TPC-H is fulfilled at every scale.
_COMPLETED_ORDER = "Order:3"
_EXAMPLE = """query {{
    order(id: "{order}") {{
      status placedAt total
      customer {{ name nation }}
      lines {{ number quantity amount product {{ title price }} }}
      payments {{ status captured }}
      shipments {{ status carrier lineNumbers }}
    }}
  }}"""


def main(arguments: Sequence[str]) -> int:
    """Run until stopped. 0: a signal stopped it; 1: a part or a command failed; 2: it cannot start as asked."""
    options = _options(arguments)
    try:
        port = gateway_port(os.environ)
        scale = None if options.tpch is None else checked_scale(options.tpch)
        with RunFolder(run_folder_path(port)) as folder:
            warden = Warden(folder.path, keep_open=[folder.lock])
            try:
                _await_port(port)
                asyncio.run(_Run(folder.path, port, scale, options).supervised(warden))
            finally:
                warden.close()
    except (PartError, SeedError, NotShownError, PartlyLoadedError, httpx.TransportError) as error:
        return _fail(1, error)
    except (DevError, SettingsError, LoadError) as error:
        return _fail(2, error)
    except BrokenPipeError:  # nobody reads what is printed: `make run | head`
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - until the interpreter ends
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def gateway_port(environment: Mapping[str, str]) -> int:
    """The gateway's port out of `HEADRACE_PORT`, 8000 by default. Raises `SettingsError`."""
    value = environment.get("HEADRACE_PORT", "8000")
    if not value.isascii() or not value.isdigit() or not 1 <= int(value) <= 65_535:
        raise SettingsError([f"HEADRACE_PORT is {value!r}, not a port number"])
    return int(value)


class _Run:
    """One run: its folder, its options, and the story that the supervisor plays."""

    def __init__(self, folder: Path, port: int, scale: float | None, options: argparse.Namespace) -> None:
        self._folder = folder
        self._port = port
        self._scale = scale
        self._options = options

    async def supervised(self, warden: Warden) -> None:
        tempfile.tempdir = str(self._folder)  # what is made on the way goes with the run
        await supervise(self._story, warden, say=_say, log=_tell if self._options.verbose else _drop)

    async def _story(self, supervisor: Supervisor) -> None:
        if self._options.stop_with_parent:
            end_with(os.getppid())
        url = await self._start(supervisor)
        async with httpx.AsyncClient(base_url=url, timeout=30.0) as client:
            order = await (self._seed(client) if self._scale is None else self._load(client, self._scale))
            await _until_shown(client, order)
        _say(f"\nGraphiQL: {url}/graphql   a query to paste:\n\n  {_EXAMPLE.format(order=order)}\n")
        _say(f"ready {url}/graphql")

    async def _start(self, supervisor: Supervisor) -> str:
        """Start every part; the gateway's URL."""
        redis = (await supervisor.start(parts.redis(self._folder))).addresses["redis"]
        kafka = (await supervisor.start(parts.kafka(self._folder))).addresses["kafka"]
        data = self._folder / "data"
        data.mkdir()
        ports = parts.service_ports(self._port)
        services = {service: f"http://{LOOPBACK}:{port}" for service, port in ports.items()}
        async with asyncio.TaskGroup() as group:
            group.create_task(supervisor.start(parts.shop(kafka, data, ports)))
            group.create_task(supervisor.start(parts.projector(kafka, redis)))
            gateway = group.create_task(supervisor.start(parts.gateway(self._port, redis, services)))
        url = gateway.result().addresses["gateway"]
        self._note(gateway=url, redis=redis, kafka=kafka, services=services)
        return url

    def _note(self, **addresses: object) -> None:
        """Leave the addresses for `python -m examples.shop load`."""
        note = self._folder / "shop.json"
        part = note.with_suffix(".part")
        part.write_text(json.dumps({**addresses, "databases": self._databases()}, indent=2), encoding="utf-8")
        part.rename(note)

    def _databases(self) -> Mapping[str, str]:
        return read_databases({"SHOP_DATA": str(self._folder / "data")}, SERVICES)

    async def _seed(self, client: httpx.AsyncClient) -> str:
        """Fill the shop; the global id of an order to show."""
        report = await seed(client)
        _say(report.told())
        return report.shown_order

    async def _load(self, client: httpx.AsyncClient, scale: float) -> str:
        """Load the TPC-H history and wait until it is shown; the global id of an order to show."""
        with shown_progress() as progress:
            report = await load(scale, self._databases(), progress)
            shown_in_s = await until_shown(client, self._databases(), report, progress)
        _say(report.told(shown_in_s))
        return _COMPLETED_ORDER


async def _until_shown(client: httpx.AsyncClient, order: str) -> None:
    """Wait until the query that is printed has a whole answer and no read model is being built any more."""
    body = {"query": _EXAMPLE.format(order=order)}
    deadline = time.monotonic() + _SHOWN_WITHIN_S
    while not (
        is_whole((await client.post("/graphql", json=body)).json()) and is_built((await client.get("/readyz")).json())
    ):
        if time.monotonic() > deadline:
            raise SeedError(f"{order} was accepted, but is not shown after {_SHOWN_WITHIN_S:.0f} s")
        await asyncio.sleep(_POLL_S)


def is_whole(answer: Mapping[str, Any]) -> bool:
    """Whether the answer to the printed query, about an order that is completed, has what each context knows of it."""
    order = (answer.get("data") or {}).get("order")
    if not order or answer.get("errors") or order["status"] != "COMPLETED":
        return False
    delivered = {
        number
        for shipment in order["shipments"]
        if shipment["status"] == "DELIVERED"
        for number in shipment["lineNumbers"]
    }
    return (
        order["customer"] is not None
        and all(line["product"] is not None for line in order["lines"])
        and any(payment["status"] == "CAPTURED" for payment in order["payments"])
        and delivered == {line["number"] for line in order["lines"]}
    )


def is_built(readiness: Mapping[str, Any]) -> bool:
    """Whether the gateway that says so (`/readyz`) is ready, and none of its read models is being built."""
    projections = readiness.get("projections") or {}
    return bool(projections) and not any(state["rebuilding"] for state in projections.values())


def _await_port(port: int) -> None:
    deadline = time.monotonic() + _PORT_FREE_WITHIN_S
    while not is_free(port):
        if time.monotonic() > deadline:
            raise PortTakenError(f"port {port} is taken: stop what listens there, or choose another with HEADRACE_PORT")
        time.sleep(_POLL_S)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m examples.shop run", description=__doc__.partition("\n")[0])
    parser.add_argument("--tpch", metavar="SCALE", help="the TPC-H history of this scale instead of seeds")
    parser.add_argument("--verbose", action="store_true", default=bool(os.environ.get("HEADRACE_VERBOSE")))
    parser.add_argument(
        "--stop-with-parent", action="store_true", help="stop when the process that started it ends, or waits to end"
    )
    return parser.parse_args(arguments)


def _say(line: str) -> None:
    print(line, flush=True)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _drop(_: str) -> None:
    """The log line of a part that nobody asked for; its last ones are kept for the case of its end."""


def _fail(code: int, error: Exception) -> int:
    _tell(str(error) or type(error).__name__)
    return code
