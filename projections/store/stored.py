"""What readers of the store make of stored bytes.

Invariants: pure; bytes that Headrace did not write are an error that names where they are.
"""

from __future__ import annotations

from projections.errors import WireError
from projections.store.document import Document, unpack, views
from projections.store.keys import member_id
from projections.store.port import Page
from projections.store.refusals import not_ours


def read_document(key: str | bytes, stored: bytes) -> Document:
    """The document in stored bytes. Raises StoreMisconfiguredError."""
    try:
        return unpack(stored)
    except WireError:
        raise not_ours(key) from None


def shown_rows(page: Page) -> Page:
    """The page without rows whose documents show nothing. Raises StoreMisconfiguredError when any of them is not ours."""
    try:
        if all(views(page.stored)):  # type: ignore[arg-type]  # what is None raises
            return page
    except (TypeError, WireError):
        pass  # one by one then
    shown = [
        (at, one) for at, one in zip(page.members, page.stored, strict=True) if one is not None and _shows(at, one)
    ]
    return page._replace(members=[at for at, _ in shown], stored=[one for _, one in shown])


def _shows(member: bytes, stored: bytes) -> bool:
    return read_document(member_id(member), stored).view is not None
