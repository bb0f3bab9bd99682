"""`python -m examples.shop serve | run | load`: the shop's entry points."""

import argparse
import asyncio
import gc
import logging
import os
import sys
from collections.abc import Sequence

import uvloop

from examples.shop.contexts import CONTEXTS
from examples.shop.serve import serve
from examples.shop.service.errors import SettingsError
from examples.shop.settings import SERVICES, read_settings


def main(argv: Sequence[str]) -> int:
    """Exit code: 0 after a stop, 1 after a failure, 2 for a wrong command line or wrong settings."""
    parser = argparse.ArgumentParser(prog="python -m examples.shop", description="The Headrace shop.")
    commands = parser.add_subparsers(dest="command", required=True)
    serving = commands.add_parser("serve", help="start some or all of the write services")
    serving.add_argument("services", nargs="*", metavar="service", help=f"of {', '.join(SERVICES)}; default all")
    # Their own parsers say what they take.
    commands.add_parser("run", help="start everything: servers, shop, projector, gateway", add_help=False)
    commands.add_parser("load", help="load a TPC-H history into a running shop", add_help=False)
    given, rest = parser.parse_known_args(argv)
    if given.command == "run":
        from examples.shop.run import main as run

        return run(rest)
    if given.command == "load":
        from examples.shop.load import main as load

        return load(rest)
    unknown = [name for name in given.services if name not in SERVICES]
    if rest or unknown:
        parser.error(f"unknown: {', '.join([*rest, *unknown])}; services are {', '.join(SERVICES)}")
    return _serve(given.services or SERVICES)


def _serve(services: Sequence[str]) -> int:
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    # It reports every attempt to connect while the broker is away; relay and listeners say it once.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    _collect_garbage_rarely()
    chosen = [context for context in CONTEXTS if context.name in services]
    try:
        settings = read_settings(os.environ, [context.name for context in chosen])
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings, chosen, _tell))
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _collect_garbage_rarely() -> None:
    """Twice the throughput when 100,000 events pass: batches of them would set off full collections all the time.

    What was imported stays for ever and need not be looked at again; the shop's own data have no cycles.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def _tell(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
