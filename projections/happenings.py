"""Record -> Moment, and Moments -> ChangeSet: the decoding and projecting of a timeline.

Invariants: pure and total; nothing is folded, so no version is needed and nothing ever waits: an entry is a fact of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from typing import Any, Final

from projections import envelope
from projections.declare import Event
from projections.decode import read_event
from projections.envelope import Attributes, UnusableError
from projections.project import ChangeSet
from projections.record import DETAIL_CHARACTERS, Foreign, Heartbeat, Moment, Outcome, Poison, Record
from projections.store.change import Append
from projections.store.keys import member
from projections.timeline import Happening, Timeline
from projections.wire import Codec

MAX_WORDS: Final = 1000
"""Characters of what happened: an entry is a line in a list, not a document."""


class HappeningDecoder:
    """Decodes the records of one timeline.

    Foreign is what is not in it: types that it does not name, events that its author keeps out, null values.
    """

    def __init__(self, timeline: Timeline[Any]) -> None:
        self._entry = timeline.entry
        self._codecs: dict[str, Codec[Event]] = {name: Codec(kind) for name, kind in timeline.events.items()}
        self._happenings: Codec[Happening] = Codec(Happening)

    def decode(self, record: Record) -> Outcome:
        """What the record is."""
        try:
            attributes, data = envelope.read(record)
            kind = envelope.text(attributes, "ce_type")
            if kind.encode() == envelope.HEARTBEAT:
                return Heartbeat(envelope.time_ms(envelope.text(attributes, "ce_time").encode()), record)
            codec = self._codecs.get(kind) or self._codecs.get(kind.rpartition(".")[2])
            if codec is None or record.value is None:
                return Foreign(record)
            if data is None:
                raise UnusableError("body", "a structured CloudEvent without data")
            return self._moment(record, attributes, kind, read_event(codec, data))
        except UnusableError as refusal:
            return Poison(refusal.cause, refusal.detail, record)
        except Exception as defect:  # noqa: BLE001 - a record must not wedge its timeline, whatever is in it
            return Poison("headers", f"the envelope cannot be read: {_told(defect)}", record)

    def _moment(self, record: Record, attributes: Attributes, kind: str, event: Event) -> Outcome:
        _, id = envelope.subject(attributes)
        envelope.check_id(id, record)
        event_id = envelope.name_of(envelope.text(attributes, "ce_id"), "event's id", "headers")
        identity = _identity(event_id, attributes)
        time = envelope.text(attributes, "ce_time").encode()
        at = envelope.instant(time)
        correlation = attributes.get("ce_correlationid")
        try:
            entry = self._entry(event, id)
            if entry is None:
                return Foreign(record)
            if not isinstance(entry.key, str) or not isinstance(entry.what, str):
                raise TypeError(f"an Entry has texts, and this is {entry!r}")
            key = envelope.name_of(entry.key, "entry's key", "evolve")
            happening = Happening(
                what=_words(entry.what),
                at=at.astimezone(UTC),
                type=kind,
                subject=envelope.text(attributes, "ce_subject"),
                event_id=event_id,
                correlation_id=None if correlation is None else correlation.decode(errors="replace"),
                topic=record.topic,
                partition=record.partition,
                offset=str(record.offset),
            )
            kept = self._happenings.encode(happening)
        except UnusableError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever the author's code raises, the record is at hand
            raise UnusableError("evolve", _told(error)) from None
        return Moment(key, identity, envelope.time_ms(time), member(happening.at, identity), kept, record)


class HappeningProjector:
    """Puts the entries of one timeline where they belong."""

    def project(self, outcomes: Sequence[Outcome]) -> ChangeSet:
        """One append per event; one that comes again within the batch is a duplicate."""
        result = ChangeSet()
        seen: set[tuple[str, str]] = set()
        for outcome in outcomes:
            if isinstance(outcome, Poison):
                result.set_aside.append(outcome)
            elif isinstance(outcome, Moment):
                if (outcome.key, outcome.event_id) in seen:
                    result.duplicates += 1
                    continue
                seen.add((outcome.key, outcome.event_id))
                result.appends.append(Append(outcome.key, outcome.event_id, outcome.member, outcome.entry))
        return result


def _words(what: str) -> str:
    if len(what) > MAX_WORDS:
        raise UnusableError("evolve", f"what happened has {len(what)} characters: an Entry has at most {MAX_WORDS}")
    return what


def _identity(event_id: str, attributes: Attributes) -> str:
    """CloudEvents make an id unique within its source alone, and a timeline has events of several."""
    if "ce_source" not in attributes:
        return event_id
    source = envelope.name_of(envelope.text(attributes, "ce_source"), "event's source", "headers")
    return f"{source} {event_id}"


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:DETAIL_CHARACTERS]
