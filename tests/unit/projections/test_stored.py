"""What readers make of stored bytes: the documents in them, and the rows of a page that show something."""

from __future__ import annotations

import pytest

from projections.errors import StoreMisconfiguredError, WireError
from projections.store.document import Document, pack, views
from projections.store.keys import member
from projections.store.port import Page
from projections.store.stored import read_document, shown_rows

SHOWN = pack(Document(0, 1, 0, b'{"a":1}'))
SHOWN_WIDE = pack(Document(3, 1, 0, b'{"b":2}'))
HIDDEN = pack(Document(0, 2, 0, None))
HIDDEN_WIDE = pack(Document(3, 2, 0, None))
STRANGE = [b"", b"\x02", b"not Headrace's", SHOWN[:5], SHOWN_WIDE[:12], b"\xff" * 40]


def page(*stored: bytes | None) -> Page:
    return Page([member(number, f"r{number}") for number in range(len(stored))], list(stored), 9, True, False)


def test_a_document_is_read() -> None:
    assert read_document("a", SHOWN) == Document(0, 1, 0, b'{"a":1}')


@pytest.mark.parametrize("strange", STRANGE)
def test_what_headrace_did_not_write_is_named_by_its_place(strange: bytes) -> None:
    with pytest.raises(StoreMisconfiguredError, match="here"):
        read_document("here", strange)


def test_a_page_whose_rows_all_show_something_is_left_as_it_is() -> None:
    whole = page(SHOWN, SHOWN_WIDE, SHOWN)
    assert shown_rows(whole) == whole
    assert shown_rows(page()) == page()


def test_rows_that_show_nothing_are_left_out_and_the_rest_stays_as_it_is() -> None:
    found = shown_rows(page(None, SHOWN, HIDDEN, SHOWN_WIDE, HIDDEN_WIDE, None))
    assert found == Page([member(1, "r1"), member(3, "r3")], [SHOWN, SHOWN_WIDE], 9, True, False)
    assert shown_rows(page(HIDDEN)) == Page([], [], 9, True, False)


@pytest.mark.parametrize("strange", STRANGE)
@pytest.mark.parametrize("others", [(SHOWN,), (SHOWN, None), (HIDDEN,), (SHOWN, HIDDEN_WIDE, None)])
def test_a_page_with_anything_strange_in_it_is_an_error_that_names_the_row(
    strange: bytes, others: tuple[bytes | None, ...]
) -> None:
    with pytest.raises(StoreMisconfiguredError, match=f"r{len(others)}"):
        shown_rows(page(*others, strange, *others))


def test_views_of_many() -> None:
    assert views([SHOWN, SHOWN_WIDE, HIDDEN, HIDDEN_WIDE]) == [b'{"a":1}', b'{"b":2}', b"", b""]
    for strange in (b"", b"\x02", b"not Headrace's", SHOWN_WIDE[:12]):
        with pytest.raises(WireError):
            views([SHOWN, strange])
