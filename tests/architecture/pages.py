"""The documentation as data: code blocks, tables, and the files and functions that a page names.

Invariants: pure readers of Markdown; a block that stands for a file says so in its first line, `# path/of/the/file.py`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

from tests.architecture.tree import ROOT, files, named

DOCS: Final = ROOT / "docs"
README: Final = ROOT / "README.md"

_FENCE: Final = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```[ \t]*$", re.DOTALL | re.MULTILINE)
_PATH_LINE: Final = re.compile(r"# ([\w./-]+\.(?:py|sh))\s*\n")
_CODE: Final = re.compile(r"`([^`\n]+)`")
_LINK: Final = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
_TOP: Final = (
    "projections",
    "schema",
    "gateway",
    "examples",
    "tests",
    "docs",
    "deploy",
    "tools",
    "benchmarks",
    "requirements",
)


class Block(NamedTuple):
    """A fenced block: its language, its text without indentation of the fence, and the file that it stands for."""

    language: str
    text: str
    path: str | None


def pages() -> list[Path]:
    """Every Markdown page of the project."""
    return [path for path in files() if path.suffix == ".md"]


def page_ids() -> list[str]:
    """Their names, for parametrized tests."""
    return [named(path) for path in pages()]


def blocks(page: Path, language: str | None = None) -> list[Block]:
    """The fenced blocks of a page, of one language if it is given, in order."""
    found: list[Block] = []
    for indent, name, text in _FENCE.findall(page.read_text(encoding="utf-8")):
        body = "".join(line.removeprefix(indent) for line in text.splitlines(keepends=True))
        path = _PATH_LINE.match(body)
        if language in (None, name):
            found.append(Block(name, body, path.group(1) if path else None))
    return found


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def links(page: Path) -> list[str]:
    """Targets of the page's links."""
    return _LINK.findall(prose(page))


def rows(page: Path, heading: str | None = None) -> list[list[str]]:
    """The cells of every table row of a page (without header and rule), below one heading if it is given."""
    text = prose(page)
    if heading is not None:
        _, found, rest = text.partition(f"\n{heading}\n")
        if not found:
            raise AssertionError(f"{named(page)} has no heading {heading!r}")
        text = re.split(rf"^#{{1,{heading.index(' ')}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]
    found_rows: list[list[str]] = []
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if not line.startswith("|") or set(line) <= set("|-: "):
            continue
        is_header = (
            number + 1 < len(lines) and lines[number + 1].startswith("|") and set(lines[number + 1]) <= set("|-: ")
        )
        if not is_header:
            found_rows.append([cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return found_rows


def codes(text: str) -> list[str]:
    """What a text has between backticks, in order."""
    return _CODE.findall(text)


def is_path(text: str) -> bool:
    """Whether a text between backticks names one file or folder of the project."""
    return text.partition("/")[0] in _TOP and "/" in text and not re.search(r"[\s*<>{}():]", text)
