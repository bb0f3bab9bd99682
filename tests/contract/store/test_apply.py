"""What `apply` promises: all or nothing, guarded by positions and versions, whatever is sent twice."""

import asyncio

import pytest

from projections.log.port import Partition
from projections.store.document import Document
from projections.store.keys import Bucket, Entry, member
from projections.store.port import (
    Advance,
    Applied,
    BucketChange,
    Change,
    Conflict,
    DocumentKey,
    Full,
    PageQuery,
    Regressed,
    SetAside,
)
from tests.contract.store.conftest import Store, page_of

P0, P1 = Partition("orders", 0), Partition("orders", 1)


def document(version: int, view: bytes | None = b'{"a":1}', epoch: int = 0) -> Document:
    return Document(epoch, version, 1_700_000_000_000 + version, view)


def place(id: str, value: str = "*") -> Entry:
    return Entry("by_status", (value,), member(id, id))


async def listed(store: Store, bucket: Bucket, value: str = "*") -> list[str]:
    query = PageQuery(bucket.projection, bucket.generation, 1, "by_status", (value,), limit=100)
    _, [page] = await store.read([], [query])
    return [row.id for row in page_of(page).rows]


async def everything(store: Store, bucket: Bucket, ids: list[str]) -> tuple[object, ...]:
    """All that a refused call must leave as it is."""
    return (
        await store.documents(bucket, ids),
        await store.positions(bucket),
        await store.quarantined(bucket),
        await listed(store, bucket),
        await listed(store, bucket, "OPEN"),
    )


async def test_writes_documents_entries_positions_and_what_was_set_aside(store: Store, bucket: Bucket) -> None:
    change = BucketChange(
        bucket,
        [
            Change("a", None, document(1), added=frozenset([place("a"), place("a", "OPEN")])),
            Change("b", None, document(4, view=None, epoch=2)),
        ],
        [SetAside("orders/0/7", b'{"cause":"body"}')],
        {P0: Advance(0, 8), P1: Advance(0, 3)},
    )
    assert await store.apply(change) == Applied(applied=2, duplicates=0, set_aside=1)
    assert await store.documents(bucket, ["b", "a", "never"]) == [document(4, view=None, epoch=2), document(1), None]
    assert await store.positions(bucket) == {P0: 8, P1: 3}
    assert await store.quarantined(bucket) == {"orders/0/7": b'{"cause":"body"}'}
    assert await listed(store, bucket) == ["a"]
    assert await listed(store, bucket, "OPEN") == ["a"]


async def test_removes_the_old_entries(store: Store, bucket: Bucket) -> None:
    await store.apply(BucketChange(bucket, [Change("a", None, document(1), added=frozenset([place("a", "OPEN")]))]))
    moved = Change("a", (0, 1), document(2), frozenset([place("a", "OPEN")]), frozenset([place("a", "DONE")]))
    await store.apply(BucketChange(bucket, [moved]))
    assert await listed(store, bucket, "OPEN") == []
    assert await listed(store, bucket, "DONE") == ["a"]


async def test_a_call_sent_again_is_told_where_the_position_is_now(store: Store, bucket: Bucket) -> None:
    change = BucketChange(bucket, [Change("a", None, document(1))], positions={P0: Advance(0, 1), P1: Advance(0, 5)})
    await store.apply(change)
    before = await everything(store, bucket, ["a"])
    assert await store.apply(change) == Regressed({P0: 1, P1: 5})
    assert await everything(store, bucket, ["a"]) == before


async def test_a_store_that_lost_its_tail_tells_where_to_resume(store: Store, bucket: Bucket) -> None:
    await store.apply(BucketChange(bucket, positions={P0: Advance(0, 10)}))
    outcome = await store.apply(BucketChange(bucket, positions={P0: Advance(20, 21), P1: Advance(0, 1)}))
    assert outcome == Regressed({P0: 10, P1: 0})
    assert await store.positions(bucket) == {P0: 10}


async def test_a_position_may_go_back(store: Store, bucket: Bucket) -> None:
    """A topic that was made anew starts from 0."""
    await store.apply(BucketChange(bucket, positions={P0: Advance(0, 400)}))
    assert await store.apply(BucketChange(bucket, positions={P0: Advance(400, 2)})) == Applied(0, 0, 0)
    assert await store.positions(bucket) == {P0: 2}


@pytest.mark.parametrize("stored", [(0, 3), (0, 9), (1, 1)])
async def test_an_older_or_equal_document_is_a_duplicate(store: Store, bucket: Bucket, stored: tuple[int, int]) -> None:
    epoch, version = stored
    await store.apply(BucketChange(bucket, [Change("a", None, document(version, epoch=epoch))]))
    late = Change("a", (0, 2), document(3, view=b'{"late":1}'), added=frozenset([place("a")]))
    other = Change("b", None, document(1))
    outcome = await store.apply(BucketChange(bucket, [late, other], positions={P0: Advance(0, 2)}))
    assert outcome == Applied(applied=1, duplicates=1, set_aside=0)
    assert await store.documents(bucket, ["a"]) == [document(version, epoch=epoch)]
    assert await listed(store, bucket) == []
    assert await store.positions(bucket) == {P0: 2}


@pytest.mark.parametrize(
    ("stored", "base"),
    [((0, 1), None), (None, (0, 4)), ((0, 3), (0, 4)), ((0, 9), (0, 10)), ((0, 4), (1, 4)), ((1, 1), (0, 2**31 - 1))],
)
async def test_another_older_document_is_a_conflict(
    store: Store, bucket: Bucket, stored: tuple[int, int] | None, base: tuple[int, int] | None
) -> None:
    """Numbers, not texts: 9 is older than 10."""
    if stored:
        await store.apply(BucketChange(bucket, [Change("a", None, document(stored[1], epoch=stored[0]))]))
    before = await everything(store, bucket, ["a", "b"])
    change = BucketChange(
        bucket,
        [Change("b", None, document(1), added=frozenset([place("b")])), Change("a", base, document(5, epoch=2))],
        [SetAside("orders/0/1", b"{}")],
        {P0: Advance(0, 2)},
    )
    assert await store.apply(change) == Conflict(["a"])
    assert await everything(store, bucket, ["a", "b"]) == before


async def test_a_full_quarantine_refuses_the_call(store: Store, bucket: Bucket) -> None:
    first = [SetAside(f"orders/0/{offset}", b"{}") for offset in range(2)]
    await store.apply(BucketChange(bucket, set_aside=first, positions={P0: Advance(0, 2)}))
    before = await everything(store, bucket, ["a"])
    more = [SetAside(f"orders/0/{offset}", b"{}") for offset in range(2, 4)]
    change = BucketChange(bucket, [Change("a", None, document(1))], more, {P0: Advance(2, 4)})
    assert await store.apply(change) == Full(2)
    assert await everything(store, bucket, ["a"]) == before


async def test_a_replay_into_a_full_quarantine_takes_no_more_room(store: Store, bucket: Bucket) -> None:
    all_three = [SetAside(f"orders/0/{offset}", b"{}") for offset in range(3)]
    await store.apply(BucketChange(bucket, set_aside=all_three))
    assert await store.apply(BucketChange(bucket, set_aside=all_three)) == Applied(0, 0, 3)
    assert len(await store.quarantined(bucket)) == 3


async def test_a_replay_into_a_quarantine_above_a_lowered_bound_goes_through(store: Store, bucket: Bucket) -> None:
    all_three = [SetAside(f"orders/0/{offset}", b"{}") for offset in range(3)]
    await store.apply(BucketChange(bucket, set_aside=all_three))
    store._quarantine_max = 1
    assert await store.apply(BucketChange(bucket, set_aside=all_three[:1])) == Applied(0, 0, 1)
    assert await store.apply(BucketChange(bucket, set_aside=[SetAside("orders/0/9", b"{}")])) == Full(3)


async def test_a_full_quarantine_does_not_hold_up_good_records(store: Store, bucket: Bucket) -> None:
    await store.apply(BucketChange(bucket, set_aside=[SetAside(f"orders/0/{n}", b"{}") for n in range(3)]))
    assert await store.apply(BucketChange(bucket, [Change("a", None, document(1))])) == Applied(1, 0, 0)


async def test_the_largest_numbers_survive(store: Store, bucket: Bucket) -> None:
    top = 2**31 - 1
    newest = Document(top, top, 2**53 - 1, b"{}", flags=1)
    await store.apply(BucketChange(bucket, [Change("a", None, newest)], positions={P0: Advance(0, 2**53 - 1)}))
    assert await store.documents(bucket, ["a"]) == [newest]
    assert await store.positions(bucket) == {P0: 2**53 - 1}


async def test_ids_and_views_of_any_text(store: Store, bucket: Bucket) -> None:
    ids = ["a:b/c", "{tag}", "über-näß", "日本", "a b*?", "🛒" * 60]
    changes = [Change(id, None, document(1, view=b'{"x":"\xc3\xa9"}'), added=frozenset([place(id)])) for id in ids]
    await store.apply(BucketChange(bucket, changes))
    assert await store.documents(bucket, ids) == [document(1, view=b'{"x":"\xc3\xa9"}')] * len(ids)
    assert sorted(await listed(store, bucket)) == sorted(ids)


async def test_concurrent_calls_from_one_position_apply_once(store: Store, bucket: Bucket) -> None:
    changes = [
        BucketChange(bucket, [Change(f"{n}", None, document(1))], positions={P0: Advance(0, n + 1)}) for n in range(8)
    ]
    outcomes = await asyncio.gather(*(store.apply(change) for change in changes))
    assert sum(isinstance(outcome, Applied) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, Regressed) for outcome in outcomes) == 7


async def test_a_report_replaces_the_one_before(store: Store, bucket: Bucket) -> None:
    await store.report(bucket, {"orders/0": b"1", "orders/1": b"2"})
    await store.report(bucket, {"orders/0": b"3"})
    other = Bucket(bucket.projection, 1, 1)
    assert await store.reports([other, bucket]) == [{}, {"orders/0": b"3"}]


async def test_reads_documents_of_several_buckets_in_order(store: Store, bucket: Bucket) -> None:
    other = Bucket(bucket.projection, 2, 5)
    await store.apply(BucketChange(bucket, [Change("a", None, document(1))]))
    await store.apply(BucketChange(other, [Change("a", None, document(2))]))
    found, pages = await store.read([DocumentKey(other, "a"), DocumentKey(bucket, "b"), DocumentKey(bucket, "a")], [])
    assert found == [document(2), None, document(1)]
    assert pages == []


async def test_empty_questions_are_answered(store: Store, bucket: Bucket) -> None:
    assert await store.documents(bucket, []) == []
    assert await store.read([], []) == ([], [])
    assert await store.reports([]) == []
    assert await store.positions(bucket) == {}
    assert await store.quarantined(bucket) == {}
    assert await store.apply(BucketChange(bucket)) == Applied(0, 0, 0)
