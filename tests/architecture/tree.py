"""The project's own files, as the tests of its rules look at them.

Invariants: what git would not keep (environments, caches, artefacts) is left out, also where there is no git.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
FLOORS: Final = ("projections", "schema", "gateway")

_NOT_OURS: Final = {".git", "__pycache__", "node_modules", "artefacts", ".venv"}
_NOT_OURS_EITHER: Final = ("_cache", ".hypothesis")
_TEXT: Final = {
    ".cfg", ".css", ".graphql", ".html", ".ini", ".js", ".json", ".jsx", ".lua", ".md", ".mjs", ".py", ".sh", ".sql",
    ".toml", ".ts", ".txt", ".yaml", ".yml",
}  # fmt: skip
_TEXT_NAMES: Final = {"Makefile", "Dockerfile", "LICENSE", "run", ".npmrc", ".gitignore", ".dockerignore"}


@cache
def files() -> tuple[Path, ...]:
    """Every text file of the project, sorted."""
    return tuple(sorted(_walk()))


def _walk() -> Iterator[Path]:
    for folder, folders, names in os.walk(ROOT):
        if "pyvenv.cfg" in names or Path(folder) == ROOT / "benchmarks" / "out":
            folders.clear()
            continue
        folders[:] = [name for name in folders if name not in _NOT_OURS and not name.endswith(_NOT_OURS_EITHER)]
        for name in names:
            path = Path(folder) / name
            if path.suffix in _TEXT or name in _TEXT_NAMES:
                yield path


def named(path: Path) -> str:
    """The path below the project's root, with slashes."""
    return path.relative_to(ROOT).as_posix()


def python_files(*folders: str) -> list[Path]:
    """The Python files below some folders of the root; all when none is given."""
    return [
        path for path in files() if path.suffix == ".py" and (not folders or named(path).partition("/")[0] in folders)
    ]


@cache
def parsed(path: Path) -> ast.Module:
    """The syntax tree of a Python file."""
    return ast.parse(path.read_text(encoding="utf-8"), named(path))


def imported(tree: ast.Module) -> list[str]:
    """Every module that a tree imports, anywhere in it; `from a import b` counts as `a`."""
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append("." * node.level + (node.module or ""))
    return found


def definitions(tree: ast.Module) -> set[str]:
    """Names of a module's classes, functions and assignments, and `Class.member`."""
    found: set[str] = set()
    for node in tree.body:
        found |= _names(node)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{name}" for inner in node.body for name in _names(inner)}
    return found


def _names(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return {target.id for target in targets if isinstance(target, ast.Name)}
