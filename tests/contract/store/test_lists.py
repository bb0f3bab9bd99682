"""Lists that nobody counts: the first rows of many lists of one index, in one trip."""

import pytest

from projections.store.change import Advance, Applied, BucketChange, Change
from projections.store.document import Document, pack
from projections.store.keys import Bucket, bucket_of, index_list, member, member_id
from projections.store.library import library
from projections.store.lists import MAX_LISTS
from projections.store.port import Listing, Page, PageQuery, Wanted
from projections.store.reading import Trip
from tests.contract.store.conftest import P0, Store, build, page_of
from tests.reads import rows

LISTS = {"all": "abcdefg", "few": "bdf", "one": "e", "none": ""}
VERSIONS = {id: version for version, id in enumerate("abcdefg", 1)}


def name(value: str) -> str:
    return index_list("by", (value,))


def stored(id: str) -> bytes:
    return pack(Document(0, VERSIONS[id], 0, b'{"id":"%b"}' % id.encode()))


def listed(answer: object) -> Page:
    """The answer about a list, where nothing is expected to be wrong with it."""
    assert isinstance(answer, Page), answer
    return answer


def shown(page: Page) -> tuple[str, bool]:
    """The ids of its rows, in order, and whether there are more; each row has the document that it names."""
    found = [member_id(at) for at in page.members]
    assert list(page.members) == [member(id, id) for id in found]
    assert list(page.stored) == [stored(id) for id in found]
    assert (page.total, page.has_previous) == (0, False)
    return "".join(found), page.has_next


async def fill(store: Store, projection: str, buckets: int) -> None:
    for number in range(buckets):
        here = [id for id in VERSIONS if bucket_of(id, buckets) == number]
        changes = [Change(id, None, Document(0, VERSIONS[id], 0, b'{"id":"%b"}' % id.encode())) for id in here]
        added = {name(value): [member(id, id) for id in there if id in here] for value, there in LISTS.items()}
        assert await store.apply(BucketChange(Bucket(projection, 1, number), changes, added=added)) == Applied(
            len(here)
        )
    await build(store, *(Bucket(projection, 1, number) for number in range(buckets)))


def listing(projection: str, buckets: int, limit: int, *, descending: bool = False) -> Listing:
    return Listing(projection, 1, buckets, "by", limit, descending)


@pytest.mark.parametrize("buckets", [1, 3])
@pytest.mark.parametrize("descending", [False, True])
async def test_each_list_has_its_first_rows_in_order_and_says_whether_there_are_more(
    store: Store, unique: str, buckets: int, *, descending: bool
) -> None:
    await fill(store, unique, buckets)
    asked = {listing(unique, buckets, limit, descending=descending): [*LISTS, "never"] for limit in (1, 2, 3, 7, 1000)}
    answer = await store.read(Wanted(lists={at: [name(value) for value in values] for at, values in asked.items()}))
    assert list(answer.lists) == list(asked)
    for at, values in asked.items():
        for value, page in zip(values, answer.lists[at], strict=True):
            there = LISTS.get(value, "")
            there = there[::-1] if descending else there
            assert (value, at.limit, *shown(listed(page))) == (
                value,
                at.limit,
                there[: at.limit],
                len(there) > at.limit,
            )


async def test_a_list_is_as_a_page_of_it_would_be_but_for_its_total(store: Store, unique: str) -> None:
    await fill(store, unique, 3)
    query = PageQuery(unique, 1, 3, "by", ("all",), 4, descending=True)
    at = listing(unique, 3, 4, descending=True)
    answer = await store.read(Wanted(lists={at: [name("all")]}, pages=[query]))
    [page], [of_list] = answer.pages, answer.lists[at]
    assert listed(page).total == len(LISTS["all"])
    assert listed(page)._replace(total=0) == of_list


async def test_more_lists_than_one_call_takes_are_answered_in_their_order(store: Store, unique: str) -> None:
    numbers = range(2 * MAX_LISTS + 1)
    for bucket in (Bucket(unique, 1, 0), Bucket(unique, 1, 1)):
        added = {name(f"{number}"): [member(number, f"{bucket.number}-{number}")] for number in numbers}
        await store.apply(BucketChange(bucket, added=added, caught_up=[P0], partitions=[P0]))
    at = listing(unique, 2, 2)
    answer = await store.read(Wanted(lists={at: [name(f"{number}") for number in reversed(numbers)]}))
    pages = [listed(page) for page in answer.lists[at]]
    assert [[member_id(one) for one in page.members] for page in pages] == [
        [f"0-{number}", f"1-{number}"] for number in reversed(numbers)
    ]
    assert all(list(page.stored) == [None, None] for page in pages), "there are no documents that they name"


@pytest.mark.parametrize("buckets", [1, 3])
def test_lists_of_one_listing_share_calls(unique: str, buckets: int) -> None:
    """One call of a bucket for each MAX_LISTS of them."""
    at = listing(unique, buckets, 5)
    for count, calls in ((1, 1), (MAX_LISTS, 1), (MAX_LISTS + 1, 2)):
        trip = Trip(Wanted(lists={at: [name(f"{n}") for n in range(count)]}), library(), one_slot_each=True)
        assert len(trip.commands) == calls * buckets


async def test_a_row_whose_document_is_gone_is_still_a_row(store: Store, bucket: Bucket) -> None:
    added = {name("all"): [member(id, id) for id in "abc"]}
    change = Change("b", None, Document(0, VERSIONS["b"], 0, b'{"id":"b"}'))
    await store.apply(BucketChange(bucket, [change], added=added, positions={P0: Advance(0, 1)}))
    await build(store, bucket)
    at = listing(bucket.projection, 1, 3)
    [found] = (await store.read(Wanted(lists={at: [name("all")]}))).lists[at]
    assert [member_id(at) for at in listed(found).members] == ["a", "b", "c"]
    assert list(listed(found).stored) == [None, stored("b"), None]


async def test_more_rows_than_a_lua_stack_holds_come_with_their_documents(store: Store, bucket: Bucket) -> None:
    """5 lists of 500 rows each name 2,500 documents, more than one MGET of the function asks for."""
    ids = [f"{number:04}" for number in range(2500)]
    for first in range(0, len(ids), 500):
        here = ids[first : first + 500]
        changes = [Change(id, None, Document(0, int(id) + 1, 0, b"{}")) for id in here]
        await store.apply(BucketChange(bucket, changes, added={name(here[0]): [member(id, id) for id in here]}))
    await build(store, bucket)
    at = listing(bucket.projection, 1, 1000)
    answer = await store.read(Wanted(lists={at: [name(id) for id in ids[::500]]}))
    found = [row for page in answer.lists[at] for row in page_of(rows(page)).rows]
    assert [(row.id, row.document and row.document.version) for row in found] == [(id, int(id) + 1) for id in ids]


async def test_no_lists_of_a_listing_are_no_answers(store: Store, unique: str) -> None:
    at = listing(unique, 2, 5)
    assert (await store.read(Wanted(lists={at: []}))).lists == {at: []}
