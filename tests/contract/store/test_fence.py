"""Fences: of two writers of a partition, the one that raised last writes, whatever the other one believes."""

import pytest

from projections.store.change import Advance, Applied, BucketChange, Change, Fence, Fenced, Regressed
from projections.store.document import Document
from projections.store.keys import Bucket
from projections.store.memory import MemoryStore
from tests.contract.store.conftest import P0, P1, Dump, Store

NOW_MS = 1_700_000_000_000


def write(bucket: Bucket, fence: Fence | None, expected: int = 0, **named: object) -> BucketChange:
    """A change of everything that a fence guards."""
    change = {
        "changes": [Change(f"a{expected}", None, Document(0, 1, 0, b"{}"))],
        "positions": {P0: Advance(expected, expected + 1)},
        "added": {"i:all": [b"1\0a"]},
        "deltas": {"m:count:x": 1},
        "fence": fence,
    }
    return BucketChange(bucket, **{**change, **named})  # type: ignore[arg-type]


async def test_a_raise_takes_the_clock_or_one_more_than_what_is_stored(store: Store, bucket: Bucket) -> None:
    assert await store.raise_fence(bucket, [P0], "one", NOW_MS) == Fence(NOW_MS, "one")
    assert await store.raise_fence(bucket, [P0], "two", 5) == Fence(NOW_MS + 1, "two")
    assert await store.raise_fence(bucket, [P1], "two", 5) == Fence(5, "two")
    assert await store.raise_fence(bucket, [P1, P0], "three", 7) == Fence(NOW_MS + 2, "three")
    late = write(bucket, Fence(NOW_MS + 1, "z"), positions={P1: Advance(0, 1)})
    assert await store.apply(late) == Fenced(Fence(NOW_MS + 2, "three"))


async def test_a_fence_of_no_partitions_is_refused(store: Store, bucket: Bucket) -> None:
    with pytest.raises(ValueError, match="no partitions"):
        await store.raise_fence(bucket, [], "one", NOW_MS)


async def test_an_older_writer_changes_no_byte(store: Store, bucket: Bucket, dump: Dump) -> None:
    old = await store.raise_fence(bucket, [P0, P1], "one", NOW_MS)
    assert await store.apply(write(bucket, old)) == Applied(1)
    new = await store.raise_fence(bucket, [P0], "two", NOW_MS)
    before = await dump(bucket)
    assert await store.apply(write(bucket, old, 1)) == Fenced(new)
    assert await store.apply(write(bucket, old, positions={P1: Advance(0, 1), P0: Advance(9, 10)})) == Fenced(new)
    assert await store.apply(write(bucket, old, positions={}, caught_up=[P0], partitions=[P0])) == Fenced(new)
    assert await dump(bucket) == before
    assert await store.apply(write(bucket, new, 1)) == Applied(1)


async def test_the_other_partition_is_still_its_own(store: Store, bucket: Bucket) -> None:
    old = await store.raise_fence(bucket, [P0, P1], "one", NOW_MS)
    await store.raise_fence(bucket, [P0], "two", NOW_MS)
    assert await store.apply(write(bucket, old, positions={P1: Advance(0, 1)})) == Applied(1)


@pytest.mark.parametrize(
    ("stored", "fence", "is_larger"),
    [
        (Fence(9, "z"), Fence(10, "a"), True),
        (Fence(10, "a"), Fence(9, "z"), False),
        (Fence(10, "b"), Fence(10, "a"), False),
        (Fence(10, "a"), Fence(10, "b"), True),
        (Fence(10, "a"), Fence(10, "aa"), True),
        (Fence(10, "aa"), Fence(10, "a"), False),
        (Fence(10, "a"), Fence(10, "B"), False),
        (Fence(10, "Z"), Fence(10, "a"), True),
        (Fence(10, "a-b"), Fence(10, "aa"), True),
        (Fence(10, "é"), Fence(10, "f"), False),
        (Fence(10, "a b\n c"), Fence(10, "a b\n d"), True),
        (Fence(10, ""), Fence(10, "a"), True),
        (Fence(2**53 - 2, "a"), Fence(2**53 - 1, "a"), True),
        (Fence(2**53 - 1, "a"), Fence(2**53 - 2, "a"), False),
    ],
)
async def test_numbers_as_numbers_then_owners_by_their_bytes(
    store: Store, bucket: Bucket, stored: Fence, fence: Fence, is_larger: bool
) -> None:
    """Under a locale of a natural language "B" comes after "a", and the minus sign counts for nothing."""
    await store.raise_fence(bucket, [P0], stored.owner, stored.number)
    assert await store.apply(write(bucket, stored)) == Applied(1)
    assert await store.apply(write(bucket, fence, 1)) == (Regressed({P0: 1}) if is_larger else Fenced(stored))


async def test_a_fence_that_is_not_there_any_more_tells_that_the_store_has_gone_back(
    store: Store, bucket: Bucket, dump: Dump
) -> None:
    """The position may be the expected one all the same: it may have stood there before, over other data."""
    mine = Fence(NOW_MS, "one")
    assert await store.apply(write(bucket, mine)) == Regressed({P0: 0})
    smaller = await store.raise_fence(bucket, [P0], "two", NOW_MS - 1)
    before = await dump(bucket)
    assert await store.apply(write(bucket, mine)) == Regressed({P0: 0})
    assert await store.apply(write(bucket, mine, positions={}, caught_up=[P0], partitions=[P0])) == Regressed({})
    assert await dump(bucket) == before
    assert await store.apply(write(bucket, smaller)) == Applied(1)


async def test_a_refused_change_raises_no_fence(store: Store, bucket: Bucket) -> None:
    mine = await store.raise_fence(bucket, [P0], "one", NOW_MS)
    assert await store.apply(write(bucket, Fence(NOW_MS + 1, "two"))) == Regressed({P0: 0})
    assert await store.apply(write(bucket, mine)) == Applied(1)


async def test_an_operator_s_change_carries_no_fence_and_leaves_it(store: Store, bucket: Bucket) -> None:
    mine = await store.raise_fence(bucket, [P0], "one", NOW_MS)
    assert await store.apply(write(bucket, None)) == Applied(1)
    assert await store.apply(write(bucket, mine, 1)) == Applied(1)
    if isinstance(store, MemoryStore):
        assert store.buckets[bucket].fences == {P0: mine}
