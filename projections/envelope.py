"""The CloudEvents envelope of a record: its attributes as bytes and its data, in binary or structured content mode.

Invariants: pure; raises nothing but UnusableError. Binary mode is the rule (`ce_*` headers, the value is the data); a record with
content type `application/cloudevents+json` is read in structured mode, extensions too. Attributes that nobody asks for are not
looked at.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

import msgspec

from projections.record import MAX_VERSION, Pair, Record

HEARTBEAT: Final = b"headrace.heartbeat"
MAX_ID_CHARACTERS: Final = 255
_BAD_CHARACTER: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
"""An id is a part of keys and of index entries, where NUL separates: no control characters, and bounded."""
_NUMBER_DIGITS: Final = 19
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_TIME_CHARACTERS: Final = 64
"""A time with nanoseconds and a zone has 35; more is no time, and would fill the cache of times."""
_SECOND: Final = len("2026-01-01T00:00:00")
_MS: Final = {b".%03dZ" % ms: ms for ms in range(1000)} | {b"Z": 0}
"""The usual ends of a time."""
_TYPE: Final = "content-type"
_PLAIN: Final = b"application/json"
_MODES: Final = b"application/cloudevents"
_STRUCTURED: Final = b"application/cloudevents+json"

Attributes: TypeAlias = Mapping[str, bytes | None]
"""By header name (`ce_type`), whichever mode they came in; headers that are no attributes may be among them."""


class UnusableError(ValueError):
    """Why a record is poison: one of `record.CAUSES`, and words for a person. Never leaves the modules that decode."""

    def __init__(self, cause: str, detail: str) -> None:
        super().__init__(detail)
        self.cause = cause
        self.detail = detail


def read(record: Record) -> tuple[Attributes, bytes | None]:
    """The attributes, and the data: None for a record that carries none. Raises UnusableError."""
    if record.fault is not None:
        raise UnusableError("unreadable", record.fault)
    headers = record.headers
    attributes: dict[str, bytes | None] = dict(headers)
    if len(attributes) != len(headers):
        _refuse_repeated(headers)
    if None in attributes.values():
        _refuse_null(attributes)
    mode = attributes.get(_TYPE)
    if mode is None and "ce_type" not in attributes:
        mode = next((value for name, value in headers if name.lower() == _TYPE), None)
    if mode is not None and mode != _PLAIN and record.value is not None and mode[: len(_MODES)].lower() == _MODES:
        if not mode.lower().startswith(_STRUCTURED):
            raise UnusableError("headers", f"content type {mode[:60]!r}: neither binary nor structured JSON")
        return _structured(record.value)
    return attributes, record.value


def _refuse_repeated(headers: Iterable[Pair]) -> None:
    """A publisher that says two things says neither."""
    seen: dict[str, bytes | None] = {}
    for name, value in headers:
        if name.startswith("ce_") and seen.setdefault(name, value) != value:
            raise UnusableError("headers", f"header {name!r} comes twice, with different values")


def _refuse_null(attributes: Attributes) -> None:
    for name, value in attributes.items():
        if value is None and name.startswith("ce_"):
            raise UnusableError("headers", f"header {name!r} has a null value")


_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_texts: Final = msgspec.json.Decoder(str)


def _structured(value: bytes) -> tuple[Attributes, bytes | None]:
    try:
        members = _members.decode(value)
        data: bytes | None = bytes(members.pop("data", b"null"))
        encoded = members.pop("data_base64", None)
        if encoded is not None:
            data = b64decode(_texts.decode(encoded), validate=True)
        attributes: dict[str, bytes | None] = {f"ce_{name}": _attribute(bytes(raw)) for name, raw in members.items()}
    except (ValueError, RecursionError) as error:  # msgspec's errors and binascii's are ValueErrors
        raise UnusableError("headers", f"not a structured CloudEvent: {error}") from None
    return attributes, None if data == b"null" else data


def _attribute(raw: bytes) -> bytes | None:
    """A text without its quotes, a number or a boolean as it is written, null as what is missing."""
    if raw.startswith(b'"'):
        return _texts.decode(raw).encode()
    if raw == b"null":
        return None
    if raw[:1] in (b"{", b"["):
        raise ValueError("an attribute is a text, a number or a boolean")
    return raw


def text(attributes: Attributes, name: str) -> str:
    """An attribute that must be there. Raises UnusableError."""
    try:
        value = attributes.get(name)
        if not value:
            raise UnusableError("headers", f"attribute {name[3:]!r} is missing")
        return value.decode()
    except UnicodeDecodeError:
        raise UnusableError("headers", f"attribute {name[3:]!r} is not UTF-8") from None


def name_of(value: str, what: str, cause: str) -> str:
    """A text that can be a part of keys. Raises UnusableError."""
    if not value or len(value) > MAX_ID_CHARACTERS or (not value.isprintable() and _BAD_CHARACTER.search(value)):
        problem = f"is empty, longer than {MAX_ID_CHARACTERS} characters, or has control characters"
        raise UnusableError(cause, f"the {what} {problem}")
    return value


def subject(attributes: Attributes) -> tuple[str, str]:
    """What the record is about: the kind of aggregate, and the id. Raises UnusableError."""
    kind, slash, id = text(attributes, "ce_subject").partition("/")
    if not slash or not kind:
        raise UnusableError("subject", "the subject is not <aggregate>/<id>")
    return kind, id


def check_id(id: str, record: Record) -> None:
    """Raises UnusableError unless it can be one, and the record's key is it."""
    name_of(id, "id", "subject")
    if record.key != id.encode(errors="replace"):
        raise UnusableError("subject", "the subject names another aggregate than the record's key")


def number(value: bytes | None, what: str, lowest: int, highest: int = MAX_VERSION) -> int:
    """A whole number in digits. Raises UnusableError."""
    if value is None:
        raise UnusableError("version", f"the {what} is missing")
    found = int(value) if value.isdigit() and len(value) <= _NUMBER_DIGITS and (value[0] != 48 or value == b"0") else -1
    if not lowest <= found <= highest:
        raise UnusableError("version", f"the {what} is not a whole number from {lowest} to {highest}")
    return found


def instant(value: bytes) -> datetime:
    """A time, with its zone. Raises UnusableError."""
    try:
        found = datetime.fromisoformat(value[:_TIME_CHARACTERS].decode().upper())  # RFC 3339 allows a small z
    except ValueError:
        found = datetime.min
    if found.tzinfo is None or len(value) > _TIME_CHARACTERS:
        raise UnusableError("headers", "attribute 'time' is not an RFC 3339 time with a zone")
    return found


def time_ms(value: bytes) -> int:
    """A time in milliseconds since 1970; before that, 0. Raises UnusableError."""
    ms = _MS.get(value[_SECOND:])
    if ms is not None:
        ms += _seconds[value[:_SECOND]]
        return max(0, ms)
    fraction = value[20:-1]
    if value[_SECOND:20] == b"." and value[-1:] == b"Z" and fraction.isdigit() and len(value) <= _TIME_CHARACTERS:
        return max(0, _seconds[value[:_SECOND]] + int(fraction[:3].ljust(3, b"0")))
    return max(0, (instant(value) - _EPOCH) // _MILLISECOND)


class _Seconds(dict[bytes, int]):
    """Milliseconds since 1970 by `2026-01-01T00:00:00`, in UTC. Kept for the events of the same second, of which a log has many."""

    def __missing__(self, second: bytes) -> int:
        found = (instant(second + b"Z") - _EPOCH) // _MILLISECOND
        if len(self) >= _SECONDS_KEPT:
            self.clear()
        self[second] = found
        return found


_SECONDS_KEPT: Final = 4096
_seconds: Final = _Seconds()


def time_us(value: bytes) -> int:
    """A time in microseconds since 1970, below 0 before that. Raises UnusableError."""
    return (instant(value) - _EPOCH) // datetime.resolution
