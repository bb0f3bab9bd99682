"""Pages hold together: links lead somewhere, files and functions that they name are there, code in them is code."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest

from tests.architecture.pages import DOCS, README, blocks, codes, is_path, links, page_ids, pages, prose, rows
from tests.architecture.tree import ROOT, definitions, named, parsed

FLOW: Final = DOCS / "explanation" / "flow.md"


def made_by_pages() -> set[str]:
    """Files that a reader makes while reading, and their folders' names."""
    return {block.path for page in pages() for block in blocks(page) if block.path}


@pytest.mark.parametrize("page", pages(), ids=page_ids())
def test_links_lead_somewhere(page: Path) -> None:
    dead = [target for target in links(page) if not re.match(r"[a-z]+:", target) and not _is_there(page, target)]
    assert dead == []


def _is_there(page: Path, target: str) -> bool:
    path, _, anchor = target.partition("#")
    file = (page.parent / path).resolve() if path else page
    if not file.exists():
        return False
    return not anchor or anchor in {_anchor(line) for line in file.read_text(encoding="utf-8").splitlines()}


def _anchor(line: str) -> str | None:
    """The anchor that a heading gets."""
    heading = re.match(r"#+ (.*)", line)
    if heading is None:
        return None
    return re.sub(r"[^\w\- ]", "", heading.group(1).lower()).replace(" ", "-")


@pytest.mark.parametrize("page", pages(), ids=page_ids())
def test_files_that_are_named_are_there(page: Path) -> None:
    made = made_by_pages()
    missing = [
        code
        for code in codes(prose(page))
        if is_path(code) and code not in made and not (ROOT / code).exists() and not code.startswith("deploy/")
    ]
    assert missing == []


def test_every_page_below_docs_is_reached_from_the_readme() -> None:
    seen: set[Path] = set()
    todo = [README]
    while todo:
        page = todo.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        todo += [
            file
            for target in links(page)
            if not re.match(r"[a-z]+:", target)
            and (file := (page.parent / target.partition("#")[0]).resolve()).is_file()
        ]
    assert [named(page) for page in pages() if page.is_relative_to(DOCS) and page not in seen] == []


def located(cell: str) -> list[tuple[str, list[str]]]:
    """Files that a cell names, each with the definitions that follow it."""
    found: list[tuple[str, list[str]]] = []
    for code in codes(cell):
        if is_path(code):
            found.append((code, []))
        elif found:
            found[-1][1].append(code)
    return found


def missing_definitions(path: str, names: list[str]) -> list[str]:
    file = ROOT / path
    if not file.is_file():
        return [f"{path} is not there"]
    if file.suffix == ".py":
        there = definitions(parsed(file))
    else:
        there = set(re.findall(r"function (\w+)", file.read_text(encoding="utf-8")))
    return [f"{path} has no {name}" for name in names if name not in there]


@pytest.mark.parametrize(
    ("page", "heading", "least"),
    [
        (README, "### One event, one query, one command: file by file", 15),
        (FLOW, "## One event", 8),
        (FLOW, "## One query", 8),
        (FLOW, "## One command", 8),
    ],
)
def test_flow_tables_name_what_is_there(page: Path, heading: str, least: int) -> None:
    table = rows(page, heading)
    assert len(table) >= least
    faults: list[str] = []
    for row in table:
        places = located(row[-1])
        assert places, row
        for path, names in places:
            faults += missing_definitions(path, names)
            assert names, f"{path}: say which function"
    assert faults == []


def test_a_function_that_moved_away_would_be_found() -> None:
    assert missing_definitions("projections/project.py", ["Projector.project", "projector"]) == [
        "projections/project.py has no projector"
    ]
    assert missing_definitions("projections/store/apply.lua", ["apply", "page", "nothing"]) == [
        "projections/store/apply.lua has no nothing"
    ]
    assert missing_definitions("projections/nowhere.py", []) == ["projections/nowhere.py is not there"]


@pytest.mark.parametrize("page", pages(), ids=page_ids())
def test_python_on_pages_is_python_and_imports_what_is_there(page: Path) -> None:
    made = {path.removesuffix(".py").replace("/", ".") for path in made_by_pages()}
    faults: list[str] = []
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block.text)):
            if not isinstance(node, ast.ImportFrom) or not node.module or node.module in made:
                continue
            if node.module.partition(".")[0] not in ("projections", "schema", "gateway", "examples", "tests"):
                continue
            module = importlib.import_module(node.module)
            faults += [
                f"{node.module}.{alias.name}"
                for alias in node.names
                if not hasattr(module, alias.name) and f"{node.module}.{alias.name}" not in made
            ]
    assert faults == []


def test_the_authoring_reference_runs_from_top_to_bottom(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its blocks are one program. It is a module while it runs: annotations are looked up there."""
    page = DOCS / "reference" / "authoring.md"
    program = "\n\n".join(block.text for block in blocks(page, "python"))
    module = ModuleType("authoring")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(program, named(page), "exec"), vars(module))  # noqa: S102 - our own page
    assert "composed" in vars(module)


def test_decisions_are_numbered_and_have_their_parts() -> None:
    found = sorted(path for path in (DOCS / "adr").glob("*.md") if path.stem != "README")
    assert [int(path.name[:4]) for path in found] == list(range(1, len(found) + 1))
    for path in found:
        text = path.read_text(encoding="utf-8")
        assert re.match(rf"# {int(path.name[:4])}\. \S", text), path.name
        for part in ("## Context", "## Decision", "## Consequences"):
            assert f"\n{part}\n" in text, f"{path.name} has no {part}"
    listed = [re.search(r"\(([^)]+)\)", row[0]) for row in rows(DOCS / "adr" / "README.md")]
    assert [match.group(1) for match in listed if match] == [path.name for path in found]


def test_shell_on_the_readme_is_one_command_a_line() -> None:
    """What runs the README runs each line of a block in turn."""
    shell = blocks(README, "sh")
    assert shell[0].text == "make run\n"
    for block in shell:
        for line in block.text.splitlines():
            assert line.strip(), "an empty line"
            assert not line.startswith(("$", "#", " ")), line
            assert not line.endswith("\\"), line
