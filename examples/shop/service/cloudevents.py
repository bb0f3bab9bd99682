"""Facts as CloudEvents 1.0 on Kafka, binary content mode: outbox row -> record, record -> what was heard.

- `ce_id` follows from aggregate and version, so the same fact published twice is the same event.
- Reading is strict: a record without a usable key, type or version is unreadable, never guessed at.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from examples.shop.service.declare import Event, Heard, Listening
from examples.shop.service.fields import KEY_PATTERN
from examples.shop.service.log import Incoming, Outgoing
from examples.shop.service.outbox import OutboxRow

MAX_VERSION = 2**31 - 1
_KEY = re.compile(KEY_PATTERN)
_NUMBER = re.compile(rb"[0-9]{1,10}")


class UnreadableError(ValueError):
    """A record that is not a fact of the topic's aggregate. Never leaves the kit: it is logged and skipped."""


def encode(row: OutboxRow, source: str) -> Outgoing:
    """The record of a fact; `source` is the URI of the service."""
    subject = f"{row.aggregate}/{row.key}"
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", f"{subject}/{row.epoch}/{row.version}".encode()),
        ("ce_source", source.encode()),
        ("ce_type", row.type.encode()),
        ("ce_time", row.time.encode()),
        ("ce_subject", subject.encode()),
        ("ce_aggregateversion", b"%d" % row.version),
        ("content-type", b"application/json"),
    ]
    if row.epoch:
        headers.append(("ce_aggregateepoch", b"%d" % row.epoch))
    if row.correlation_id is not None:
        headers.append(("ce_correlationid", row.correlation_id.encode()))
    if row.causation_id is not None:
        headers.append(("ce_causationid", row.causation_id.encode()))
    if row.traceparent is not None:
        headers.append(("traceparent", row.traceparent.encode()))
    return Outgoing(row.key.encode(), row.data, headers)


def decode(record: Incoming, listening: Listening[Any]) -> Heard | None:
    """What a record says; None when it is about no aggregate (a heartbeat). Raises `UnreadableError`."""
    headers = dict(record.headers)
    kind = _text(headers, "ce_type")
    if kind.startswith("headrace."):
        return None
    version = _number(headers, "ce_aggregateversion", None)
    epoch = _number(headers, "ce_aggregateepoch", b"0")
    if not 1 <= version <= MAX_VERSION or epoch > MAX_VERSION:
        raise UnreadableError(f"version {version} of epoch {epoch} is out of range")
    key = _key(record, listening, headers)
    if record.value is None:
        return Heard(key, epoch, version, None, removed=True)
    return Heard(key, epoch, version, _event(record.value, listening.events.get(kind)))


def _event(value: bytes, kind: type[Event] | None) -> Event | None:
    if kind is None:
        return None
    try:
        return msgspec.json.decode(value, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnreadableError(f"the data is no {kind.__name__}: {error}") from error


def _key(record: Incoming, listening: Listening[Any], headers: Mapping[str, bytes]) -> str:
    try:
        key = (record.key or b"").decode()
    except UnicodeDecodeError as error:
        raise UnreadableError("the key is not UTF-8") from error
    subject = _text(headers, "ce_subject")
    if not _KEY.match(key) or subject != f"{listening.topic.aggregate}/{key}":
        raise UnreadableError(f"key {key!r} and subject {subject!r} are not of one {listening.topic.aggregate}")
    return key


def _text(headers: Mapping[str, bytes], name: str) -> str:
    try:
        return headers[name].decode()
    except (KeyError, UnicodeDecodeError) as error:
        raise UnreadableError(f"{name} is missing or not UTF-8") from error


def _number(headers: Mapping[str, bytes], name: str, default: bytes | None) -> int:
    given = headers.get(name, default)
    if given is None or not _NUMBER.fullmatch(given):
        raise UnreadableError(f"{name} is missing or not a whole number")
    return int(given)
