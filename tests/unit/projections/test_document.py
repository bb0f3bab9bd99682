"""The header of a stored document: narrow where that holds all, and what it refuses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.errors import WireError
from projections.store.document import PARKED, Document, guard, header_bytes, pack, unpack

NARROW, WIDE = 10, 17
LARGEST = 2**31 - 1

documents = st.builds(
    Document,
    st.integers(0, 2) | st.integers(0, LARGEST),
    st.integers(0, LARGEST) | st.integers(2**24 - 2, 2**24 + 1),
    st.integers(0, 2**63 - 1) | st.integers(2**48 - 2, 2**48 + 1),
    st.none() | st.binary(min_size=1),
    st.sampled_from([0, PARKED]),
)


@given(documents)
def test_what_is_packed_is_unpacked(document: Document) -> None:
    assert unpack(pack(document)) == document
    assert header_bytes(pack(document)) == len(pack(document._replace(view=None)))


@given(documents, documents)
def test_guards_are_equal_for_equal_places_and_flags(one: Document, other: Document) -> None:
    assert (guard(one) == guard(other)) == ((*one.at, one.flags) == (*other.at, other.flags))
    assert guard(one) == guard(one._replace(time_ms=other.time_ms, view=other.view))


@pytest.mark.parametrize(
    ("epoch", "version", "time_ms", "size"),
    [
        (0, 0, 0, NARROW),
        (0, 2**24 - 1, 2**48 - 1, NARROW),
        (0, 2**24, 0, WIDE),
        (0, 1, 2**48, WIDE),
        (1, 1, 0, WIDE),
        (LARGEST, LARGEST, 2**63 - 1, WIDE),
    ],
)
def test_a_header_is_as_narrow_as_it_can_be(epoch: int, version: int, time_ms: int, size: int) -> None:
    assert len(pack(Document(epoch, version, time_ms, None))) == size


@pytest.mark.parametrize("view", [None, b"{}"])
def test_other_bytes_are_refused(view: bytes | None) -> None:
    narrow, wide = pack(Document(0, 7, 1, view)), pack(Document(1, 7, 1, view))
    for data in (
        b"",
        narrow[: NARROW - 1],
        wide[: WIDE - 1],
        b"\x01" + narrow[1:],
        b"\x30" + wide[1:],
        b'{"a":1234567890}',
    ):
        with pytest.raises(WireError):
            unpack(data)
