"""What `apply` promises of documents, lists and positions: all or nothing, a strict compare-and-set."""

import asyncio

import pytest

from projections.errors import StoreMisconfiguredError
from projections.store.change import (
    Advance,
    Applied,
    BucketChange,
    Change,
    Conflict,
    Fence,
    Regressed,
    SetAside,
    Standing,
)
from projections.store.document import PARKED, Document
from projections.store.keys import Bucket, index_list, member
from projections.store.port import DocumentKey, PageQuery, ReadAnswer, Wanted
from tests.contract.store.conftest import P0, P1, Dump, Store, build, page_of
from tests.reads import read

ALL, OPEN, DONE = (index_list("by_status", (value,)) for value in ("*", "OPEN", "DONE"))


def document(version: int, view: bytes | None = b'{"a":1}', epoch: int = 0, flags: int = 0) -> Document:
    return Document(epoch, version, 1_700_000_000_000 + version, view, flags)


def row(id: str) -> bytes:
    return member(id, id)


async def listed(store: Store, bucket: Bucket, value: str = "*") -> list[str]:
    await build(store, bucket)
    query = PageQuery(bucket.projection, bucket.generation, 1, "by_status", (value,), limit=100)
    _, [page], _ = await read(store, [], [query])
    return [row.id for row in page_of(page).rows]


async def test_writes_documents_lists_positions_and_what_was_set_aside(store: Store, bucket: Bucket) -> None:
    change = BucketChange(
        bucket,
        [Change("a", None, document(1)), Change("b", None, document(4, view=None, epoch=2))],
        [SetAside("orders/0/7", b'{"cause":"body"}')],
        positions={P0: Advance(0, 8, "first"), P1: Advance(0, 3)},
        added={ALL: [row("a")], OPEN: [row("a")]},
    )
    assert await store.apply(change) == Applied(applied=2, set_aside=1)
    assert await store.documents(bucket, ["b", "a", "never"]) == [document(4, view=None, epoch=2), document(1), None]
    standing = await store.standing(bucket)
    assert standing.positions == {P0: 8, P1: 3}
    assert standing.identities == {P0: "first"}
    assert await store.quarantined(bucket) == {"orders/0/7": b'{"cause":"body"}'}
    assert await listed(store, bucket) == ["a"]
    assert await listed(store, bucket, "OPEN") == ["a"]


async def test_removes_the_old_members(store: Store, bucket: Bucket) -> None:
    await store.apply(BucketChange(bucket, [Change("a", None, document(1))], added={OPEN: [row("a")]}))
    moved = Change("a", document(1), document(2))
    await store.apply(BucketChange(bucket, [moved], removed={OPEN: [row("a")]}, added={DONE: [row("a")]}))
    assert await listed(store, bucket, "OPEN") == []
    assert await listed(store, bucket, "DONE") == ["a"]


async def test_a_member_that_is_removed_and_added_stays(store: Store, bucket: Bucket) -> None:
    await store.apply(BucketChange(bucket, added={OPEN: [row("a")]}))
    await store.apply(BucketChange(bucket, removed={OPEN: [row("a")]}, added={OPEN: [row("a")]}))
    assert await listed(store, bucket, "OPEN") == ["a"]


async def test_a_call_sent_again_is_told_where_the_position_is_now(store: Store, bucket: Bucket, dump: Dump) -> None:
    change = BucketChange(bucket, [Change("a", None, document(1))], positions={P0: Advance(0, 1), P1: Advance(0, 5)})
    await store.apply(change)
    before = await dump(bucket)
    assert await store.apply(change) == Regressed({P0: 1, P1: 5})
    assert await dump(bucket) == before


async def test_a_store_that_lost_its_tail_tells_where_to_resume(store: Store, bucket: Bucket, dump: Dump) -> None:
    await store.apply(BucketChange(bucket, positions={P0: Advance(0, 10)}))
    before = await dump(bucket)
    change = BucketChange(bucket, positions={P0: Advance(20, 21, "other"), P1: Advance(0, 1)}, fence=Fence(1, "me"))
    assert await store.apply(change) == Regressed({P0: 10, P1: 0})
    assert await dump(bucket) == before


async def test_a_position_may_go_back(store: Store, bucket: Bucket) -> None:
    """A topic that was made anew starts from 0, and has another identity."""
    await store.apply(BucketChange(bucket, positions={P0: Advance(0, 400, "old")}))
    assert await store.apply(BucketChange(bucket, positions={P0: Advance(400, 0, "new")})) == Applied(0)
    assert await store.apply(BucketChange(bucket, positions={P0: Advance(0, 2)})) == Applied(0)
    standing = await store.standing(bucket)
    assert (standing.positions, standing.identities) == ({P0: 2}, {P0: "new"})


@pytest.mark.parametrize(
    ("stored", "base"),
    [
        (document(1), None),
        (None, document(4)),
        (document(3), document(4)),
        (document(9), document(10)),
        (document(4), document(4, epoch=1)),
        (document(1, epoch=1), document(2**31 - 1)),
        (document(4, flags=PARKED), document(4)),
        (document(4), document(4, flags=PARKED)),
        (document(90), document(4)),
        (document(5, epoch=2), document(4)),
    ],
)
async def test_another_document_is_a_conflict(
    store: Store, bucket: Bucket, dump: Dump, stored: Document | None, base: Document | None
) -> None:
    """Numbers, not texts: 9 is older than 10. A newer one is as good a reason to fold again as an older one."""
    if stored:
        await store.apply(BucketChange(bucket, [Change("a", None, stored)], added={ALL: [row("x")]}))
    fence = await store.raise_fence(bucket, [P0], "me", 1)
    before = await dump(bucket)
    change = BucketChange(
        bucket,
        [Change("b", None, document(1)), Change("a", base, document(5, epoch=2))],
        [SetAside("orders/0/1", b"{}")],
        positions={P0: Advance(0, 2)},
        removed={ALL: [row("x")]},
        added={ALL: [row("b")]},
        deltas={"m:count:x": 1},
        fence=fence,
        caught_up=[P0],
        partitions=[P0],
    )
    assert await store.apply(change) == Conflict(["a"])
    assert await dump(bucket) == before


async def test_only_version_and_flags_of_the_base_count(store: Store, bucket: Bucket) -> None:
    await store.apply(BucketChange(bucket, [Change("a", None, document(1))]))
    base = Document(0, 1, 5, b"{another view}")
    assert await store.apply(BucketChange(bucket, [Change("a", base, document(2))])) == Applied(1)


async def test_flags_alone_may_change(store: Store, bucket: Bucket) -> None:
    await store.apply(BucketChange(bucket, [Change("a", None, document(1))]))
    parked = document(1, flags=PARKED)
    assert await store.apply(BucketChange(bucket, [Change("a", document(1), parked)])) == Applied(1)
    assert await store.documents(bucket, ["a"]) == [parked]


@pytest.mark.parametrize(
    "change",
    [
        [Change("a", document(3), document(2))],
        [Change("a", document(3), document(3))],
        [Change("a", document(3), document(9)), Change("a", document(3), document(4))],
        [Change("a", document(3, epoch=1), document(9))],
    ],
)
async def test_a_document_that_is_not_newer_is_a_defect(
    store: Store, bucket: Bucket, dump: Dump, change: list[Change]
) -> None:
    await store.apply(BucketChange(bucket, [Change("a", None, change[0].base or document(3))]))
    before = await dump(bucket)
    with pytest.raises(StoreMisconfiguredError):
        await store.apply(BucketChange(bucket, change, positions={P0: Advance(0, 1)}))
    assert await dump(bucket) == before


async def test_the_largest_numbers_survive(store: Store, bucket: Bucket) -> None:
    top = 2**31 - 1
    newest = Document(top, top, 2**53 - 1, b"{}", flags=1)
    far = 2**63 - 1
    await store.apply(BucketChange(bucket, [Change("a", None, newest)], positions={P0: Advance(0, far - 1)}))
    assert await store.apply(BucketChange(bucket, positions={P0: Advance(far, far)})) == Regressed({P0: far - 1})
    assert await store.documents(bucket, ["a"]) == [newest]
    assert (await store.standing(bucket)).positions == {P0: far - 1}


async def test_ids_and_views_of_any_text(store: Store, bucket: Bucket) -> None:
    ids = ["a:b/c", "{tag}", "über-näß", "日本", "a b*?", "🛒" * 60]
    changes = [Change(id, None, document(1, view=b'{"x":"\xc3\xa9"}')) for id in ids]
    await store.apply(BucketChange(bucket, changes, added={ALL: [row(id) for id in ids]}))
    assert await store.documents(bucket, ids) == [document(1, view=b'{"x":"\xc3\xa9"}')] * len(ids)
    assert sorted(await listed(store, bucket)) == sorted(ids)


async def test_concurrent_calls_from_one_position_apply_once(store: Store, bucket: Bucket) -> None:
    changes = [
        BucketChange(bucket, [Change(f"{n}", None, document(1))], positions={P0: Advance(0, n + 1)}) for n in range(8)
    ]
    outcomes = await asyncio.gather(*(store.apply(change) for change in changes))
    assert sum(isinstance(outcome, Applied) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, Regressed) for outcome in outcomes) == 7


async def test_more_than_a_lua_stack_holds_goes_through(store: Store, bucket: Bucket) -> None:
    """5,000 changes and 10,000 members: `unpack` of so many values would fail, after the first write."""
    ids = [f"{n:05}" for n in range(5000)]
    members = [member(n, f"{n:05}") for n in range(10_000)]
    change = BucketChange(bucket, [Change(id, None, document(1)) for id in ids], added={ALL: members})
    assert await store.apply(change) == Applied(5000)
    again = BucketChange(bucket, [Change(id, document(1), document(2)) for id in ids], removed={ALL: members[:-1]})
    assert await store.apply(again) == Applied(5000)
    assert await store.documents(bucket, ids) == [document(2)] * 5000
    assert await listed(store, bucket) == ["09999"]


async def test_a_report_replaces_its_own_fields(store: Store, bucket: Bucket) -> None:
    await store.report(bucket, {"orders/0": b"1", "orders/1": b"2"})
    await store.report(bucket, {"orders/0": b"3"})
    await store.report(bucket, {})
    other = Bucket(bucket.projection, 1, 1)
    assert await store.reports([other, bucket]) == [{}, {"orders/0": b"3", "orders/1": b"2"}]


async def test_reads_documents_of_several_buckets_in_order(store: Store, bucket: Bucket) -> None:
    other = Bucket(bucket.projection, 2, 5)
    await build(store, bucket, other)
    await store.apply(BucketChange(bucket, [Change("a", None, document(1))]))
    await store.apply(BucketChange(other, [Change("a", None, document(2))]))
    asked = [DocumentKey(other, "a"), DocumentKey(bucket, "b"), DocumentKey(bucket, "a"), DocumentKey(other, "a")]
    assert await read(store, asked) == ([document(2), None, document(1), document(2)], [], [])


async def test_empty_questions_are_answered(store: Store, bucket: Bucket) -> None:
    assert await store.documents(bucket, []) == []
    assert await store.queued(bucket, []) == []
    assert await store.read(Wanted()) == ReadAnswer({}, {}, [], [])
    assert await store.reports([]) == []
    assert await store.quarantined(bucket) == {}
    assert await store.apply(BucketChange(bucket)) == Applied(0)
    assert await store.standing(bucket) == Standing({}, {}, frozenset(), False)
