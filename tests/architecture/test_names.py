"""A file is named after the stage it is; names say what they hold; nothing is left for later without saying where."""

import ast
import re
from pathlib import Path
from typing import Final

from tests.architecture.tree import FLOORS, files, named, parsed, python_files

FORBIDDEN_NAMES: Final = {"util", "utils", "helper", "helpers", "common", "misc", "stuff"}
LEFT_FOR_LATER: Final = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK")) + r")\b")
DURATION: Final = re.compile(r"(?:\A|_)(?:timeout|delay|interval|duration|deadline|wait|backoff|ttl|age|period)\Z")
"""The end of a name that is a time without its unit."""


def test_no_file_is_a_drawer() -> None:
    drawers = [
        named(path)
        for path in files()
        if {part.partition(".")[0].strip("_") for part in Path(named(path)).parts} & FORBIDDEN_NAMES
    ]
    assert drawers == []


def test_nothing_is_left_for_later_in_code() -> None:
    found = [
        f"{named(path)}:{number}: {line.strip()[:100]}"
        for path in files()
        if path.suffix in {".py", ".lua", ".mjs", ".jsx", ".sh", ".yaml", ".yml", ".toml"} or path.name == "Makefile"
        if "graphiql/static" not in named(path)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if LEFT_FOR_LATER.search(line)
    ]
    assert found == []


def test_every_module_says_its_role() -> None:
    silent = [
        named(path)
        for path in python_files()
        if path.read_text(encoding="utf-8").strip() and not ast.get_docstring(parsed(path))
    ]
    assert silent == []


def unitless_durations(tree: ast.Module) -> list[str]:
    """Parameters and annotated attributes that are numbers of something, and do not say of what."""
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.arg) and node.annotation is not None:
            name, annotation = node.arg, node.annotation
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name, annotation = node.target.id, node.annotation
        else:
            continue
        value = getattr(node, "value", None)
        is_number = re.search(r"\b(int|float)\b", ast.unparse(annotation)) or (
            isinstance(value, ast.Constant) and isinstance(value.value, int | float)
        )
        if DURATION.search(name.lower()) and is_number:
            found.append(name)
    return sorted(found)


def test_durations_carry_their_unit() -> None:
    found = {
        named(path): names for path in python_files(*FLOORS, "examples") if (names := unitless_durations(parsed(path)))
    }
    assert found == {}


def test_a_duration_without_a_unit_would_be_found() -> None:
    source = "def f(timeout: float, wait_s: float): ...\nclass A:\n    max_age: int = 3\nWAIT: Final = 0.5\nWAIT_S: Final = 1"
    assert unitless_durations(ast.parse(source)) == ["WAIT", "max_age", "timeout"]
