"""Serves GraphiQL from the package itself: the page that a browser gets, and the files that the page loads.

Invariants: the page holds nothing executable but a reference to our own script; what the server says is data, in one
JSON block that no content can break out of. No other host is named: the browser needs this gateway and nothing else,
and the Content-Security-Policy holds it to that. Files are named by their digest, so a client may keep them for ever.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from os import PathLike, stat_result
from pathlib import Path
from typing import Any, Final

import msgspec
from starlette.datastructures import Headers
from starlette.responses import FileResponse, Response
from starlette.routing import Mount
from starlette.staticfiles import NotModifiedResponse, StaticFiles
from starlette.types import Scope

from schema import Example

STATIC: Final = Path(__file__).parent / "static"
STATIC_URL: Final = "/graphiql"

# 'unsafe-inline' for styles alone: the editor sets style attributes and adds <style> elements while it runs.
# data: for images: the editor's CSS has small ones inlined. 'self' in connect-src covers ws(s) too.
CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "font-src 'self'",
        "worker-src 'self'",
        "connect-src 'self'",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)

# A year, the longest that caches honour.
_FOR_EVER: Final = "public, max-age=31536000, immutable"
_DIGEST: Final = re.compile(r"-[0-9A-Z]{8}\.")
# Named here because mimetypes reads the machine's own table, and `nosniff` makes a wrong type fatal.
_MEDIA_TYPES: Final = {
    ".css": "text/css",
    ".gz": "application/gzip",
    ".js": "text/javascript",
    ".json": "application/json",
    ".ttf": "font/ttf",
    ".woff2": "font/woff2",
}

# To be sent with the page. GET /graphql answers by Accept, hence Vary; the page names hashed files, hence no-cache.
PAGE_HEADERS: Final[Mapping[str, str]] = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cache-Control": "no-cache",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept",
    "X-Content-Type-Options": "nosniff",
}

_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Headrace GraphiQL</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{style}">
<script type="module" src="{script}"></script>
</head>
<body>
<div id="graphiql"></div>
<noscript>GraphiQL needs JavaScript.</noscript>
<script type="application/json" id="headrace">{config}</script>
</body>
</html>
"""


class Manifest(msgspec.Struct, frozen=True):
    """What the build left in `static/`: names of the entry script, of its style sheet, and of the editor's workers."""

    script: str
    style: str
    workers: tuple[str, ...]


def manifest() -> Manifest:
    """The manifest of the committed build. Raises FileNotFoundError or msgspec.ValidationError when it is damaged."""
    return msgspec.json.decode((STATIC / "manifest.json").read_bytes(), type=Manifest)


def page(endpoint: str, examples: Sequence[Example], headers: Mapping[str, str] | None = None) -> bytes:
    """The HTML page, to be sent with PAGE_HEADERS; reads the manifest, so call it once and keep the bytes.

    `endpoint` is the path of the GraphQL endpoint on this same host ("/graphql"); `examples` become the tabs, in
    order: `title` heads the query as a comment, `variables` fill their editor, the operation's name names the tab. `headers` fill
    the editor of request headers of each.
    Raises ValueError for an endpoint on another host, ValueError or TypeError for variables that JSON cannot hold.
    """
    # Browsers read "//host" and "/\\host" as another host.
    if not endpoint.startswith("/") or endpoint[1:2] in {"/", "\\"}:
        raise ValueError(f"endpoint {endpoint!r} must be a path on this host, such as '/graphql'")
    files = manifest()
    config = {"endpoint": endpoint, "tabs": [_tab(example, headers) for example in examples]}
    text = _PAGE.format(
        style=html.escape(f"{STATIC_URL}/{files.style}"),
        script=html.escape(f"{STATIC_URL}/{files.script}"),
        config=_json_in_html(config),
    )
    return text.encode()


def static_routes() -> list[Mount]:
    """The route of the page's files: GET and HEAD /graphiql/<file>, hashed ones immutable, gzip where accepted."""
    return [Mount(STATIC_URL, app=_HashedFiles(directory=STATIC), name="graphiql")]


def _tab(example: Example, headers: Mapping[str, str] | None) -> dict[str, str | None]:
    return {
        "title": example.title,
        "query": example.query,
        "variables": _in_editor(example.variables),
        "headers": _in_editor(headers),
    }


def _in_editor(values: Mapping[str, Any] | None) -> str | None:
    return json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) if values else None


def _json_in_html(value: object) -> str:
    """JSON without `<`, `>` or `&`: neither `</script>` nor `<!--` can appear, whatever the strings hold."""
    text = json.dumps(value, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


class _HashedFiles(StaticFiles):
    """Static files with `<file>.gz` beside those that compress, and a digest in the name of those that a page loads."""

    def file_response(
        self, full_path: str | PathLike[str], stat_result: stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        path = Path(full_path)
        twin = path.with_name(f"{path.name}.gz")
        headers = {"Vary": "Accept-Encoding", "X-Content-Type-Options": "nosniff"}
        headers["Cache-Control"] = _FOR_EVER if _DIGEST.search(path.name) else "no-cache"
        if "gzip" in Headers(scope=scope).get("accept-encoding", "") and twin.is_file():
            path, stat_result = twin, twin.stat()
            headers["Content-Encoding"] = "gzip"
        media_type = _MEDIA_TYPES.get(Path(full_path).suffix, "text/plain")
        response = FileResponse(path, status_code, headers, media_type=media_type, stat_result=stat_result)
        if self.is_not_modified(response.headers, Headers(scope=scope)):
            return NotModifiedResponse(response.headers)
        return response
