"""Floors under dependencies with known holes, what must not come in at all, and pins with digests."""

import re
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest

from tests.architecture.tree import ROOT, named

FLOORS_OF_VERSIONS: Final = {
    "graphql-core": (3, 3, 2),
    "strawberry-graphql": (0, 327, 2),
    "starlette": (1, 3, 1),
    "redis": (4, 5, 4),
}
IF_THERE_AT_ALL: Final = {"joserfc": (1, 8, 0)}
FORBIDDEN: Final = {"python-multipart", "python-jose"}
PINNED: Final = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[\w,-]+\])?==([^\s;\\]+)", re.MULTILINE)


def version(text: str) -> tuple[int, ...]:
    """The leading numbers of a version: enough to compare with a floor."""
    leading = re.match(r"\d+(?:\.\d+)*", text)
    assert leading, text
    return tuple(int(part) for part in leading.group().split("."))


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared() -> dict[str, str]:
    """Requirement texts by package, of the project and all its extras."""
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [item for items in project["optional-dependencies"].values() for item in items]
    found: dict[str, str] = {}
    for item in [*project["dependencies"], *extras]:
        name = re.match(r"[A-Za-z0-9._-]+", item)
        assert name, item
        found[normal(name.group())] = item
    return found


def locks() -> list[Path]:
    return sorted((ROOT / "requirements").glob("*.txt"))


def pins(path: Path) -> dict[str, str]:
    return {normal(name): pinned for name, pinned in PINNED.findall(path.read_text(encoding="utf-8"))}


@pytest.mark.parametrize(("package", "floor"), [*FLOORS_OF_VERSIONS.items(), *IF_THERE_AT_ALL.items()])
def test_declared_floors_are_high_enough(package: str, floor: tuple[int, ...]) -> None:
    requirement = declared().get(package)
    if requirement is None:
        assert package in IF_THERE_AT_ALL, f"{package} is not declared"
        return
    lowest = re.search(r">=\s*([^,;\s]+)", requirement)
    assert lowest, f"{requirement} has no floor"
    assert version(lowest.group(1)) >= floor


@pytest.mark.parametrize("path", locks(), ids=named)
def test_pinned_versions_are_high_enough(path: Path) -> None:
    found = pins(path)
    assert FLOORS_OF_VERSIONS.keys() <= found.keys()
    for package, floor in (FLOORS_OF_VERSIONS | IF_THERE_AT_ALL).items():
        assert package not in found or version(found[package]) >= floor, f"{package} {found[package]}"


@pytest.mark.parametrize("path", locks(), ids=named)
def test_nothing_forbidden_comes_in(path: Path) -> None:
    assert (pins(path).keys() | declared().keys()) & FORBIDDEN == set()


@pytest.mark.parametrize("path", locks(), ids=named)
def test_everything_is_pinned_with_digests(path: Path) -> None:
    requirements = re.sub(r"^ *#.*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
    lines = [line for line in requirements.splitlines() if line.strip()]
    assert lines
    assert [line for line in lines if not PINNED.match(line) or "--hash=sha256:" not in line] == []


def test_the_suite_runs_on_what_production_runs_on() -> None:
    run, dev = (pins(ROOT / "requirements" / name) for name in ("run.txt", "dev.txt"))
    assert {name: (pinned, dev.get(name)) for name, pinned in run.items() if dev.get(name) != pinned} == {}


def test_versions_compare_as_numbers() -> None:
    assert version("0.341.2") > version("0.327.10") > version("0.99")
