"""What a store of read models answers, decoded: for tests that look at documents and rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from projections.errors import StoreError
from projections.store.document import Document
from projections.store.keys import Bucket, member_id
from projections.store.port import DocumentKey, MeasureQuery, Page, PageQuery, ReaderStore, Wanted
from projections.store.stored import read_document


class Row(NamedTuple):
    """A row of a page, and the document that it names."""

    member: bytes
    id: str
    document: Document | None


class Rows(NamedTuple):
    """A page whose documents are decoded."""

    rows: Sequence[Row]
    total: int
    has_previous: bool
    has_next: bool


class Read(NamedTuple):
    """In the order of what was asked for; what is wrong with an item is in its place."""

    documents: list[Document | StoreError | None]
    pages: list[Rows | StoreError]
    measures: list[int | bytes | StoreError | None]


async def read(
    store: ReaderStore,
    documents: Sequence[DocumentKey] = (),
    pages: Sequence[PageQuery] = (),
    measures: Sequence[MeasureQuery] = (),
) -> Read:
    """Reads all of it in one trip; a document may be asked for more than once."""
    wanted: dict[Bucket, dict[str, int]] = {}
    for bucket, id in documents:
        places = wanted.setdefault(bucket, {})
        places.setdefault(id, len(places))
    answer = await store.read(Wanted({bucket: list(ids) for bucket, ids in wanted.items()}, {}, pages, measures))
    return Read(
        [document(key, answer.documents[key.bucket][wanted[key.bucket][key.id]]) for key in documents],
        [rows(page) for page in answer.pages],
        list(answer.measures),
    )


def document(key: DocumentKey, found: bytes | StoreError | None) -> Document | StoreError | None:
    """A document as a reader gets it."""
    if found is None or isinstance(found, StoreError):
        return found
    try:
        return read_document(key.id, found)
    except StoreError as error:
        return error


def rows(page: Page | StoreError) -> Rows | Any:
    """A page as a reader gets it."""
    if isinstance(page, StoreError):
        return page
    try:
        found = [
            Row(at, member_id(at), None if one is None else read_document(member_id(at), one))
            for at, one in zip(page.members, page.stored, strict=True)
        ]
    except StoreError as error:
        return error
    return Rows(found, page.total, page.has_previous, page.has_next)


def document_keys(wanted: Wanted) -> list[DocumentKey]:
    """The documents that a trip asks for."""
    return [DocumentKey(bucket, id) for bucket, ids in wanted.documents.items() for id in ids]


def list_count(wanted: Wanted) -> int:
    """How many lists a trip asks for, whether anybody wants to know how long they are or not."""
    return sum(map(len, wanted.lists.values())) + len(wanted.pages)
