"""Nothing of the place where this was written is in it: no home folders, no package registries, no credentials."""

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest

from tests.architecture.tree import ROOT, files, named

HOME: Final = re.compile(r"(?<![\w.~$}-])/(?:home|Users|root|mnt|work(?:space)?)/[\w.-]+")
INDEX_OPTION: Final = re.compile(
    r"--(?:extra-)?index-url|--find-links|--trusted-host|^\s*(?:registry|index-url|_authToken)\s*[=:]|"
    r"\bPIP_(?:EXTRA_)?INDEX_URL\b|\bUV_(?:DEFAULT_)?INDEX\b|\bNPM_CONFIG_REGISTRY\b",
    re.MULTILINE | re.IGNORECASE,
)
URL: Final = re.compile(r"https?://")


def ours() -> list[Path]:
    """Built bundles and other people's licences aside."""
    return [path for path in files() if "graphiql/static/" not in named(path)]


def test_no_home_folder_is_named() -> None:
    found = [
        f"{named(path)}: {match.group()}"
        for path in ours()
        for match in HOME.finditer(path.read_text(encoding="utf-8"))
        if path != Path(__file__)
    ]
    assert found == []


def test_no_package_index_is_chosen() -> None:
    found = [
        f"{named(path)}: {match.group().strip()}"
        for path in ours()
        for match in INDEX_OPTION.finditer(path.read_text(encoding="utf-8"))
        if path != Path(__file__)
    ]
    assert found == []


@pytest.mark.parametrize("path", sorted((ROOT / "requirements").glob("*.txt")), ids=named)
def test_requirements_name_no_address(path: Path) -> None:
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    assert [line for line in lines if URL.search(line)] == []


def addresses(value: Any, inside: str = "") -> list[str]:
    """Every URL in a lock file but those of the packages' own funding pages."""
    if isinstance(value, dict):
        return [
            found for key, item in value.items() if key != "funding" for found in addresses(item, f"{inside}/{key}")
        ]
    if isinstance(value, list):
        return [found for item in value for found in addresses(item, inside)]
    return [f"{inside}: {value}"] if isinstance(value, str) and URL.search(value) else []


@pytest.mark.parametrize("path", [path for path in files() if path.name == "package-lock.json"], ids=named)
def test_lock_files_of_npm_name_no_address(path: Path) -> None:
    assert addresses(json.loads(path.read_text(encoding="utf-8"))) == []


def test_what_these_tests_look_for_would_be_found() -> None:
    assert HOME.search("see /home/" + "ada/notes")
    assert HOME.search('"/root/' + '.cache"')
    assert not HOME.search("https://example.org/home/ada")
    assert INDEX_OPTION.search("pip install --index-url" + " x")
    assert addresses({"packages": {"a": {"resolved": "https://r/a.tgz"}, "b": {"funding": {"url": "https://b"}}}}) == [
        "/packages/a/resolved: https://r/a.tgz"
    ]
