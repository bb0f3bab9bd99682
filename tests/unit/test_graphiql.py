"""The page that serves GraphiQL: data that cannot break out of it, a policy that names no other host, files that exist."""

import gzip
import json
import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette

from gateway.http.graphiql.page import (
    CONTENT_SECURITY_POLICY,
    PAGE_HEADERS,
    STATIC,
    STATIC_URL,
    manifest,
    page,
    static_routes,
)
from schema import Example

ROOT = Path(__file__).parents[2]
WEB = ROOT / "gateway/http/graphiql/web"
BUILT = sorted(path for path in STATIC.iterdir() if path.suffix in {".js", ".css", ".ttf", ".woff2"})
CONTENT = {path.name: path.read_bytes() for path in BUILT}
FOREIGN = re.compile(r"^\s*(?:[a-z][a-z0-9+.-]*:)?//|^\s*https?:", re.IGNORECASE)


class _Page(HTMLParser):
    """What a browser finds in the page: every element that loads or runs something, and the text of the scripts."""

    def __init__(self, html: bytes) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.scripts: list[dict[str, str | None]] = []
        self.texts: dict[str | None, str] = {}
        self._script: dict[str, str | None] | None = None
        self.feed(html.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.loaded += [value for name, value in attrs if name in {"src", "href"} and value is not None]
        assert not [name for name in found if name.startswith("on")], "an inline handler"
        if tag == "script":
            self._script = found
            self.scripts.append(found)

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self._script = None

    def handle_data(self, data: str) -> None:
        if self._script is not None:
            name = self._script.get("id")
            self.texts[name] = self.texts.get(name, "") + data


def _opened(example: Example) -> dict[str, str | None]:
    """The one tab that a browser reads back from a page made with `example`."""
    parsed = _Page(page("/graphql", [example]))
    assert [script.get("type") for script in parsed.scripts] == ["module", "application/json"]
    config = json.loads(parsed.texts["headrace"])
    assert config["endpoint"] == "/graphql"
    [tab] = config["tabs"]
    assert isinstance(tab, dict)
    return tab


@pytest.mark.parametrize(
    "hostile",
    [
        "</script><script>alert(1)</script>",
        "</SCRIPT\n>",
        "<!--<script>",
        "]]> --> &lt;/script&gt; &amp;",
        "{config} {style} {0} %s \\u003c",
        "\u2028\u2029\x00\x7f\"'`\\",
        "žluťoučký 🐎",
    ],
)
def test_text_cannot_break_out_of_the_page(hostile: str) -> None:
    tab = _opened(Example(hostile, hostile, {hostile: [hostile]}))
    assert (tab["title"], tab["query"]) == (hostile, hostile)
    assert json.loads(tab["variables"] or "") == {hostile: [hostile]}


@given(st.text())
def test_any_text_comes_back_as_it_was(text: str) -> None:
    assert _opened(Example("a title", text))["query"] == text


def test_an_example_without_variables_leaves_their_editor_empty() -> None:
    assert _opened(Example("a title", "{ a }"))["variables"] is None
    assert _opened(Example("a title", "{ a }", {"first": 3}))["variables"] == '{\n  "first": 3\n}'


@pytest.mark.parametrize(
    "endpoint", ["", "graphql", "//elsewhere/graphql", "/\\elsewhere", "https://elsewhere/graphql", "javascript:0"]
)
def test_an_endpoint_elsewhere_is_refused(endpoint: str) -> None:
    with pytest.raises(ValueError, match="must be a path on this host"):
        page(endpoint, [])


@pytest.mark.parametrize(("value", "error"), [(float("nan"), ValueError), (object(), TypeError)])
def test_variables_that_json_cannot_hold_are_refused(value: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        page("/graphql", [Example("a title", "{ a }", {"value": value})])


def test_the_policy_allows_this_host_alone() -> None:
    policy = dict(directive.split(" ", 1) for directive in CONTENT_SECURITY_POLICY.split("; "))
    assert policy["default-src"] == "'self'"
    assert policy["script-src"] == "'self'"
    assert policy["connect-src"] == "'self'"
    assert policy["worker-src"] == "'self'"
    assert policy.pop("style-src") == "'self' 'unsafe-inline'"
    assert policy.pop("img-src") == "'self' data:"
    assert set(policy.values()) == {"'self'", "'none'"}
    assert PAGE_HEADERS["Content-Security-Policy"] == CONTENT_SECURITY_POLICY


def test_the_page_loads_only_files_that_are_there() -> None:
    loaded = _Page(page("/graphql", [])).loaded
    assert not [link for link in loaded if FOREIGN.match(link)]
    files = [link.removeprefix(f"{STATIC_URL}/") for link in loaded if link != "data:,"]
    assert sorted(files) == sorted([manifest().script, manifest().style])
    for name in [*files, *manifest().workers]:
        assert (STATIC / name).is_file(), name


def test_the_script_starts_the_workers_of_this_build() -> None:
    script = (STATIC / manifest().script).read_text()
    assert len(manifest().workers) == 3
    for worker in manifest().workers:
        assert worker in script


def test_the_style_sheet_loads_only_files_that_are_there() -> None:
    css = (STATIC / manifest().style).read_text()
    links = re.findall(r"url\(\s*[\"']?([^\"')]+)", css)
    assert links
    assert "@import" not in css
    for link in links:
        assert not FOREIGN.match(link), link
        assert link.startswith("data:image/") or (STATIC / link).is_file(), link


def test_each_file_has_the_twin_of_its_content() -> None:
    assert BUILT
    for path in BUILT:
        if path.suffix != ".woff2":  # compressed in itself
            assert gzip.decompress(path.with_name(f"{path.name}.gz").read_bytes()) == CONTENT[path.name], path.name


def test_the_build_is_lean_and_has_no_source_maps() -> None:
    assert sum(len(content) for content in CONTENT.values()) <= 8_000_000
    assert not list(STATIC.glob("*.map"))
    assert not [name for name, content in CONTENT.items() if b"sourceMappingURL=" in content]


def test_licences_of_all_that_is_bundled_are_told() -> None:
    licences = (STATIC / "LICENSES.txt").read_text()
    for name in json.loads((WEB / "package.json").read_text())["dependencies"]:
        assert f"\n{name} " in licences, name


@pytest.mark.parametrize("folder", [WEB, ROOT / "tests/browser"], ids=["web", "browser"])
def test_npm_packages_are_pinned_and_no_registry_is_named(folder: Path) -> None:
    declared = json.loads((folder / "package.json").read_text())
    for name, version in (declared.get("dependencies", {}) | declared["devDependencies"]).items():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version), name
    packages = json.loads((folder / "package-lock.json").read_text())["packages"]
    assert not [name for name, package in packages.items() if "resolved" in package]
    assert not [name for name, package in packages.items() if name and "integrity" not in package]


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(Starlette(routes=static_routes()))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield client


@pytest.mark.parametrize("name", CONTENT)
async def test_hashed_files_are_served_for_ever(client: httpx.AsyncClient, name: str) -> None:
    plain = await client.get(f"{STATIC_URL}/{name}", headers={"Accept-Encoding": "identity"})
    assert plain.status_code == 200
    assert plain.content == CONTENT[name]
    assert "immutable" in plain.headers["Cache-Control"]
    assert "Content-Encoding" not in plain.headers
    small = await client.get(f"{STATIC_URL}/{name}", headers={"Accept-Encoding": "br, gzip"})
    assert small.content == CONTENT[name]
    assert small.headers["Content-Type"] == plain.headers["Content-Type"]
    assert small.headers.get("Content-Encoding") == (None if name.endswith(".woff2") else "gzip")
    assert small.headers["Vary"] == "Accept-Encoding"


async def test_files_without_a_digest_are_asked_for_again(client: httpx.AsyncClient) -> None:
    first = await client.get(f"{STATIC_URL}/LICENSES.txt")
    assert first.headers["Cache-Control"] == "no-cache"
    again = await client.get(f"{STATIC_URL}/LICENSES.txt", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("name", ["", "no-such-file.js", "..%2fpage.py", "%2e%2e/page.py", "%00", "a" * 5000])
async def test_nothing_else_is_served(client: httpx.AsyncClient, name: str) -> None:
    assert (await client.get(f"{STATIC_URL}/{name}")).status_code == 404


async def test_files_are_only_read(client: httpx.AsyncClient) -> None:
    assert (await client.head(f"{STATIC_URL}/LICENSES.txt")).status_code == 200
    assert (await client.post(f"{STATIC_URL}/LICENSES.txt")).status_code == 405
