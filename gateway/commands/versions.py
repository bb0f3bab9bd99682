"""The `Aggregate-Version` header: a structured-field list (RFC 9651) of `"order/o-123";v=3;e=1`.

Invariants: pure; a header that is not of this form yields None, never a part of it.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from projections.record import MAX_VERSION

MAX_HEADER_CHARACTERS: Final = 8192

_ITEM: Final = re.compile(
    r'"(?P<type>[a-z][a-z0-9_]{0,62})/(?P<id>(?:[!#-\[\]-~]|\\["\\]){1,255})"'
    r"(?P<parameters>(?:; *[a-z*][a-z0-9_.*-]*(?:=-?[0-9]{1,15})?)*)\Z"
)
_PARAMETER: Final = re.compile(r"; *([a-z*][a-z0-9_.*-]*)(?:=(-?[0-9]{1,15}))?")
_SPLIT: Final = re.compile(r'((?:[^",]|"(?:[^"\\]|\\.)*")+)(?:,|\Z)')


class ChangedAggregate(NamedTuple):
    """One aggregate that a command changed, and where it is now."""

    type: str
    id: str
    epoch: int
    version: int


def parse_versions(header: str | None) -> list[ChangedAggregate] | None:
    """The aggregates that a reply names; None when the header is missing or malformed."""
    if not header or len(header) > MAX_HEADER_CHARACTERS:
        return None
    found: list[ChangedAggregate] = []
    position = 0
    while position < len(header):
        part = _SPLIT.match(header, position)
        item = _ITEM.match(part.group(1).strip(" \t")) if part else None
        if part is None or item is None:
            return None
        position = part.end()
        parameters = {name: int(value) for name, value in _PARAMETER.findall(item["parameters"]) if value}
        version, epoch = parameters.get("v", 0), parameters.get("e", 0)
        if not 1 <= version <= MAX_VERSION or not 0 <= epoch <= MAX_VERSION:
            return None
        found.append(ChangedAggregate(item["type"], re.sub(r"\\(.)", r"\1", item["id"]), epoch, version))
    return found or None
