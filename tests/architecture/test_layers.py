"""Who may import whom: import-linter's contracts, and what they cannot say."""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Final

import pytest

from tests.architecture.tree import FLOORS, ROOT, imported, named, parsed, python_files

PURE_STDLIB: Final = {
    "__future__", "collections", "collections.abc", "dataclasses", "datetime", "decimal", "enum", "fractions",
    "functools", "itertools", "math", "operator", "re", "string", "typing", "uuid", "zoneinfo",
}  # fmt: skip
"""What a read model may take from the standard library: nothing that waits, opens or starts anything."""


def foreign_to_a_read_model(tree: ast.Module, package: str | None = None) -> list[str]:
    """What a module of projections/contexts imports and must not. `package`: the context's own, when it is one."""
    own = (package, f"{package}.") if package else ()
    return [
        name
        for name in imported(tree)
        if name != "projections"
        and name not in PURE_STDLIB
        and not (own and (name == own[0] or name.startswith(own[1])))
    ]


def foreign_to_a_graph(tree: ast.Module) -> list[str]:
    """What a module of schema/contexts imports and must not."""
    allowed = ("projections.contexts.", "schema.contexts.")
    return [
        name
        for name in imported(tree)
        if name not in ("schema", "projections", "strawberry")
        and name not in PURE_STDLIB
        and not name.startswith(allowed)
    ]


def contexts(floor: str) -> list[Path]:
    folder = ROOT / floor / "contexts"
    return [path for path in python_files(floor) if path.is_relative_to(folder) and path.stat().st_size]


def test_import_linter_keeps_its_contracts() -> None:
    program = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


@pytest.mark.parametrize("path", contexts("projections"), ids=named)
def test_a_read_model_is_pure(path: Path) -> None:
    inside = path.relative_to(ROOT / "projections" / "contexts").parts
    package = f"projections.contexts.{inside[0]}" if len(inside) > 1 else None
    assert not foreign_to_a_read_model(parsed(path), package)


@pytest.mark.parametrize("path", contexts("schema"), ids=named)
def test_a_graph_imports_declarations_only(path: Path) -> None:
    assert not foreign_to_a_graph(parsed(path))


@pytest.mark.parametrize(
    "line",
    ["import asyncio", "import redis", "from projections.store import keys", "from projections.contexts import orders"],
)
def test_an_impure_read_model_would_be_found(line: str) -> None:
    assert foreign_to_a_read_model(ast.parse(f"def evolve():\n    {line}"))


@pytest.mark.parametrize(
    "line", ["import httpx", "from projections.store.port import Page", "from gateway.app import x"]
)
def test_an_impure_graph_would_be_found(line: str) -> None:
    assert foreign_to_a_graph(ast.parse(line))


def test_contexts_of_the_graph_go_one_way() -> None:
    known = {path.stem for path in contexts("schema")}
    graph = {
        path.stem: {name.split(".")[2] for name in imported(parsed(path)) if name.startswith("schema.contexts.")}
        & known
        for path in contexts("schema")
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"contexts import each other in a circle: {error.args[1]}")


def test_the_telemetry_sdk_is_set_up_at_entry_points_only() -> None:
    entries = ("__main__.py", "worker.py", "app.py")
    users = [
        named(path)
        for path in python_files(*FLOORS)
        if any(name.startswith(("opentelemetry.sdk", "opentelemetry.exporter")) for name in imported(parsed(path)))
    ]
    assert [user for user in users if not user.endswith(entries)] == []


def test_tasks_have_an_owner() -> None:
    """`TaskGroup` only: a task that nobody awaits takes its failure with it."""
    loose = [
        f"{named(path)}:{node.lineno}"
        for path in python_files(*FLOORS)
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("asyncio.create_task", "asyncio.ensure_future")
    ]
    assert loose == []


def test_importing_starts_nothing() -> None:
    program = (
        "import threading, asyncio, gateway.app, gateway.__main__, projections.worker, projections.__main__\n"
        "assert threading.active_count() == 1, threading.enumerate()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
