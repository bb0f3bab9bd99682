"""What a record turns out to be: the envelope, the event, and every way in which it can be unusable."""

import json
from base64 import b64encode
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections import envelope
from projections.decode import Decoder
from projections.record import CAUSES, Decoded, Foreign, Heartbeat, Ignored, Poison, Record
from projections.wire import Codec
from tests.unit.projections.samples import OPENED, CartState, Item, Opened, Renamed, cart_states, carts, headers, record

decode = Decoder(carts).decode
decode_state = Decoder(cart_states).decode
TIME_MS = 1_714_564_800_123


def without(source: Record, *names: str, **instead: bytes | None) -> Record:
    """The record with some headers left out or replaced."""
    kept = tuple((name, value) for name, value in source.headers if name not in (*names, *instead))
    return msgspec.structs.replace(source, headers=(*kept, *instead.items()))


def test_binary_mode() -> None:
    source = record(version=7, epoch=2)
    opened = Opened(owner="ann", at=datetime(2024, 5, 1, 12, tzinfo=UTC), items=[Item(sku="s", price=Decimal("1.50"))])
    assert decode(source) == Decoded("c-1", 2, 7, TIME_MS, opened, source)


def test_the_epoch_is_0_and_the_time_is_the_log_s_when_left_out() -> None:
    found = decode(without(record(), "ce_time"))
    assert isinstance(found, Decoded)
    assert (found.epoch, found.time_ms) == (0, 1_000)


@pytest.mark.parametrize("kind", ["shop.carts.Opened", "Opened", "any.prefix.Opened"])
def test_the_last_part_of_the_type_names_the_event(kind: str) -> None:
    found = decode(record(kind=kind))
    assert isinstance(found, Decoded)
    assert isinstance(found.event, Opened)


def test_a_whole_type_where_the_event_declares_one() -> None:
    found = decode(record(kind="other.team.Renamed", data={"owner": "bob", "unknown": [{}]}))
    assert isinstance(found, Decoded)
    assert found.event == Renamed(owner="bob")
    assert isinstance(decode(record(kind="my.team.Renamed", data=b"anything")), Ignored)


def test_a_type_that_is_not_named_is_ignored_whatever_its_body() -> None:
    source = record(version=4, kind="shop.carts.Weighed", data=b"\xff not JSON")
    assert decode(source) == Ignored("c-1", 0, 4, TIME_MS, source)


def test_another_aggregate_passes() -> None:
    source = record(id="x", version="nonsense", aggregate="basket")
    assert decode(source) == Foreign(source)


def test_a_heartbeat() -> None:
    beat = Record(
        "shop.carts", 0, 3, None, None, (("ce_type", b"headrace.heartbeat"), ("ce_time", b"1970-01-01T00:00:01Z")), 9
    )
    assert decode(beat) == Heartbeat(1_000, beat)
    assert decode(without(beat, "ce_time")) == Poison(
        "headers", "attribute 'time' is missing", without(beat, "ce_time")
    )


def test_a_null_value_is_a_tombstone_of_a_state_topic_and_poison_elsewhere() -> None:
    source = record(kind="shop.carts.CartRemoved", data=None, version=3)
    assert decode_state(source) == Decoded("c-1", 0, 3, TIME_MS, None, source)
    found = decode(source)
    assert isinstance(found, Poison)
    assert found.cause == "tombstone"


def test_structured_mode_has_all_attributes() -> None:
    source = structured(correlationid="cmd-1", id="e-1", flag=True, nothing=None)
    attributes, data = envelope.read(source)
    assert (attributes["ce_correlationid"], attributes["ce_id"], attributes["ce_flag"]) == (b"cmd-1", b"e-1", b"true")
    assert attributes["ce_nothing"] is None
    assert data == b'{"owner": "ann"}'


def test_a_tombstone_has_its_attributes_in_headers_whatever_the_mode() -> None:
    source = without(record(data=None, version=3), **{"content-type": b"application/cloudevents+json"})
    assert isinstance(decode_state(source), Decoded)


def structured(**changes: Any) -> Record:
    event = {
        "specversion": "1.0",
        "type": "shop.carts.CartState",
        "subject": "cart/c-1",
        "time": "2024-05-01T12:00:00.123+00:00",
        "aggregateversion": 5,
        "datacontenttype": "application/json",
        "data": {"owner": "ann"},
    } | changes
    value = json.dumps({name: value for name, value in event.items() if value is not ...}).encode()
    return Record("t", 0, 0, b"c-1", value, (("content-type", b"application/cloudevents+json; charset=utf-8"),), 1)


def test_structured_mode() -> None:
    source = structured(aggregateepoch=1)
    assert decode_state(source) == Decoded("c-1", 1, 5, TIME_MS, CartState(owner="ann"), source)
    source = structured(aggregateversion="6", data=..., data_base64=b64encode(b'{"owner":"bob"}').decode())
    assert decode_state(source) == Decoded("c-1", 0, 6, TIME_MS, CartState(owner="bob"), source)


@pytest.mark.parametrize("changes", [{"data": ...}, {"data": None}])
@pytest.mark.parametrize("decode_any", [decode, decode_state])
def test_a_structured_event_without_data_is_no_tombstone(changes: dict[str, Any], decode_any: Any) -> None:
    kind = "shop.carts.Opened" if decode_any is decode else "shop.carts.CartState"
    found = decode_any(structured(type=kind, **changes))
    assert isinstance(found, Poison)
    assert (found.cause, found.id, found.version) == ("body", "c-1", 5)
    source = structured(type="shop.carts.Weighed", **changes)
    assert decode_any(source) == Ignored("c-1", 0, 5, TIME_MS, source)


def test_a_null_value_deletes_whatever_its_type_is_called() -> None:
    source = record(kind="shop.carts.NobodyNamedThis", data=None, version=3)
    assert decode_state(source) == Decoded("c-1", 0, 3, TIME_MS, None, source)


@pytest.mark.parametrize(
    "value",
    [b"", b"[]", b"{", b'{"type":1}', b"\xff\xfe", b'{"aggregateversion":1.5}', b'{"data_base64":"%"}', b"[" * 5000],
)
def test_a_broken_structured_event_is_poison(value: bytes) -> None:
    source = msgspec.structs.replace(structured(), value=value)
    found = decode_state(source)
    assert isinstance(found, Poison)
    assert found.cause == "headers"


def twice(name: str, value: bytes) -> Record:
    """A record that says two things."""
    source = record()
    return msgspec.structs.replace(source, headers=((name, value), *source.headers))


def test_a_header_that_comes_twice_and_says_the_same_is_one() -> None:
    assert isinstance(decode(twice("ce_aggregateversion", b"1")), Decoded)
    assert isinstance(
        decode(msgspec.structs.replace(record(), headers=(("x", b"1"), *twice("x", b"2").headers))), Decoded
    )


BROKEN: list[tuple[str, Record]] = [
    ("headers", without(record(), "ce_type")),
    ("headers", without(record(), "ce_subject")),
    ("headers", without(record(), ce_type=b"")),
    ("headers", without(record(), ce_type=b"\xff")),
    ("headers", without(record(), ce_type=None)),
    ("headers", without(record(), ce_tenant=None)),
    ("headers", twice("ce_aggregateversion", b"2")),
    ("headers", twice("ce_type", b"shop.carts.Closed")),
    ("headers", without(record(), ce_time=b"2024-05-01T12:00:00." + b"0" * 100 + b"Z")),
    ("headers", without(record(), ce_time=b"\xff")),
    ("headers", without(record(), **{"content-type": b"application/cloudevents-batch+json"})),
    ("headers", without(record(), **{"content-type": b"application/cloudevents+avro"})),
    ("headers", without(record(), **{"content-type": b"application/cloudevents+json"})),
    ("headers", without(record(), ce_time=b"yesterday")),
    ("headers", without(record(), ce_time=b"2024-05-01T12:00:00")),
    ("headers", msgspec.structs.replace(record(), headers=())),
    ("subject", without(record(), ce_subject=b"cart")),
    ("subject", without(record(), ce_subject=b"/c-1")),
    ("subject", without(record(), ce_subject=b"cart/")),
    ("subject", without(record(), ce_subject=b"cart/c-2")),
    ("subject", without(record(), ce_subject=b"c" * 1_000_000)),
    ("headers", without(record(), ce_subject=b"cart/\xff")),
    ("subject", msgspec.structs.replace(record(), key=None)),
    ("subject", msgspec.structs.replace(record(), key=b"\xff")),
    ("subject", record(id="a\0b")),
    ("subject", record(id="a\nb")),
    ("subject", record(id="a\x85b")),
    ("subject", record(id="x" * 256)),
    ("version", without(record(), "ce_aggregateversion")),
    *(
        ("version", record(version=text))
        for text in ("²", "9" * 1_000_000, "0", "-1", "1.0", "01", "+1", "1e3", "", " 1", "٣", 2**31, 10**30)
    ),
    *(("version", record(epoch=text)) for text in ("-1", "x", 2**31)),
    ("body", record(data=b"")),
    ("body", record(data=b"{")),
    ("body", record(data=b"[]")),
    ("body", record(data=b"\xff\xfe{}")),
    ("body", record(data={"owner": 1})),
    ("body", record(data={**OPENED, "at": "yesterday"})),
    ("body", record(data={**OPENED, "items": [{"sku": "s", "price": "many"}]})),
    ("body", record(data=b'{"deep":' + b"[" * 100_000)),
    ("wire", record(data={**OPENED, "at": "2024-05-01T12:00:00"})),
    ("wire", record(data={**OPENED, "items": [{"sku": "s", "price": "NaN"}]})),
    ("wire", record(data={**OPENED, "items": [{"sku": "s", "price": "1e999999"}]})),
    ("wire", record(data={**OPENED, "at": "0001-01-01T00:00:00+10:00"})),
]


@pytest.mark.parametrize(("cause", "source"), BROKEN)
def test_a_record_that_cannot_be_used_is_poison(cause: str, source: Record) -> None:
    found = decode(source)
    assert isinstance(found, Poison)
    assert (found.cause, found.record) == (cause, source)
    assert found.detail
    assert cause in CAUSES


@pytest.mark.parametrize("id", ["x" * 255, "a b", "a:b/c", "ü" * 255, "{x}", "日本"])
def test_ids_that_are_fine(id: str) -> None:
    found = decode(record(id=id, version=2**31 - 1, epoch=2**31 - 1))
    assert isinstance(found, Decoded)
    assert found.id == id


@pytest.mark.parametrize(
    ("time", "ms"),
    [
        ("1970-01-01T00:00:01Z", 1_000),
        ("1970-01-01T00:00:01.5Z", 1_500),
        ("1970-01-01T00:00:01.123456789Z", 1_123),
        ("1970-01-01T00:00:01.000999Z", 1_000),
        ("1970-01-01T02:00:01.25+02:00", 1_250),
        ("1970-01-01t00:00:01.001z", 1_001),
        ("1970-01-01 00:00:01+00:00", 1_000),
        ("1969-12-31T23:59:59.999Z", 0),
    ],
)
def test_times_to_the_millisecond(time: str, ms: int) -> None:
    found = decode(record(time=time))
    assert isinstance(found, Decoded)
    assert found.time_ms == ms


@pytest.mark.parametrize("time", ["1970-01-01T00:00:61.5Z", "1970-01-01T00:00:01.5", ".5Z"])
def test_times_that_are_none(time: str) -> None:
    assert isinstance(decode(record(time=time)), Poison)


def test_a_time_before_1970_counts_as_0() -> None:
    found = decode(record(time="1492-10-12T00:00:00Z"))
    assert isinstance(found, Decoded)
    assert found.time_ms == 0


@pytest.mark.parametrize("defect", [ZeroDivisionError("a defect"), KeyError("a defect"), AttributeError("a defect")])
def test_whatever_the_decoding_of_an_event_raises_is_poison(defect: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def defective(codec: object, data: bytes) -> None:
        raise defect

    monkeypatch.setattr(Codec, "decode", defective)
    found = decode(record())
    assert isinstance(found, Poison)
    assert found.cause == "body"
    assert type(defect).__name__ in found.detail


def test_a_record_that_the_log_could_not_read_whole_is_poison() -> None:
    source = msgspec.structs.replace(record(), fault="header name b'\\xff' is not UTF-8")
    assert decode(source) == Poison("unreadable", "header name b'\\xff' is not UTF-8", source)
    assert "unreadable" in CAUSES


PLACED: list[tuple[str, Record]] = [
    ("headers", without(record(version=3, epoch=1), "ce_type")),
    ("headers", without(record(version=3, epoch=1), ce_type=b"\xff")),
    ("headers", record(version=3, epoch=1, time="yesterday")),
    ("body", record(version=3, epoch=1, data=b"{")),
    ("body", record(version=3, epoch=1, data=b"\x00" * 1_000_000)),
    ("wire", record(version=3, epoch=1, data={**OPENED, "at": "2024-05-01T12:00:00"})),
    ("tombstone", record(version=3, epoch=1, data=None)),
]


@pytest.mark.parametrize(("cause", "source"), PLACED)
def test_poison_says_its_place_where_that_can_be_read(cause: str, source: Record) -> None:
    found = decode(source)
    assert isinstance(found, Poison)
    assert (found.cause, found.id, found.epoch, found.version) == (cause, "c-1", 1, 3)
    assert found.time_ms in (TIME_MS, 1_000)


def test_poison_of_no_place_says_none() -> None:
    for source in (record(version=0), without(record(), "ce_subject"), msgspec.structs.replace(record(), key=b"x")):
        found = decode(source)
        assert isinstance(found, Poison)
        assert (found.id, found.epoch, found.version) == (None, 0, 0)


def test_types_that_are_made_up_fill_no_memory() -> None:
    decoder = Decoder(carts)
    for n in range(3_000):
        assert isinstance(decoder.decode(record(kind=f"made.up.{n}")), Ignored)
    assert isinstance(decoder.decode(record()), Decoded)
    assert len(decoder._met) <= 1_000


attribute_names = st.sampled_from(
    ["ce_type", "ce_subject", "ce_aggregateversion", "ce_aggregateepoch", "ce_time", "ce_x", "content-type", "x"]
)
header_values = st.one_of(
    st.none(),
    st.binary(max_size=8),
    st.sampled_from([b"cart/c-1", b"shop.carts.Opened", b"headrace.heartbeat", b"1", b"application/cloudevents+json"]),
)


@given(
    headers=st.lists(st.tuples(attribute_names, header_values), max_size=8),
    key=st.sampled_from([None, b"c-1", b"\xff"]),
    value=st.one_of(st.none(), st.binary(max_size=20), st.just(b'{"type":"Opened","data":{}}')),
    whole=st.booleans(),
)
def test_no_record_raises(
    headers: list[tuple[str, bytes | None]], key: bytes | None, value: bytes | None, whole: bool
) -> None:
    """On top of a good record's headers, or alone."""
    good = record().headers if whole else ()
    source = Record("shop.carts", 0, 0, key, value, (*good, *headers), 0)
    for found in (decode(source), decode_state(source)):
        assert isinstance(found, Decoded | Foreign | Heartbeat | Ignored | Poison)
        assert not isinstance(found, Poison) or found.cause in CAUSES


def test_headers_of_others_are_no_matter() -> None:
    others = (("x", b""), ("y", None), ("content-type", None))
    source = msgspec.structs.replace(
        record(), headers=(("traceparent", b"\xff"), *headers("c-1", 1, "shop.carts.Opened").items(), *others)
    )
    assert isinstance(decode(source), Decoded)
