"""The headers of a record: two tuples that are equal to the pairs they were made of."""

from __future__ import annotations

import pytest

from projections.record import Headers, Pair, Record, split


@pytest.mark.parametrize("count", [0, 1, 2, 9, 19, 20, 40])
def test_pairs_are_taken_apart_and_put_together(count: int) -> None:
    pairs: list[Pair] = [(f"name-{n}", None if n == 1 else b"%d" % n) for n in range(count)]
    headers = Headers(*split(pairs))
    assert list(headers) == pairs
    assert len(headers) == count
    assert dict(headers) == dict(pairs)
    assert headers == tuple(pairs)
    assert tuple(pairs) == headers


def test_other_headers_are_not_equal() -> None:
    pairs: tuple[Pair, ...] = (("a", b"1"), ("b", None))
    headers = Headers(*split(pairs))
    for other in ((), pairs[:1], pairs[::-1], (("a", b"1"), ("b", b""))):
        assert headers != other
    assert Record("t", 0, 1, b"k", b"v", headers, 5) == Record("t", 0, 1, b"k", b"v", pairs, 5)
    assert ("a", b"1") in headers
    assert ("a", b"2") not in headers
