"""Every key and every order-preserving text in the store, in one place.

Invariants: pure; all keys of a bucket share one hash tag, so one slot of a cluster; a bucket is our own hash of the aggregate's
id and has nothing to do with the log's partitions.

    hr:{orders:1:0}:d:<id>                 document (document.py)
    hr:{orders:1:0}:i:<index>:<v>:<v>      sorted set, all scores 0: <sort>\\0<id>; `*` for a filter that is left out
    hr:{orders:1:0}:pos                    hash: <topic>/<partition> -> offset to read next
    hr:{orders:1:0}:quarantine             hash: <topic>/<partition>/<offset> -> what was set aside, JSON
    hr:{orders:1:0}:live                   hash: the projector's last report (lag.py reads it), JSON by <topic>/<partition>
    hr:{orders:1:0}:buckets                string, bucket 0 only: how many buckets this generation was built with
    hr:{orders:1:0}:changes                channel: what an apply changed, JSON [[id, epoch, version], ...]
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Context, Decimal
from enum import Enum
from typing import Any, Final, NamedTuple
from urllib.parse import quote
from zlib import crc32

from projections.declare import Index

LEFT_OUT: Final = "*"
SEPARATOR: Final = b"\0"
SORT_TEXT_CHARACTERS: Final = 64
"""A text is ordered by its first 64 characters, then by key: an index entry stays small whatever the title."""

_ZERO: Final = datetime(1, 1, 1, tzinfo=UTC)
_DECIMAL_SHIFT: Final = Decimal(10) ** 24
_EXACT: Final = Context(prec=60)


class Bucket(NamedTuple):
    """One share of a projection's generation; the unit of atomic change."""

    projection: str
    generation: int
    number: int

    @property
    def tag(self) -> str:
        """The prefix of all its keys."""
        return f"hr:{{{self.projection}:{self.generation}:{self.number}}}"

    def document(self, id: str) -> str:
        """Key of the document of an aggregate."""
        return f"{self.tag}:d:{id}"

    def entries(self, index: str, values: Sequence[str]) -> str:
        """Key of an index's sorted set for these filter values, as `filter_text` writes them."""
        return ":".join((self.tag, "i", index, *values))

    @property
    def positions(self) -> str:
        """Key of the hash of positions."""
        return f"{self.tag}:pos"

    @property
    def quarantine(self) -> str:
        """Key of the hash of records that were set aside."""
        return f"{self.tag}:quarantine"

    @property
    def live(self) -> str:
        """Key of the projector's last report."""
        return f"{self.tag}:live"

    @property
    def bucket_count(self) -> str:
        """Key of the number of buckets that the generation has; kept beside bucket 0 alone."""
        return f"{self.tag}:buckets"

    @property
    def changes(self) -> str:
        """Name of the change channel (sharded pub/sub)."""
        return f"{self.tag}:changes"


def bucket_of(id: str, buckets: int) -> int:
    """The bucket of an aggregate: CRC-32 of its UTF-8 id, modulo the number of buckets."""
    return crc32(id.encode()) % buckets if buckets > 1 else 0


def filter_text(value: Any) -> str:
    """A filter's value as a part of a key; None for a filter that is left out."""
    if value is None:
        return LEFT_OUT
    if isinstance(value, Enum):
        value = value.value
    elif isinstance(value, bool):
        value = "true" if value else "false"
    elif isinstance(value, date):
        value = value.isoformat()
    return quote(str(value), safe="", errors="surrogatepass") or "%"


def sort_text(value: Any) -> bytes:
    """Bytes whose order is the order of the values; None comes first. Texts must not be of mixed types."""
    if value is None:
        return b"0"
    if isinstance(value, datetime):
        text = f"{(value.astimezone(UTC) - _ZERO) // _MICROSECOND:015x}"
    elif isinstance(value, date):
        text = value.isoformat()
    elif isinstance(value, int):
        text = f"{value + 2**63:016x}"
    elif isinstance(value, Decimal):
        text = format(_EXACT.add(value, _DECIMAL_SHIFT).quantize(Decimal("1e-18"), context=_EXACT), "044f")
    else:
        text = str(value)[:SORT_TEXT_CHARACTERS].replace("\0", "\x01")
    return b"1" + text.encode(errors="replace")


_MICROSECOND: Final = datetime.resolution


def member(sort: Any, id: str) -> bytes:
    """An index entry."""
    return sort_text(sort) + SEPARATOR + id.encode()


def member_id(entry: bytes) -> str:
    """The aggregate's id in an index entry."""
    return entry.rpartition(SEPARATOR)[2].decode()


class Entry(NamedTuple):
    """A row's place in an index: which sorted set (without the bucket), and the member."""

    list_name: str
    values: tuple[str, ...]
    member: bytes


def index_entries(indexes: Sequence[Index[Any]], id: str, view: Any | None) -> set[Entry]:
    """All places that a view has in its projection's indexes; none when there is no view."""
    found: set[Entry] = set()
    if view is None:
        return found
    for index in indexes:
        if any(getattr(view, name) is None for name in index.required):
            continue
        entry = member(getattr(view, index.sort_field) if index.sort_field else None, id)
        choices = [_choices(name, view) for name in index.filters]
        found.update(Entry(index.name, values, entry) for values in itertools.product(*choices))
    return found


def _choices(name: str, view: Any) -> tuple[str, ...]:
    value = getattr(view, name.removesuffix("?"))
    if not name.endswith("?"):
        return (filter_text(value),)
    return (LEFT_OUT,) if value is None else (LEFT_OUT, filter_text(value))
