"""Record -> Decoded | Ignored | Heartbeat | Foreign | Poison: the CloudEvents envelope and the event in it.

Invariants: pure and total; no record raises, whatever is in it. Binary content mode is the rule (`ce_*` headers, the value is the
data); a record with content type `application/cloudevents+json` is read in structured mode.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec

from projections.declare import Event, Projection
from projections.errors import WireError
from projections.record import MAX_VERSION, Decoded, Foreign, Heartbeat, Ignored, Outcome, Poison, Record
from projections.wire import Codec

HEARTBEAT: Final = "headrace.heartbeat"
STRUCTURED: Final = b"application/cloudevents+json"

_ID: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f]{1,255}\Z")
"""An id is a part of keys and of index entries, where NUL separates: no control characters, and bounded."""
_NUMBER: Final = re.compile(r"(?:0|[1-9][0-9]{0,9})\Z")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


class _UnusableError(ValueError):
    """Why a record is poison; never leaves this module."""

    def __init__(self, cause: str, detail: str) -> None:
        super().__init__(detail)
        self.cause = cause
        self.detail = detail


class Envelope(NamedTuple):
    """The attributes that matter here, as texts, and the data. `data` is None for a record that carries none."""

    attributes: Mapping[str, str]
    data: bytes | None


class Decoder:
    """Decodes the records of one projection."""

    def __init__(self, projection: Projection[Any, Any]) -> None:
        self._aggregate = projection.aggregate
        self._state = projection.state
        self._codecs: dict[str, Codec[Event]] = {name: Codec(kind) for name, kind in projection.events.items()}

    def decode(self, record: Record) -> Outcome:
        """What the record is."""
        try:
            return self._decode(record)
        except _UnusableError as refusal:
            return Poison(refusal.cause, refusal.detail, record)
        except Exception as defect:  # noqa: BLE001 - a record must not wedge its projection, whatever is in it
            return Poison("headers", f"the envelope cannot be read: {type(defect).__name__}: {defect}", record)

    def _decode(self, record: Record) -> Outcome:
        if record.fault is not None:
            raise _UnusableError("unreadable", record.fault)
        attributes, data = _envelope(record)
        kind = _required(attributes, "type")
        if kind == HEARTBEAT:
            _required(attributes, "time")
            return Heartbeat(_time_ms(attributes, record), record)
        aggregate, slash, id = _required(attributes, "subject").partition("/")
        if not slash or not aggregate:
            raise _UnusableError("subject", "the subject is not <aggregate>/<id>")
        if aggregate != self._aggregate:
            return Foreign(record)
        if not _ID.match(id):
            raise _UnusableError("subject", "the id is empty, longer than 255 characters, or has control characters")
        if record.key != id.encode(errors="replace"):
            raise _UnusableError("subject", "the subject names another aggregate than the record's key")
        version = _number(_required(attributes, "aggregateversion"), 1, "version")
        epoch = _number(attributes.get("aggregateepoch", "0"), 0, "epoch")
        time_ms = _time_ms(attributes, record)
        if data is None:
            if not self._state:
                raise _UnusableError("tombstone", "a null value on a topic of domain events")
            return Decoded(id, epoch, version, time_ms, None, record)
        codec = self._codecs.get(kind) or self._codecs.get(kind.rpartition(".")[2])
        if codec is None:
            return Ignored(id, epoch, version, time_ms, record)
        return Decoded(id, epoch, version, time_ms, _event(codec, data), record)


def _envelope(record: Record) -> Envelope:
    attributes: dict[str, str] = {}
    try:
        for name, value in record.headers:
            if name.startswith("ce_"):
                if value is None:
                    raise _UnusableError("headers", f"header {name!r} has a null value")
                attributes[name[3:]] = value.decode()
            elif (
                value is not None
                and record.value is not None
                and name.lower() == "content-type"
                and value.startswith(STRUCTURED)
            ):
                return _structured(record.value)
    except UnicodeDecodeError:
        raise _UnusableError("headers", f"header {name!r} is not UTF-8") from None
    return Envelope(attributes, record.value)


class _Structured(msgspec.Struct, rename={"content_type": "datacontenttype"}):
    type: str | None = None
    subject: str | None = None
    time: str | None = None
    aggregateversion: int | str | None = None
    aggregateepoch: int | str | None = None
    content_type: str | None = None
    data: msgspec.Raw = msgspec.Raw(b"null")
    data_base64: str | None = None


_structured_decoder = msgspec.json.Decoder(_Structured)


def _structured(value: bytes) -> Envelope:
    try:
        event = _structured_decoder.decode(value)
        data = bytes(event.data) if event.data_base64 is None else b64decode(event.data_base64, validate=True)
    except (ValueError, RecursionError) as error:  # msgspec's errors and binascii's are ValueErrors
        raise _UnusableError("headers", f"not a structured CloudEvent: {error}") from None
    names = ("type", "subject", "time", "aggregateversion", "aggregateepoch")
    attributes = {name: str(found) for name in names if (found := getattr(event, name)) is not None}
    return Envelope(attributes, None if data == b"null" else data)


def _required(attributes: Mapping[str, str], name: str) -> str:
    value = attributes.get(name)
    if not value:
        raise _UnusableError("version" if name == "aggregateversion" else "headers", f"attribute {name!r} is missing")
    return value


def _number(text: str, lowest: int, what: str) -> int:
    number = int(text) if _NUMBER.match(text) else -1
    if not lowest <= number <= MAX_VERSION:
        raise _UnusableError("version", f"the {what} is not a whole number from {lowest} to {MAX_VERSION}")
    return number


def _time_ms(attributes: Mapping[str, str], record: Record) -> int:
    """The event's own time, or the log's, in milliseconds since 1970; times before that count as 0."""
    text = attributes.get("time")
    if text is None:
        return max(0, record.timestamp_ms)
    try:
        return max(0, (datetime.fromisoformat(text) - _EPOCH) // _MILLISECOND)
    except (ValueError, TypeError, OverflowError):  # TypeError: a time without a zone
        raise _UnusableError("headers", "attribute 'time' is not an RFC 3339 time with a zone") from None


def _event(codec: Codec[Event], data: bytes) -> Event:
    try:
        return codec.decode(data)
    except (WireError, OverflowError) as error:
        raise _UnusableError("wire", str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _UnusableError("body", str(error)) from None
    except Exception as error:  # noqa: BLE001 - an author's `__post_init__` may raise anything
        raise _UnusableError("body", f"{type(error).__name__}: {error}") from None
