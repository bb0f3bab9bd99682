"""What an adopter does with the pages, done by a test: files from code blocks, catalogs edited, contexts composed and run.

Invariants: the checkout is never changed; modules that come from a page are gone from the interpreter afterwards.
"""

from __future__ import annotations

import ast
import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import projections.contexts
import schema.contexts
from gateway.compose import compose
from tests.architecture.pages import Block
from tests.architecture.tree import ROOT
from tests.shop_contexts import CONTEXTS, NAMES, PROJECTIONS

SETTINGS = {
    "HEADRACE_REDIS_URL": "redis://127.0.0.1:1",
    "HEADRACE_SERVICES": ",".join(
        f"{name}=http://127.0.0.1:1"
        for name in ("tickets", "reviews", "customers", "catalog", "orders", "payments", "shipping")
    ),
    "HEADRACE_TOKEN_KEYS": "k1:" + "A" * 43,
}


def copy_of_the_shop(target: Path) -> Path:
    """A tree whose read models and graph may be changed, as the pages find them: its catalogs name the shop's contexts alone,
    and its SDL shows no other. The gateway is the checkout's own.
    """
    for name in ("projections", "schema"):
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        catalog = target / name / "catalog.py"
        catalog.write_text(shop_alone(catalog.read_text(encoding="utf-8"), f"{name}.contexts"), encoding="utf-8")
    (target / "schema" / "schema.graphql").write_text(compose(CONTEXTS, PROJECTIONS).sdl(), encoding="utf-8")
    (target / "gateway").symlink_to(ROOT / "gateway", target_is_directory=True)
    return target


def shop_alone(catalog: str, package: str) -> str:
    """The text of a catalog without the lines of contexts that are not the shop's, whichever way they are imported."""
    lines = catalog.splitlines(keepends=True)
    others: set[str] = set()
    changes: list[tuple[int, int, str]] = []
    for node in ast.parse(catalog).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(package):
            names = {alias.asname or alias.name for alias in node.names}
            shops = sorted(names & set(NAMES)) if node.module == package else []
            others |= names - set(shops)
            text = f"from {package} import {', '.join(shops)}\n" if shops else ""
            changes.append((node.lineno - 1, node.end_lineno or node.lineno, text))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Tuple):
            added = [item for item in node.value.elts if ast.unparse(item).partition(".")[0] in others]
            changes += [(item.lineno - 1, item.end_lineno or item.lineno, "") for item in added]
    for first, end, text in sorted(changes, reverse=True):
        lines[first:end] = [text]
    return "".join(lines)


def write(blocks: Sequence[Block], target: Path) -> list[str]:
    """Writes the blocks that stand for files, edits the files that diffs name; returns the paths."""
    written: list[str] = []
    for block in blocks:
        if block.path is None:
            continue
        file = target / block.path
        file.parent.mkdir(parents=True, exist_ok=True)
        first, _, rest = block.text.partition("\n")
        text = patched(file.read_text(encoding="utf-8"), rest) if block.language == "diff" else rest
        file.write_text(text, encoding="utf-8")
        written.append(block.path)
        assert first == f"# {block.path}"
    return written


def patched(text: str, diff: str) -> str:
    """A text with hunks applied; `@@` begins the next hunk. What a hunk expects is there exactly once, or it fails."""
    for hunk in diff.split("@@\n"):
        lines = [line for line in hunk.splitlines(keepends=True) if line.strip()]
        before = "".join(line[1:] for line in lines if line[0] in " -")
        after = "".join(line[1:] for line in lines if line[0] in " +")
        assert text.count(before) == 1, f"expected once:\n{before}"
        text = text.replace(before, after)
    return text


def python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """This interpreter, with the tree as its only source of the project's packages."""
    env = {
        name: value for name, value in os.environ.items() if not name.startswith(("HEADRACE_", "PYTEST_", "PYTHONPATH"))
    }
    env |= SETTINGS | {"PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=60
    )


def gateway_commands(*commands: str, cwd: Path) -> tuple[list[int], str, str]:
    """Exit codes of `python -m gateway <command>` one after the other, in one process; and all output and errors."""
    program = (
        "import sys; from gateway.__main__ import main\n"
        "codes = [main(command.split()) for command in sys.argv[1:]]\n"
        "print(*codes)"
    )
    done = python("-c", program, *commands, cwd=cwd)
    assert done.returncode == 0, done.stderr
    *lines, codes = done.stdout.splitlines()
    return [int(code) for code in codes.split()], "\n".join(lines), done.stderr


@contextmanager
def contexts_from(tree: Path, name: str) -> Iterator[tuple[ModuleType, ModuleType]]:
    """The read model and the graph of one context that lies in another tree, beside the checkout's own contexts.

    One of the same name that the checkout has is out of sight meanwhile.
    """
    packages = (projections.contexts, schema.contexts)
    own = {f"{package.__name__}.{name}": vars(package).get(name) for package in packages}
    for package in packages:
        sys.modules.pop(f"{package.__name__}.{name}", None)
        package.__path__.insert(0, str(tree / package.__name__.replace(".", "/")))
    importlib.invalidate_caches()
    try:
        read_model, graph = (importlib.import_module(f"{package.__name__}.{name}") for package in packages)
        yield read_model, graph
    finally:
        for package in packages:
            package.__path__.pop(0)
            sys.modules.pop(f"{package.__name__}.{name}", None)
            vars(package).pop(name, None)
            before = own[f"{package.__name__}.{name}"]
            if before is not None:
                sys.modules[before.__name__] = before
                setattr(package, name, before)
