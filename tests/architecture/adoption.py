"""What an adopter does with the pages, done by a test: files from code blocks, catalogs edited, contexts composed and run.

Invariants: the checkout is never changed; modules that come from a page are gone from the interpreter afterwards.
"""

from __future__ import annotations

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
from tests.architecture.pages import Block
from tests.architecture.tree import ROOT

SETTINGS = {
    "HEADRACE_REDIS_URL": "redis://127.0.0.1:1",
    "HEADRACE_SERVICES": ",".join(
        f"{name}=http://127.0.0.1:1"
        for name in ("tickets", "reviews", "customers", "catalog", "orders", "payments", "shipping")
    ),
    "HEADRACE_TOKEN_KEYS": "k1:" + "A" * 43,
}


def copy_of_the_checkout(target: Path) -> Path:
    """A tree whose read models and graph may be changed; the gateway is the checkout's own."""
    for name in ("projections", "schema"):
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    (target / "gateway").symlink_to(ROOT / "gateway", target_is_directory=True)
    return target


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
    """The read model and the graph of one context that lies in another tree, beside the checkout's own contexts."""
    packages = (projections.contexts, schema.contexts)
    for package in packages:
        package.__path__.append(str(tree / package.__name__.replace(".", "/")))
    importlib.invalidate_caches()
    try:
        read_model, graph = (importlib.import_module(f"{package.__name__}.{name}") for package in packages)
        yield read_model, graph
    finally:
        for package in packages:
            package.__path__.pop()
            sys.modules.pop(f"{package.__name__}.{name}", None)
            vars(package).pop(name, None)
