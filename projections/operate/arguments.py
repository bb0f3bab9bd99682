"""The words of the command line: `python -m projections run | status | quarantine ...`.

Invariants: pure; docs/reference/cli.md lists what is here, held to it by a test.
"""

from __future__ import annotations

import argparse
from typing import Final

EXIT_CODES: Final = {
    0: "done",
    1: "the store cannot be reached or used",
    2: "settings or arguments are wrong, or name what is not there",
    3: "something is still parked or set aside after `retry`",
}

LISTED: Final = 1_000
_LIMIT: Final = f"records of each bucket that are looked at; {LISTED:,} when left out"
_WHICH: Final = "an aggregate's id, or a record's topic/partition/offset"


def parser() -> argparse.ArgumentParser:
    """All commands and their options. Of a `quarantine` command `action` is its second word."""
    top = argparse.ArgumentParser(prog="python -m projections", description="Keeps read models fed from the log.")
    commands = top.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="run the projections until SIGTERM or Ctrl-C")
    status = commands.add_parser("status", help="where every partition stands; a live table on a terminal")
    often = status.add_mutually_exclusive_group()
    often.add_argument("--once", action="store_true", help="one table, also on a terminal")
    often.add_argument(
        "--watch", action="store_true", help="every second until Ctrl-C, also where there is no terminal"
    )
    status.add_argument("--json", action="store_true", help="for programs; with --watch a line a second")
    quarantine = commands.add_parser("quarantine", help="records that were set aside, and what waits behind them")
    _quarantine(quarantine.add_subparsers(dest="action", required=True))
    return top


def _quarantine(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    listing = actions.add_parser("list", help="parked aggregates and loose records")
    listing.add_argument("--projection", metavar="P", help="of one projection or timeline only")
    listing.add_argument("--limit", metavar="N", type=_count, default=LISTED, help=_LIMIT)
    listing.add_argument("--json", action="store_true", help="for programs")
    show = actions.add_parser("show", help="whole records as JSON, and all that waits behind them")
    _projection(show)
    show.add_argument("which", metavar="ID-or-COORDINATES", help=_WHICH)
    retry = actions.add_parser("retry", help="decode and fold again, with the code as it is now")
    _projection(retry)
    retry.add_argument("which", metavar="ID-or-COORDINATES", nargs="*", help=_WHICH)
    retry.add_argument("--all", action="store_true", help="everything that was set aside")
    drop = actions.add_parser("drop", help="give up what blocks an aggregate, or a record; prints it as JSON")
    _projection(drop)
    drop.add_argument("which", metavar="ID-or-COORDINATES", help=_WHICH)
    drop.add_argument(
        "--all-missing", action="store_true", help="give up every missing version, not the first gap only"
    )
    drop.add_argument("--yes", action="store_true", help="do not ask first; needed where there is no terminal")


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise ValueError(text)
    return count


def _projection(action: argparse.ArgumentParser) -> None:
    action.add_argument("projection", metavar="P", help="name of a projection or timeline")
