"""Facts about what is stored and shown, from the documentation: what the oracle reads dictionaries by.

Invariants: pure; nothing of the product is asked.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zlib import crc32

from graphql import GraphQLEnumType, GraphQLList, GraphQLNonNull, GraphQLObjectType

from tests.equality.unfit import BadText
from tests.equality.world import BUCKETS


def instant(text: str) -> datetime:
    """The moment that a time in its wire form names."""
    return datetime.fromisoformat(text)


def bucket(key: str) -> int:
    """Which share of a read model has a document (docs/reference/store.md)."""
    return crc32(key.encode()) % BUCKETS


def is_key(text: str) -> bool:
    """Whether it can be the key of anything."""
    return 0 < len(text) <= 255 and text not in (".", "..") and not any(c <= " " or "\x7f" <= c <= "\xa0" for c in text)


def fits(value: Any, kind: Any) -> bool:
    """Whether what is stored has the JSON type of a field of that type."""
    if isinstance(kind, GraphQLNonNull):
        return value is not None and fits(value, kind.of_type)
    if value is None:
        return True
    if isinstance(kind, GraphQLList):
        return isinstance(value, list) and all(fits(item, kind.of_type) for item in value)
    if isinstance(kind, GraphQLObjectType):
        return isinstance(value, dict)
    if isinstance(kind, GraphQLEnumType):
        return isinstance(value, str) and value in kind.values
    if str(kind) == "Int":
        return type(value) is int and -(2**31) <= value < 2**31
    return type(value) is bool if str(kind) == "Boolean" else isinstance(value, str) and not isinstance(value, BadText)
