"""The calls of the store's functions as bytes: KEYS and ARGV as apply.lua describes them, and what its answers say.

Invariants: pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from projections.errors import StoreError, StoreMisconfiguredError, WireError
from projections.log.port import Partition
from projections.store import page
from projections.store.document import Document, pack, unpack
from projections.store.keys import Bucket, Entry
from projections.store.port import (
    Applied,
    ApplyOutcome,
    BucketChange,
    Change,
    Conflict,
    Full,
    Page,
    PageQuery,
    Regressed,
)

_NO_BASE: Final = (-1, -1)
_pack = msgspec.msgpack.Encoder().encode


def apply_arguments(change: BucketChange, quarantine_max: int) -> tuple[list[str], list[bytes]]:
    """KEYS and ARGV of `apply`."""
    bucket = change.bucket
    keys = [bucket.positions, bucket.quarantine, bucket.changes]
    keys += [bucket.document(item.id) for item in change.changes]
    lists: dict[tuple[str, tuple[str, ...]], int] = {}
    items = [_item(item, lists) for item in change.changes]
    keys += [bucket.entries(name, values) for name, values in lists]
    positions = [(str(at), str(advance.expected), str(advance.next)) for at, advance in change.positions.items()]
    set_aside = [(coordinates, entry.decode()) for coordinates, entry in change.set_aside]
    head = _pack((items, set_aside, positions, quarantine_max))
    return keys, [head, *(pack(item.document) for item in change.changes)]


def _item(change: Change, lists: dict[tuple[str, tuple[str, ...]], int]) -> tuple[Any, ...]:
    def flat(entries: Iterable[Entry]) -> list[Any]:
        found: list[Any] = []
        for name, values, entry in entries:
            found += (lists.setdefault((name, values), len(lists) + 1), entry.decode())
        return found

    epoch, version = change.base or _NO_BASE
    return (change.id, epoch, version, flat(change.removed), flat(change.added))


def apply_outcome(reply: list[Any]) -> ApplyOutcome:
    word, *rest = reply
    if word == b"APPLIED":
        return Applied(*rest)
    if word == b"REGRESSED":
        return Regressed({partition(at): int(offset) for at, offset in zip(rest[::2], rest[1::2], strict=True)})
    if word == b"CONFLICT":
        return Conflict([id.decode() for id in rest])
    return Full(rest[0])


def page_arguments(query: PageQuery, bucket: Bucket) -> tuple[Any, ...]:
    low, high, down = page.walk(query)
    return (bucket.entries(query.index, query.values), bucket.document(""), low, high, query.limit, int(down))


def share(reply: list[Any]) -> page.Share:
    total, below, between, above, members, values = reply
    rows = [(entry, document(entry, value)) for entry, value in zip(members, values, strict=True)]
    return page.Share(total, below, between, above, rows)


def partition(field: bytes) -> Partition:
    topic, _, number = field.decode().rpartition("/")
    return Partition(topic, int(number))


def document(key: str | bytes, value: bytes | None) -> Document | None:
    if value is None:
        return None
    try:
        return unpack(value)
    except WireError:
        raise StoreMisconfiguredError(f"at {key!r} is something that Headrace did not write") from None


def document_or_error(key: str, value: bytes | None) -> Document | StoreError | None:
    try:
        return document(key, value)
    except StoreMisconfiguredError as error:
        return error


def page_or_error(query: PageQuery, replies: Sequence[list[Any] | StoreError]) -> Page | StoreError:
    """One page out of the buckets' replies, or what is wrong with one of them."""
    shares: list[page.Share] = []
    for reply in replies:
        if isinstance(reply, StoreError):
            return reply
        try:
            shares.append(share(reply))
        except StoreMisconfiguredError as error:
            return error
    return page.merge(query, shares)


def count(key: str, stored: bytes) -> int:
    """A recorded number of buckets."""
    if not stored.isdigit():
        raise StoreMisconfiguredError(f"at {key!r} is something that Headrace did not write")
    return int(stored)
