"""Pages of an index: bounds, both directions, both orders, gathered over buckets."""

import pytest

from projections.store.change import BucketChange, Change
from projections.store.document import Document
from projections.store.keys import Bucket, bucket_of, index_list, member
from projections.store.port import PageQuery
from tests.contract.store.conftest import Store, build, page_of
from tests.reads import Rows, read

ROWS = "abcdefg"
ALL = index_list("all", ())


async def fill(store: Store, projection: str, buckets: int) -> None:
    for id in ROWS:
        bucket = Bucket(projection, 1, bucket_of(id, buckets))
        change = Change(id, None, Document(0, 1, 0, b"{}"))
        await store.apply(BucketChange(bucket, [change], added={ALL: [member(id, id)]}))
    await build(store, *(Bucket(projection, 1, number) for number in range(buckets)))


def shown(page: Rows) -> tuple[str, bool, bool]:
    assert [row.member for row in page.rows] == [member(row.id, row.id) for row in page.rows]
    assert all(row.document == Document(0, 1, 0, b"{}") for row in page.rows)
    return "".join(row.id for row in page.rows), page.has_previous, page.has_next


CASES = [
    # limit, after, before, backward, ascending answer, descending answer (bounds swapped below)
    (10, None, None, False, ("abcdefg", False, False), ("gfedcba", False, False)),
    (3, None, None, False, ("abc", False, True), ("gfe", False, True)),
    (3, None, None, True, ("efg", True, False), ("cba", True, False)),
    (2, "c", None, False, ("de", True, True), ("ba", True, False)),
    (2, "c", None, True, ("fg", True, False), ("ba", True, False)),
    (2, None, "c", False, ("ab", False, True), ("gf", False, True)),
    (2, None, "d", True, ("bc", True, True), ("fe", True, True)),
    (9, "b", "f", False, ("cde", True, True), ("", True, True)),
    (2, "b", "f", True, ("de", True, True), ("", True, True)),
    (5, "g", None, False, ("", True, False), ("fedcb", True, True)),
    (5, None, "a", True, ("", False, True), ("fedcb", True, True)),
    (0, None, None, False, ("", False, False), ("", False, False)),
    (0, "c", None, False, ("", True, False), ("", True, False)),
    (0, None, "c", False, ("", False, True), ("", False, True)),
    (4, "bb", "ff", False, ("cdef", True, True), ("", True, True)),
]


@pytest.mark.parametrize("buckets", [1, 3])
async def test_pages(store: Store, unique: str, buckets: int) -> None:
    await fill(store, unique, buckets)
    queries, answers = [], []
    for limit, after, before, backward, ascending, descending in CASES:
        for down, answer in ((False, ascending), (True, descending)):
            queries.append(
                PageQuery(
                    unique,
                    1,
                    buckets,
                    "all",
                    (),
                    limit,
                    descending=down,
                    after=member(after, after) if after else None,
                    before=member(before, before) if before else None,
                    backward=backward,
                )
            )
            answers.append(answer)
    _, pages, _ = await read(store, [], queries)
    for query, page, answer in zip(queries, map(page_of, pages), answers, strict=True):
        assert (query, shown(page)) == (query, answer)
        assert page.total == len(ROWS)


async def test_a_list_that_is_not_there_is_empty(store: Store, unique: str) -> None:
    query = PageQuery(unique, 1, 2, "all", ("x",), 5, after=b"1a\0a")
    await build(store, *(Bucket(unique, 1, number) for number in range(2)))
    _, pages, _ = await read(store, [], [query])
    assert pages == [Rows([], 0, False, False)]


@pytest.mark.parametrize("limit", [-1, 1001])
async def test_a_limit_out_of_range_is_refused(store: Store, unique: str, limit: int) -> None:
    with pytest.raises(ValueError, match="limit"):
        await read(store, [], [PageQuery(unique, 1, 1, "all", (), limit)])


async def test_a_thousand_rows_with_their_documents(store: Store, bucket: Bucket) -> None:
    for start in range(0, 1000, 100):
        rows = {f"{n:04}": n for n in range(start, start + 100)}
        changes = [Change(id, None, Document(0, n + 1, 0, b"{}")) for id, n in rows.items()]
        await store.apply(BucketChange(bucket, changes, added={ALL: [member(n, id) for id, n in rows.items()]}))
    await build(store, bucket)
    _, [page], _ = await read(store, [], [PageQuery(bucket.projection, 1, 1, "all", (), 1000, descending=True)])
    assert [row.document and row.document.version for row in page_of(page).rows] == list(range(1000, 0, -1))
