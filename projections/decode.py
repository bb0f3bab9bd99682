"""Record -> Decoded | Ignored | Heartbeat | Foreign | Poison, for one projection: whose record it is, which version, which event.

Invariants: pure and total; no record raises, whatever is in it. A poison record whose place in the history of its aggregate could
be read says so.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

import msgspec

from projections import envelope
from projections.declare import Event, Projection
from projections.envelope import Attributes, UnusableError
from projections.errors import WireError
from projections.record import (
    DETAIL_CHARACTERS,
    Decoded,
    Foreign,
    Headers,
    Heartbeat,
    Ignored,
    Outcome,
    Poison,
    Record,
    split,
)
from projections.upcasts import Upcast, upcasts_of
from projections.wire import Codec

T = TypeVar("T")

MAX_ORDER: Final = 2**62 - 1
"""Largest value of a `version_of` attribute: epoch and version are its upper and its lower 31 bits."""
_LOWER: Final = 2**31 - 1
_KINDS_KEPT: Final = 1000
"""Types and sets of header names that were met are looked up at once; who makes them up does not fill the memory."""


_USUAL: Final = ("ce_type", "ce_subject", "ce_aggregateversion", "ce_time", "content-type")
_Pick: TypeAlias = Callable[[tuple[Any, ...]], tuple[Any, ...]]
"""The values of `_USUAL` among those of a record's headers."""
_VERSIONS: Final = {b"%d" % number: number for number in range(1, 1000)}
_SHORT_DIGITS: Final = 9
"""Versions of so many digits are small enough, whatever they are."""
_ZERO: Final = ord("0")


class _Reader(NamedTuple):
    """How an event of one type is read."""

    codec: Codec[Event]
    upcast: Callable[[Event], Event] | None = None


Readers: TypeAlias = dict[str, _Reader]


class Decoder:
    """Decodes the records of one projection."""

    def __init__(self, projection: Projection[Any, Any]) -> None:
        self._aggregate = projection.aggregate
        self._subject = f"{projection.aggregate}/".encode()
        self._state = projection.state
        self._order = None if projection.version_of is None else f"ce_{projection.version_of}"
        self._readers = _readers(projection)
        self._met: dict[bytes, _Reader | None] = {}
        self._picks: dict[tuple[str, ...], _Pick | None] = {}
        self._names: tuple[str, ...] = ()
        self._pick: _Pick | None = None

    def decode(self, record: Record) -> Outcome:
        """What the record is."""
        return self._usual(record) or self._any(record)

    def _usual(self, record: Record) -> Decoded | None:
        """The event of a record as nearly all are: binary mode, a type that was met before, nothing odd. None: look closely.

        It says nothing that `_any` would not say, in two thirds of its time.
        """
        data, key, pairs = record.value, record.key, record.headers
        if data is None or not key or record.fault is not None:
            return None
        names, values = (pairs.names, pairs.values) if type(pairs) is Headers else split(pairs)
        pick = self._pick if names == self._names else self._picked(names)
        if pick is None or not all(values):
            return None
        kind, subject, version, time, content = pick(values)
        reader = self._met.get(kind)
        if (
            reader is None
            or reader.upcast is not None
            or subject != self._subject + key
            or content != b"application/json"
            or (number := _VERSIONS.get(version) or _short(version)) is None
        ):
            return None
        try:
            id = key.decode()
            if len(id) > envelope.MAX_ID_CHARACTERS or not id.isprintable():
                return None
            return Decoded(id, 0, number, envelope.time_ms(time), reader.codec.decode(data), record)
        except Exception:  # noqa: BLE001 - whatever it is, it is told by the closer look
            return None

    def _picked(self, names: tuple[str, ...]) -> _Pick | None:
        """What takes the values that are looked at, of headers of these names; None when they are not the usual ones.

        The names of the last record are kept: those of the next one are nearly always the same.
        """
        if names not in self._picks:
            unusual = self._order is not None or "ce_aggregateepoch" in names or len(set(names)) < len(names)
            is_usual = not unusual and all(name in names for name in _USUAL)
            if len(self._picks) >= _KINDS_KEPT:
                self._picks.clear()
            self._picks[names] = itemgetter(*map(names.index, _USUAL)) if is_usual else None
        self._names, self._pick = names, self._picks[names]
        return self._pick

    def _any(self, record: Record) -> Outcome:
        try:
            attributes, data = envelope.read(record)
            kind = attributes.get("ce_type")
            if kind == envelope.HEARTBEAT:
                return Heartbeat(_heartbeat_ms(attributes), record)
            key = record.key
            if key and attributes.get("ce_subject") == self._subject + key:
                id = key.decode()
                envelope.name_of(id, "id", "subject")
            else:
                aggregate, id = envelope.subject(attributes)
                if aggregate != self._aggregate:
                    envelope.text(attributes, "ce_type")
                    return Foreign(record)
                envelope.check_id(id, record)
            epoch, version = self._place(attributes)
        except UnusableError as refusal:
            return Poison(refusal.cause, refusal.detail, record)
        except Exception as defect:  # noqa: BLE001 - a record must not wedge its projection, whatever is in it
            return Poison("headers", f"the envelope cannot be read: {_told(defect)}", record)
        time_ms = max(0, record.timestamp_ms)
        try:
            if (time := attributes.get("ce_time")) is not None:
                time_ms = envelope.time_ms(time)
            reader = self._reader(attributes, kind)
            if record.value is None:
                if not self._state:
                    raise UnusableError("tombstone", "a null value on a topic of domain events")
                return Decoded(id, epoch, version, time_ms, None, record)
            if reader is None:
                return Ignored(id, epoch, version, time_ms, record)
            if data is None:
                raise UnusableError(
                    "body", "a structured CloudEvent without data: only a record with a null value deletes"
                )
            return Decoded(id, epoch, version, time_ms, _event(reader, data), record)
        except UnusableError as refusal:
            return Poison(refusal.cause, refusal.detail, record, id, epoch, version, time_ms)

    def _place(self, attributes: Attributes) -> tuple[int, int]:
        """(epoch, version)."""
        if self._order is not None:
            return self._ordered(attributes.get(self._order))
        epoch = attributes.get("ce_aggregateepoch")
        version = envelope.number(attributes.get("ce_aggregateversion"), "version", 1)
        return 0 if epoch is None else envelope.number(epoch, "epoch", 0), version

    def _ordered(self, value: bytes | None) -> tuple[int, int]:
        """(epoch, version) from an attribute that only grows: a number, or a time in microseconds since 1970."""
        name = (self._order or "").removeprefix("ce_")
        if value is None or value.isdigit():
            order = envelope.number(value, f"attribute {name!r}", 1, MAX_ORDER)
        else:
            try:
                order = envelope.time_us(value)
            except UnusableError:
                order = 0
        if not 1 <= order <= MAX_ORDER:
            told = (
                f"attribute {name!r} is neither a whole number from 1 to {MAX_ORDER} nor a time after 1970 with a zone"
            )
            raise UnusableError("version", told)
        return order >> 31, order & _LOWER

    def _reader(self, attributes: Attributes, kind: bytes | None) -> _Reader | None:
        if kind is not None and kind in self._met:
            return self._met[kind]
        text = envelope.text(attributes, "ce_type")
        reader = self._readers.get(text) or self._readers.get(text.rpartition(".")[2])
        if len(self._met) < _KINDS_KEPT:
            self._met[text.encode()] = reader
        return reader


def _short(version: bytes) -> int | None:
    """A version that is written as it should be, and in few digits; None: look closely."""
    is_short = version.isdigit() and len(version) <= _SHORT_DIGITS and version[0] != _ZERO
    return int(version) if is_short else None


def _readers(projection: Projection[Any, Any]) -> Readers:
    events = projection.events
    found: Readers = {name: _Reader(Codec(kind)) for name, kind in events.items()}
    upcasts = upcasts_of(projection.upcasts, events, Event, f"Projection {projection.name!r}")
    return found | {name: _Reader(Codec(upcast.old), _upcast(upcast)) for name, upcast in upcasts.items()}


def _upcast(upcast: Upcast) -> Callable[[Event], Event]:
    normal = Codec[Event](upcast.new).normal
    return lambda event: normal(upcast.apply(event))


def _heartbeat_ms(attributes: Attributes) -> int:
    return envelope.time_ms(envelope.text(attributes, "ce_time").encode())


def _event(reader: _Reader, data: bytes) -> Event:
    event = read_event(reader.codec, data)
    return event if reader.upcast is None else _guarded(reader.upcast, event)


def read_event(codec: Codec[Event], data: bytes) -> Event:
    """The event in the data of a record. Raises UnusableError."""
    return _guarded(codec.decode, data)


def _guarded(read: Callable[[Any], T], value: Any) -> T:
    try:
        return read(value)
    except (WireError, OverflowError) as error:
        raise UnusableError("wire", str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnusableError("body", str(error)) from None
    except Exception as error:  # noqa: BLE001 - an author's `__post_init__` or upcast may raise anything
        raise UnusableError("body", _told(error)) from None


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:DETAIL_CHARACTERS]
