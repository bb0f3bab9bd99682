"""Global ids: "<Type>:<key>", readable, unique across the graph.

Invariants: pure; a key never holds a colon in its bare form, so a text with a colon is a global id or it is malformed; what is
malformed is told by what an id looks like, and never by its text.
"""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from typing import Final

from schema.errors import BadIdError

MAX_KEY_CHARACTERS: Final = 255
MAX_IDS: Final = 100
_KEY: Final = re.compile(r"(?!\.{1,2}\Z)[^\x00-\x20\x7f-\xa0\ud800-\udfff]{1,255}\Z")
"""Neither `.` nor `..`: a key is a segment of a path."""


def check_count(ids: Sequence[str]) -> None:
    """Raises BadIdError for more ids than may be asked for at once."""
    if len(ids) > MAX_IDS:
        raise BadIdError(f"at most {MAX_IDS} ids")


def global_id(type_name: str, key: str) -> str:
    """The id of an entity: `global_id("Order", "o-123") == "Order:o-123"`."""
    return f"{type_name}:{key}"


def parse_id(text: str, types: Container[str]) -> tuple[str, str]:
    """(type, key) of a global id. Raises BadIdError when it is malformed or of a type that the graph does not have."""
    type_name, colon, key = text.partition(":")
    if not colon or type_name not in types:
        raise BadIdError("not an id of this graph: an id reads <Type>:<key>")
    return type_name, _checked(key)


def key_of(text: str, type_name: str, types: Container[str]) -> str:
    """The key of an entity whose type is known, from its global id or its bare key.

    Raises BadIdError when it is malformed or of another type.
    """
    if ":" not in text:
        return _checked(text)
    named, key = parse_id(text, types)
    if named != type_name:
        raise BadIdError(f"an id of another type: here it reads {type_name}:<key>")
    return key


def _checked(key: str) -> str:
    if not _KEY.match(key):
        raise BadIdError(f"not the key of an id: it has 1 to {MAX_KEY_CHARACTERS} characters, and no spaces")
    return key
