"""Relay pages: arguments checked, cursors made and read.

Invariants: pure; a cursor names a place in one list (not a row number), so it survives rows that come and go, and one that was made
by another list is refused.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Final
from zlib import crc32

from schema.errors import BadCursorError, BadPageError

DEFAULT_PAGE: Final = 20
MAX_PAGE: Final = 100
_MAX_CURSOR_CHARACTERS: Final = 1024


@dataclass(frozen=True)
class Window:
    """Which part of a list is wanted: `limit` rows after `after`, or the last `limit` before `before` when `backward`."""

    limit: int
    after: bytes | None
    before: bytes | None
    backward: bool


def window(list_name: str, first: int | None, after: str | None, last: int | None, before: str | None) -> Window:
    """Checks a connection's arguments. Raises BadPageError, BadCursorError."""
    if first is not None and last is not None:
        raise BadPageError("take either first or last, not both")
    if last is None and before is not None:
        raise BadPageError("before goes with last")
    if last is not None and after is not None:
        raise BadPageError("after goes with first")
    size = last if last is not None else DEFAULT_PAGE if first is None else first
    if not 0 <= size <= MAX_PAGE:
        raise BadPageError(f"a page has 0 to {MAX_PAGE} rows")
    return Window(
        limit=size,
        after=None if after is None else place(list_name, after),
        before=None if before is None else place(list_name, before),
        backward=last is not None,
    )


def cursor(list_name: str, member: bytes) -> str:
    """The opaque, URL-safe name of a place in a list."""
    return base64.urlsafe_b64encode(_mark(list_name) + member).decode().rstrip("=")


def place(list_name: str, text: str) -> bytes:
    """The place that a cursor names. Raises BadCursorError for one that this list did not make."""
    if len(text) > _MAX_CURSOR_CHARACTERS or not text.isascii():
        raise BadCursorError("not a cursor")
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise BadCursorError("not a cursor") from None
    if len(data) < 5 or data[:4] != _mark(list_name) or b"\0" not in data[4:]:
        raise BadCursorError("not a cursor of this list")
    return data[4:]


def _mark(list_name: str) -> bytes:
    """Four bytes that tell lists apart; no secret: a forged place names rows the reader may list anyway."""
    return crc32(list_name.encode()).to_bytes(4, "big")
