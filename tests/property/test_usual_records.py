"""What a decoder says of a record does not depend on how closely it looked: the quick way and the whole way agree."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from projections import Event, Projection, View
from projections.decode import Decoder
from projections.record import Decoded, Record


class Noted(Event):
    text: str
    number: int = 0


class NoteView(View):
    text: str


def evolve(view: NoteView | None, event: Noted) -> NoteView | None:
    return NoteView(text=event.text)


notes = Projection(name="notes", version=1, topics=["notes"], aggregate="note", evolve=evolve)

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
    headers = dict(GOOD)
    for name in draw(st.lists(st.sampled_from(sorted(ODD)), max_size=2, unique=True)):
        headers[name] = draw(st.sampled_from(ODD[name]))
    for name in draw(st.lists(st.sampled_from(sorted(GOOD)), max_size=1)):
        del headers[name]
    repeated = draw(st.lists(st.sampled_from(list(headers.items())), max_size=1)) if draw(st.booleans()) else []
    key = draw(st.sampled_from(KEYS))
    if key and draw(st.booleans()):
        headers["ce_subject"] = b"note/" + key
    fault = draw(st.sampled_from([None, None, None, "broken"]))
    value = draw(st.sampled_from(VALUES))
    return Record("notes", 0, 1, key, value, (*headers.items(), *repeated), 5, fault)


@given(records(), st.booleans())
def test_both_ways_agree(record: Record, is_met: bool) -> None:
    decoder: Any = Decoder(notes)
    if is_met:
        decoder.decode(Record("notes", 0, 0, b"n-1", VALUES[0], tuple(GOOD.items()), 5))
    quick = decoder._usual(record)
    assert quick is None or quick == decoder._any(record)


def test_a_good_record_goes_the_quick_way_once_its_type_was_met() -> None:
    decoder: Any = Decoder(notes)
    record = Record("notes", 0, 1, b"n-1", VALUES[0], tuple(GOOD.items()), 5)
    assert decoder._usual(record) is None
    assert isinstance(decoder.decode(record), Decoded)
    assert decoder._usual(record) == decoder._any(record) == decoder.decode(record)
