"""An answer as it leaves: its status, its body around data that is JSON already, and its headers.

Invariants: every answer is JSON of the GraphQL shape, but for GraphiQL's page; no header has a value that could end its line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

GRAPHQL_MEDIA_TYPE: Final = b"application/graphql-response+json"
JSON_MEDIA_TYPE: Final = b"application/json"
_encode: Final = msgspec.json.Encoder().encode

Header: TypeAlias = tuple[bytes, bytes]
"""Name in lower case, value."""


class Fixed(NamedTuple):
    """Headers that do not change from answer to answer: as pairs, and as lines that are ready to be sent."""

    pairs: Sequence[Header]
    lines: bytes


def fixed(pairs: Sequence[Header]) -> Fixed:
    """Makes the lines of them."""
    return Fixed(tuple(pairs), lines(pairs))


def lines(pairs: Sequence[Header]) -> bytes:
    """Headers as HTTP/1.1 has them, each with its line end."""
    return b"".join([b"%b: %b\r\n" % pair for pair in pairs])


class Reply(NamedTuple):
    """An answer as it leaves."""

    status: int
    body: bytes
    fixed: Fixed
    more: Sequence[Header] = ()

    def headers(self) -> list[Header]:
        """All of them, as ASGI wants them."""
        return [*self.fixed.pairs, (b"content-length", b"%d" % len(self.body)), *self.more]

    def header_lines(self) -> bytes:
        """All of them, as they are sent."""
        return b"%bcontent-length: %d\r\n%b" % (self.fixed.lines, len(self.body), lines(self.more))


def media_type_for(headers: Mapping[bytes, bytes]) -> bytes:
    """The new media type when the client names it, else the one that every client knows."""
    return GRAPHQL_MEDIA_TYPE if GRAPHQL_MEDIA_TYPE in headers.get(b"accept", b"") else JSON_MEDIA_TYPE


def told(body: bytes, status: int, media_type: bytes, *more: Header) -> Reply:
    """A reply of one of the two media types."""
    return Reply(status, body, _FIXED[media_type], more)


def body_of(data: bytes | None, errors: Sequence[Mapping[str, Any]], extensions: Mapping[str, Any] | None) -> bytes:
    """The answer around data that is JSON already, None when nothing was executed."""
    if data is not None and not errors and not extensions:
        return b'{"data":%b}' % data
    parts = [] if data is None else [b'"data":%b' % data]
    if errors:
        parts.append(b'"errors":%b' % _encode(errors))
    if extensions:
        parts.append(b'"extensions":%b' % _encode(extensions))
    return b"{%b}" % b",".join(parts)


_FIXED: Final[Mapping[bytes, Fixed]] = {
    media_type: fixed(
        (
            (b"content-type", media_type + b"; charset=utf-8"),
            (b"cache-control", b"no-store"),
            (b"vary", b"Accept"),
        )
    )
    for media_type in (GRAPHQL_MEDIA_TYPE, JSON_MEDIA_TYPE)
}
