"""`python -m gateway serve | check | schema`: the gateway's entry points.

Invariants: what is wrong with the settings or the catalogs is said whole, on stderr, with exit code 2, before anything is opened.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import uvicorn

from gateway.app import create_app
from gateway.compose import Composed, compose
from gateway.settings import GatewaySettings, gateway_settings
from projections.errors import DefinitionError, SettingsError
from schema.errors import CompositionError

SDL: Final = Path(__file__).parent.parent / "schema" / "schema.graphql"
DRAIN_S: Final = 5


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m gateway", description="The GraphQL read-composition gateway.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="serve the graph; settings from the environment")
    commands.add_parser("check", help="check the catalogs, the committed SDL and the settings, and stop")
    schema = commands.add_parser("schema", help="print the SDL")
    schema.add_argument("--write", action="store_true", help=f"write it to {SDL.parent.name}/{SDL.name} instead")
    arguments = parser.parse_args(argv)
    try:
        composed = _composed()
        if arguments.command == "schema":
            return _schema(composed, write=arguments.write)
        settings = gateway_settings(os.environ)
        return _check(composed) if arguments.command == "check" else _serve(settings, composed)
    except (CompositionError, DefinitionError, SettingsError) as error:
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


def _check(composed: Composed) -> int:
    graph = composed.graph
    print(f"{len(graph.entities)} entities, {len(graph.queries)} queries, {len(graph.commands)} commands: they fit")
    if not SDL.exists() or SDL.read_text(encoding="utf-8") != composed.sdl():
        print(f"{SDL.name} is stale: run python -m gateway schema --write", file=sys.stderr)
        return 1
    return 0


def _serve(settings: GatewaySettings, composed: Composed) -> int:
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it tells every command, which is what metrics are for
    config = uvicorn.Config(
        create_app(settings, composed),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=DRAIN_S,
    )
    server = uvicorn.Server(config)
    if settings.exit_on_stdin_eof:
        threading.Thread(target=_stop_at_eof, args=(server,), daemon=True).start()
    server.run()
    return 0 if server.started else 1


def _stop_at_eof(server: uvicorn.Server) -> None:
    """Drains and stops when standard input ends: the supervisor is gone."""
    while os.read(0, 4096):
        pass
    server.should_exit = True


if __name__ == "__main__":
    sys.exit(main())
