"""Most records go a quick way, in decoding and in folding: it says what the whole way says, or leaves the record to that."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from projections import Event, Index, Projection, View, envelope
from projections.decode import Decoder
from projections.measure import Measure
from projections.project import ChangeSet, Projector
from projections.record import Decoded, Headers, Ignored, Outcome, Poison, Record, split
from projections.store.document import PARKED, Document


class Noted(Event):
    text: str
    number: int = 0


class NoteView(View):
    text: str


def evolve(view: NoteView | None, event: Noted) -> NoteView | None:
    if event.text == "raise":
        raise ValueError(event.text)
    if event.text == "delete":
        return None
    return NoteView(text=event.text + ("+" if view else ""))


def declared(*, state: bool = False) -> Projection[NoteView, Noted]:
    return Projection(
        name="notes",
        version=1,
        topics=["notes"],
        aggregate="note",
        evolve=evolve,
        state=state,
        indexes=[Index[NoteView]("by_text", filters=("text",))],
        measures=[Measure[NoteView]("how_many", "count", by="text")],
    )


notes = declared()

GOOD: dict[str, bytes | None] = {
    "ce_type": b"x.Noted",
    "ce_subject": b"note/n-1",
    "ce_time": b"2026-01-01T00:00:00.123Z",
    "ce_aggregateversion": b"7",
    "content-type": b"application/json",
}
ODD: dict[str, list[bytes | None]] = {
    "ce_type": [None, b"", b"x.Other", b"Noted", b"headrace.heartbeat", b"\xff"],
    "ce_subject": [None, b"", b"note/n-2", b"other/n-1", b"note", b"note/", b"note/n\x001", b"note/\xff"],
    "ce_time": [None, b"", b"2026-01-01", b"2026-01-01T00:00:00.1+01:00", b"2026-01-01T00:00:00.12xZ", b"1969-01-01T00:00:00.500Z"],
    "ce_aggregateversion": [None, b"", b"0", b"07", b"-1", b"2147483647", b"2147483648", b"\xd9\xa3", b"999999999", b"1e3"],
    "ce_aggregateepoch": [None, b"0", b"3", b"x"],
    "content-type": [None, b"application/cloudevents+json", b"Application/JSON", b"text/plain"],
    "ce_extra": [None, b"more"],
}  # fmt: skip
VALUES = [b'{"text":"a"}', b'{"text":"a","number":4294967296}', b'{"text":1}', b"{", b"null", b"", None]
KEYS = [b"n-1", b"n-2", b"", None, b"\xff", b"n\x001", b"n" * 300]


@st.composite
def records(draw: st.DrawFn) -> Record:
    """Mostly good, with one thing or two that are odd: what is odd all over says nothing."""
    is_odd = draw(
        st.sets(st.sampled_from(["headers", "gone", "repeated", "subject", "key", "value", "fault"]), max_size=2)
    )
    headers = dict(GOOD)
    if "headers" in is_odd:
        for name in draw(st.lists(st.sampled_from(sorted(ODD)), min_size=1, max_size=2, unique=True)):
            headers[name] = draw(st.sampled_from(ODD[name]))
    if "gone" in is_odd:
        del headers[draw(st.sampled_from(sorted(headers)))]
    repeated = [draw(st.sampled_from(list(headers.items())))] if "repeated" in is_odd else []
    key = draw(st.sampled_from(KEYS)) if "key" in is_odd else b"n-1"
    if key and "subject" in is_odd:
        headers["ce_subject"] = b"note/" + key
    fault = "broken" if "fault" in is_odd else None
    value = draw(st.sampled_from(VALUES)) if "value" in is_odd else VALUES[0]
    pairs = (*headers.items(), *repeated)
    return Record("notes", 0, 1, key, value, Headers(*split(pairs)) if draw(st.booleans()) else pairs, 5, fault)


@settings(max_examples=300)
@given(records(), st.sampled_from([True, True, True, False]))
def test_both_ways_agree(record: Record, is_met: bool) -> None:
    decoder: Any = Decoder(notes)
    if is_met:
        decoder.decode(Record("notes", 0, 0, b"n-1", VALUES[0], tuple(GOOD.items()), 5))
    quick = decoder._usual(record)
    assert quick is None or quick == decoder._any(record)
    assert decoder._usual(record) == quick


TIMES = [
    b"2026-01-01T00:00:00.123Z", b"2026-01-01T00:00:00Z", b"1969-12-31T23:59:59.999Z", b"2026-01-01T00:00:00.1234567Z",
    b"2026-01-01T00:00:00.12Z", b"2026-01-01t00:00:00.123z", b"2026-01-01T00:00:00.123+02:00", b"2026-01-01T00:00+01.123Z",
    b"2026-01-01T00:00:00.12xZ", b"2026-13-01T00:00:00.123Z", b".123Z", b"Z", b"", b"2026-01-01Z", b"2026-01-01T00:00:0Z",
]  # fmt: skip


@given(st.sampled_from(TIMES) | st.datetimes().map(lambda at: f"{at.isoformat(timespec='milliseconds')}Z".encode()))
def test_a_time_is_what_it_says_whichever_way_it_is_read(value: bytes) -> None:
    try:
        whole = max(0, (envelope.instant(value) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1))
    except envelope.UnusableError:
        with pytest.raises(envelope.UnusableError):
            envelope.time_ms(value)
    else:
        assert envelope.time_ms(value) == whole


def test_both_ways_agree_about_each_odd_thing_by_itself() -> None:
    decoder: Any = Decoder(notes)
    decoder.decode(Record("notes", 0, 0, b"n-1", VALUES[0], tuple(GOOD.items()), 5))
    for name, value in ((name, value) for name, values in ODD.items() for value in values):
        kept = [pair for pair in GOOD.items() if pair[0] != name]
        for pairs in (kept, [*kept, (name, value)], [*GOOD.items(), (name, value)], [(name, value), *GOOD.items()]):
            record = Record("notes", 0, 1, b"n-1", VALUES[0], tuple(pairs), 5)
            quick = decoder._usual(record)
            assert quick is None or quick == decoder._any(record), pairs


def test_a_good_record_goes_the_quick_way_once_its_type_was_met() -> None:
    decoder: Any = Decoder(notes)
    record = Record("notes", 0, 1, b"n-1", VALUES[0], tuple(GOOD.items()), 5)
    assert decoder._usual(record) is None
    assert isinstance(decoder.decode(record), Decoded)
    assert decoder._usual(record) == decoder._any(record) == decoder.decode(record)


RECORD = Record("notes", 0, 1, b"n", VALUES[0], (), 5)
placed = st.builds(
    lambda id, epoch, version: (f"n-{id}", epoch, version), *(st.integers(0, high) for high in (2, 1, 4))
)
texts = st.sampled_from(["a", "b", "delete", "raise"])


@st.composite
def outcomes(draw: st.DrawFn) -> Outcome:
    id, epoch, version = draw(placed)
    kind = draw(st.sampled_from(["event", "event", "event", "null", "ignored", "poison", "loose"]))
    if kind == "ignored":
        return Ignored(id, epoch, version, 7, RECORD)
    if kind in ("poison", "loose"):
        return Poison("body", "broken", RECORD, id if kind == "poison" else None, epoch, version)
    return Decoded(id, epoch, version, 7, None if kind == "null" else Noted(text=draw(texts)), RECORD)


documents = st.builds(
    Document,
    epoch=st.integers(0, 1),
    version=st.integers(0, 3),
    time_ms=st.just(3),
    view=st.sampled_from([None, b'{"text":"a"}', b'{"text":"b+"}', b"unreadable"]),
    flags=st.sampled_from([0, 0, PARKED]),
)


@given(
    st.lists(outcomes(), max_size=6), st.dictionaries(st.sampled_from(["n-0", "n-1", "n-2"]), documents), st.booleans()
)
def test_both_ways_fold_alike(batch: list[Outcome], stored: dict[str, Document | None], state: bool) -> None:
    quick, whole = Projector(declared(state=state)), Projector(declared(state=state))
    refuse: Any = lambda *_: False  # noqa: E731
    whole._fold_alone = refuse  # type: ignore[method-assign]
    assert quick.project(batch, stored, {}, 1) == whole.project(batch, stored, {}, 1)


def test_a_record_that_is_due_goes_the_quick_way() -> None:
    projector, result = Projector(notes), ChangeSet()
    first = Decoded("n-1", 0, 1, 7, Noted(text="a"), RECORD)
    assert projector._fold_alone(first, None, result)
    assert projector._fold_alone(Decoded("n-1", 0, 2, 7, Noted(text="b"), RECORD), result.changes[0].document, result)
    assert [change.document.view for change in result.changes] == [b'{"text":"a"}', b'{"text":"b+"}']
    parked = Document(0, 1, 7, None, PARKED)
    for stored in (None, parked, Document(0, 2, 7, None), Document(0, 0, 7, None), Document(1, 1, 7, None)):
        assert not projector._fold_alone(Decoded("n-1", 0, 2, 7, Noted(text="b"), RECORD), stored, result)
