"""docs/reference/cli.md lists the commands, options, exit codes and JSON fields that there are."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import pytest

from projections.operate.arguments import EXIT_CODES, parser
from projections.operate.drop import Dropped
from projections.operate.shown import Listing, LooseRow, ParkedRow, Shown, ShownRecord
from projections.status import PartitionStatus
from tests.architecture.pages import DOCS, codes, rows

PAGE: Final = DOCS / "reference" / "cli.md"


def commands(top: argparse.ArgumentParser, name: str = "") -> Iterator[tuple[str, argparse.ArgumentParser, str]]:
    """Every command that does something, with its parser and its help."""
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for word, below in action.choices.items():
                found = list(commands(below, f"{name} {word}".strip()))
                yield from found or [(f"{name} {word}".strip(), below, helps[word])]


def options(command: argparse.ArgumentParser) -> list[str]:
    """As they are typed, with the word that follows."""
    found = []
    for action in command._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        shown = action.option_strings[-1] if action.option_strings else ""
        metavar = str(action.metavar or "") if action.nargs != 0 else ""
        found.append(f"{shown} {metavar}".strip())
    return found


def test_every_command_with_its_options_is_on_the_page() -> None:
    listed = {codes(name)[0]: (codes(given), what) for name, given, what in rows(PAGE, "## Commands")}
    assert listed == {name: (options(command), help) for name, command, help in commands(parser())}


def test_exit_codes_are_on_the_page() -> None:
    assert {int(codes(code)[0]): meaning for code, meaning in rows(PAGE, "## Exit codes")} == EXIT_CODES


def fields(struct: type[Any]) -> list[str]:
    return [field.encode_name for field in msgspec.structs.fields(struct)]


@pytest.mark.parametrize(
    ("heading", "structs"),
    [
        ("## `status`", [PartitionStatus]),
        ("## `quarantine list`", [ParkedRow, LooseRow]),
        ("## `quarantine show`", [ShownRecord]),
        ("## `quarantine drop`", [Dropped]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_fields_of_json_are_on_the_page(heading: str, structs: list[type[Any]]) -> None:
    listed = [name for row in rows(PAGE, heading) for name in codes(row[0])]
    wanted = [name for struct in structs for name in fields(struct)]
    assert sorted(listed) == sorted(wanted)


def test_what_surrounds_them_is_told() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert '{"parked": [...], "loose": [...], "more": 0}' in text
    assert '{"parked": ..., "records": [...]}' in text
    assert (fields(Listing), fields(Shown)) == (["parked", "loose", "more"], ["parked", "records"])
