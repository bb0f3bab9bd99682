"""Every key and every order-preserving text in the store, in one place.

Invariants: pure; all keys of a bucket share one hash tag, so one slot of a cluster; a bucket is our own hash of the aggregate's
id and has nothing to do with the log's partitions.

    hr:{orders:1:0}:d:<id>                 document (document.py)
    hr:{orders:1:0}:i:<index>:<v>:<v>      sorted set, all scores 0: <sort>\\0<id>; `*` for a filter that is left out
    hr:{orders:1:0}:m:<measure>:<v>        what the bucket's documents come to: a whole number; of a least or largest value
                                           a sorted set like an index's
    hr:{orders:1:0}:t:<key>                timeline: sorted set, all scores 0: <time>\\0<event id>
    hr:{orders:1:0}:e:<key>                timeline: hash: <event id> -> the entry, JSON
    hr:{orders:1:0}:pos                    hash: <topic>/<partition> -> offset to read next
    hr:{orders:1:0}:log                    hash: <topic>/<partition> -> identity of the log that the offset counts in
    hr:{orders:1:0}:fence                  hash: <topic>/<partition> -> <number> <owner> of who may write
    hr:{orders:1:0}:caught                 hash: <topic>/<partition> -> 1 once it was read to its end
    hr:{orders:1:0}:built                  string: there once all partitions were; without it the bucket is being rebuilt
    hr:{orders:1:0}:quarantine             hash: <topic>/<partition>/<offset> -> what was set aside, JSON
    hr:{orders:1:0}:q:<id>                 hash: <epoch>:<version>, ten digits each -> coordinates of a record that waits
    hr:{orders:1:0}:live                   hash: the projector's last report (lag.py reads it), JSON by <topic>/<partition>
    hr:{orders:1:0}:buckets                string, bucket 0 only: how many buckets this generation was built with
    hr:{orders:1:0}:changes                channel: what an apply changed, JSON [[id, epoch, version], ...]
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Context, Decimal
from enum import Enum
from typing import Any, Final, NamedTuple
from urllib.parse import quote
from zlib import crc32

LEFT_OUT: Final = "*"
NO_VALUE: Final = "!"
"""In the place of a filter's value: no value is written so (it would be quoted), so the list is empty."""
SEPARATOR: Final = b"\0"
SORT_TEXT_CHARACTERS: Final = 64
"""A text is ordered by its first 64 characters, then by key: an index entry stays small whatever the title."""

_PLAIN: Final = re.compile(r"[A-Za-z0-9_.~-]+\Z").match
_ZERO: Final = datetime(1, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = datetime.resolution
_INT_SHIFT: Final = 2**63
_DECIMAL_PLACES: Final = 18
_DECIMAL_SHIFT: Final = Decimal(10) ** 24
_DECIMAL_LEAST: Final = Decimal(1).scaleb(-_DECIMAL_PLACES)
_DECIMAL_UNIT: Final = Decimal(10) ** _DECIMAL_PLACES
_DECIMAL_UNITS: Final = _DECIMAL_UNIT * _DECIMAL_SHIFT
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

    def entries(self, name: str) -> str:
        """Key of a list, by its name (`index_list`, `measure_list`)."""
        return f"{self.tag}:{name}"

    def timeline(self, key: str) -> str:
        """Key of the order of a timeline's entries."""
        return f"{self.tag}:t:{key}"

    def moments(self, key: str) -> str:
        """Key of a timeline's entries."""
        return f"{self.tag}:e:{key}"

    def queue(self, id: str) -> str:
        """Key of the order of the records of an aggregate that wait in the quarantine."""
        return f"{self.tag}:q:{id}"

    @property
    def fence(self) -> str:
        """Key of the hash of fences."""
        return f"{self.tag}:fence"

    @property
    def identities(self) -> str:
        """Key of the hash of the identities of the logs that positions count in."""
        return f"{self.tag}:log"

    @property
    def caught_up(self) -> str:
        """Key of the hash of partitions that were read to their end."""
        return f"{self.tag}:caught"

    @property
    def built(self) -> str:
        """Key of the mark that the bucket is whole."""
        return f"{self.tag}:built"

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
    if type(value) is not str:
        if isinstance(value, Enum):
            value = value.value
        elif isinstance(value, bool):
            value = "true" if value else "false"
        elif isinstance(value, date):
            value = value.isoformat()
        value = str(value)
    # Most values need no quotes, and to see that takes a tenth of what `quote` takes.
    return value if _PLAIN(value) else quote(value, safe="", errors="surrogatepass") or "%"


def sort_text(value: Any) -> bytes:
    """Bytes whose order is the order of the values; None comes first. Texts must not be of mixed types."""
    if value is None:
        return b"0"
    if isinstance(value, str):
        return b"1" + value[:SORT_TEXT_CHARACTERS].replace("\0", "\x01").encode(errors="replace")
    if isinstance(value, datetime):
        return b"1%015x" % _microseconds(value)
    if isinstance(value, date):
        return b"1" + value.isoformat().encode()
    if isinstance(value, int):
        return b"1%016x" % (value + _INT_SHIFT)
    if isinstance(value, Decimal):
        return b"1" + _decimal_text(value)
    return sort_text(str(value))


def sort_value(kind: type[Any], text: bytes) -> Any:
    """The value of a kind (int, Decimal, date or datetime) that `sort_text` wrote so; a datetime is in UTC, None stays None.

    Raises ValueError for another text.
    """
    if text == b"0":
        return None
    digits = text[1:].decode()
    if text[:1] != b"1" or kind not in (int, Decimal, date, datetime):
        raise ValueError(f"{text!r} is not the sort text of a {kind.__name__}")
    if kind is int:
        return int(digits, 16) - _INT_SHIFT
    if kind is date:
        return date.fromisoformat(digits)
    if kind is datetime:
        return _ZERO + int(digits, 16) * _MICROSECOND
    try:
        found = _EXACT.subtract(Decimal(digits), _DECIMAL_SHIFT).normalize(_EXACT)
    except ArithmeticError:
        raise ValueError(f"{text!r} is not the sort text of a Decimal") from None
    return found if found.as_tuple().exponent <= 0 else found.quantize(Decimal(1), context=_EXACT)  # type: ignore[operator]


def _microseconds(value: datetime) -> int:
    """Since year 1, UTC; naive times are local ones, as `astimezone` takes them."""
    since = (value if value.tzinfo else value.astimezone(UTC)) - _ZERO
    return since.days * 86_400_000_000 + since.seconds * 1_000_000 + since.microseconds


def _decimal_text(value: Decimal) -> bytes:
    """The value + 10^24 with 18 places: 44 characters, so that negative numbers are ordered too.

    `fma` and `str` take a quarter of what adding, rounding and formatting take; they do where nothing needs rounding.
    """
    whole, _, rest = str(value.fma(_DECIMAL_UNIT, _DECIMAL_UNITS, _EXACT)).partition(".")
    if rest.strip("0") or not whole.isdecimal():
        rounded = _EXACT.add(value, _DECIMAL_SHIFT).quantize(_DECIMAL_LEAST, context=_EXACT)
        return format(rounded, "044f").encode()
    digits = whole.zfill(43)
    return f"{digits[:-_DECIMAL_PLACES]}.{digits[-_DECIMAL_PLACES:]}".encode()


def member(sort: Any, id: str) -> bytes:
    """An index entry."""
    return sort_text(sort) + SEPARATOR + id.encode()


def member_id(entry: bytes) -> str:
    """The aggregate's id in an index entry; in one that is not ours, and no UTF-8, something that names nothing."""
    return entry.rpartition(SEPARATOR)[2].decode("utf-8", "replace")


class Entry(NamedTuple):
    """A row's place in a list: the list's name (its key without the bucket's prefix), and the member."""

    list: str
    member: bytes


def index_list(index: str, values: Sequence[str]) -> str:
    """Name of an index's list for these filter values, as `filter_text` writes them."""
    return ":".join(("i", index, *values))


def measure_list(measure: str, value: str) -> str:
    """Name of a measure's number, or list of contributions, for this value of what it is kept by, as `filter_text` writes it."""
    return f"m:{measure}:{value}"


def queue_place(epoch: int, version: int) -> str:
    """Name of a version in the queue of a parked aggregate; sorts as versions do."""
    return f"{epoch:010}:{version:010}"
