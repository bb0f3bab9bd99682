"""`python -m gateway serve | check | schema`: the gateway's entry points.

Invariants: what is wrong with the settings or the catalogs is said whole, on stderr, with exit code 2, before anything is opened.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import uvicorn

from gateway.app import create_app, open_store
from gateway.compose import Composed, compose
from gateway.engine.built import being_rebuilt
from gateway.engine.documents import Documents
from gateway.engine.engine import Engine
from gateway.engine.reader import BatchedReader
from gateway.engine.served import read_models
from gateway.engine.trusted import counted, described, pin, read_trusted, warm
from gateway.errors import STORE_AWAY, TrustedDocumentsError
from gateway.http.protocol import GraphQLProtocol
from gateway.settings import GatewaySettings, gateway_settings
from projections.errors import DefinitionError, SettingsError, StoreError
from schema.errors import CompositionError

log = logging.getLogger(__name__)

SDL: Final = Path(__file__).parent.parent / "schema" / "schema.graphql"
DRAIN_S: Final = 5
GC_THRESHOLDS: Final = (20_000, 2, 1)
"""After how many objects the collector looks at what is young, after how many such looks at what outlived one, and so on.

Requests set nothing off: 16 lists of twenty orders at once stay below 20,000 of what it counts. Unseen documents do (each leaves
some 1,000 objects in cycles: a type is one): 4,000 of them, each asked once, set off looks of up to 25, 110 and 400 ms, the last
once in some 700 documents; were it rarer, what was dropped would pile up, and the look take a second.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m gateway", description="The GraphQL read-composition gateway.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="serve the graph; settings from the environment")
    commands.add_parser(
        "check", help="check the catalogs, the committed SDL and the settings, look at the store, and stop"
    )
    schema = commands.add_parser("schema", help="print the SDL")
    schema.add_argument("--write", action="store_true", help=f"write it to {SDL.parent.name}/{SDL.name} instead")
    arguments = parser.parse_args(argv)
    try:
        composed = _composed()
        if arguments.command == "schema":
            return _schema(composed, write=arguments.write)
        settings = gateway_settings(os.environ)
        unknown = _unconfigured(settings, composed)
        return (
            _check(settings, composed, unknown) if arguments.command == "check" else _serve(settings, composed, unknown)
        )
    except (CompositionError, DefinitionError, SettingsError, TrustedDocumentsError) as error:
        print(error, file=sys.stderr)
        return 2


def _composed() -> Composed:
    """What the catalogs declare. They are imported here, so that a declaration that is wrong by itself is told like any other."""
    from projections.catalog import PROJECTIONS
    from schema.catalog import CONTEXTS

    return compose(CONTEXTS, PROJECTIONS)


def _schema(composed: Composed, *, write: bool) -> int:
    if write:
        SDL.write_text(composed.sdl(), encoding="utf-8")
    else:
        print(composed.sdl(), end="")
    return 0


def _unconfigured(settings: GatewaySettings, composed: Composed) -> list[str]:
    """What commands need and HEADRACE_SERVICES lacks. A name that no command goes to does no harm: it may be a context to come."""
    wanted = {command.service for command in composed.graph.commands.values()}
    missing = sorted(wanted - set(settings.services))
    return [f"HEADRACE_SERVICES has no address of {name!r}, which takes commands" for name in missing]


def _check(settings: GatewaySettings, composed: Composed, unknown: Sequence[str]) -> int:
    graph = composed.graph
    found = [
        counted(len(graph.entities), "entity", "entities"),
        counted(len(graph.queries), "query", "queries"),
        counted(len(graph.commands), "command", "commands"),
    ]
    print(f"{', '.join(found)}: they fit")
    if not SDL.exists() or SDL.read_text(encoding="utf-8") != composed.sdl():
        unknown = [*unknown, f"{SDL.name} is stale: run python -m gateway schema --write"]
    for problem in unknown:
        print(problem, file=sys.stderr)
    if settings.trusted_documents:
        print(asyncio.run(_plans(settings, composed)))
    print(asyncio.run(_built(settings, composed)))
    return 1 if unknown else 0


async def _plans(settings: GatewaySettings, composed: Composed) -> str:
    """Every trusted operation with its plan, cost and round trips. Raises TrustedDocumentsError."""
    texts = read_trusted(Path(settings.trusted_documents))
    operations = pin(texts, Documents(composed.schema, composed.graph, settings.limits))
    store = open_store(settings)
    try:
        async with asyncio.TaskGroup() as tasks:
            reader = BatchedReader(store, tasks)
            models = read_models(composed.graph, settings.buckets)
            engine = Engine(composed.schema, composed.graph, models, reader, max_nodes=settings.max_nodes)
            return "\n".join(
                described(name, operation, warm(operation, engine)) for name, operation in operations.items()
            )
    finally:
        await store.close()


async def _built(settings: GatewaySettings, composed: Composed) -> str:
    """Which read models are being rebuilt, in words. That they are, or that the store is away, is no fault of what is checked."""
    store = open_store(settings)
    try:
        found = await being_rebuilt(store, read_models(composed.graph, settings.buckets))
    except StoreError:
        return f"{STORE_AWAY}: whether they are being rebuilt is not known"
    finally:
        await store.close()
    return f"being rebuilt: {', '.join(found)}" if found else "no read model is being rebuilt"


def _serve(settings: GatewaySettings, composed: Composed, unknown: Sequence[str]) -> int:
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it tells every command, which is what metrics are for
    for problem in unknown:
        log.warning("%s", problem)
    config = uvicorn.Config(
        create_app(settings, composed),
        host=settings.host,
        port=settings.port,
        http=GraphQLProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nothing here goes by the client's address
        timeout_graceful_shutdown=DRAIN_S,
    )
    server = _Server(config)
    if settings.exit_on_stdin_eof:
        threading.Thread(target=_stop_at_eof, args=(server,), daemon=True).start()
    # Once it has drained, uvicorn raises the signal again that stopped it: to have been asked to stop is a success.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    try:
        server.run()
    except SystemExit as end:
        return 1 if end.code else 0
    return 0 if server.started else 1


class _Server(uvicorn.Server):
    """Once it has started, what was made so far stays: the collector need not look at it again."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn."""
        await super().startup(sockets)
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)


def _stop_at_eof(server: uvicorn.Server) -> None:
    """Drains and stops when standard input ends: the supervisor is gone."""
    while os.read(0, 4096):
        pass
    server.should_exit = True


if __name__ == "__main__":
    sys.exit(main())
