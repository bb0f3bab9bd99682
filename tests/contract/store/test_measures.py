"""Measures: whole numbers that are exact to the last of 63 bits, and extremes, gathered over buckets."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from projections.store.change import Advance, Applied, BucketChange, Change, Overflow
from projections.store.document import Document
from projections.store.keys import Bucket, filter_text, measure_list, member, sort_text
from projections.store.port import MeasureQuery
from tests.contract.store.conftest import P0, Dump, Store, build
from tests.reads import read

TOP = 2**63 - 1


def total(value: str = "x") -> str:
    return measure_list("total", filter_text(value))


async def measured(store: Store, unique: str, value: str = "x", *, extreme: int = 0, buckets: int = 1) -> object:
    query = MeasureQuery(unique, 1, buckets, "total", filter_text(value), extreme)  # type: ignore[arg-type]
    answer = await read(store, measures=[query])
    return answer.measures[0]


async def test_deltas_add_up(store: Store, bucket: Bucket, dump: Dump) -> None:
    await build(store, bucket)
    before = await dump(bucket)
    assert await measured(store, bucket.projection) == 0
    for delta, sum_now in ((5, 5), (-7, -2), (0, -2), (2**53, 2**53 - 2), (1, 2**53 - 1), (1, 2**53), (1, 2**53 + 1)):
        assert await store.apply(BucketChange(bucket, deltas={total(): delta, total("y"): 1})) == Applied(0)
        assert await measured(store, bucket.projection) == sum_now
    await store.apply(BucketChange(bucket, deltas={total(): -(2**53) - 1, total("y"): -7}))
    assert await measured(store, bucket.projection) == 0
    assert await dump(bucket) == before, "a number that is 0 again takes no room"


async def test_buckets_are_added_up(store: Store, unique: str) -> None:
    buckets = [Bucket(unique, 1, number) for number in range(3)]
    await build(store, *buckets)
    for bucket in buckets[:2]:
        await store.apply(BucketChange(bucket, deltas={total(): TOP}))
    assert await measured(store, unique, buckets=3) == 2 * TOP


@pytest.mark.parametrize(
    ("stored", "delta"),
    [
        (TOP, 1),
        (1, TOP),
        (TOP - 5, 6),
        (TOP - 999_999_999, 10**9),
        (-TOP, -2),
        (-TOP - 1, -1),
        (-2, -TOP),
        (-TOP - 1, -TOP - 1),
        (TOP, TOP),
        (0, TOP + 1),
        (0, -TOP - 2),
        (-5, TOP + 1),
        (0, 10**30),
    ],
)
async def test_more_than_63_bits_are_refused_before_anything_is_written(
    store: Store, bucket: Bucket, dump: Dump, stored: int, delta: int
) -> None:
    await store.apply(BucketChange(bucket, deltas={total(): stored}))
    before = await dump(bucket)
    change = BucketChange(
        bucket,
        [Change("a", None, Document(0, 1, 0, b"{}"))],
        positions={P0: Advance(0, 1)},
        deltas={total("y"): 1, total(): delta},
    )
    assert await store.apply(change) == Overflow([total()])
    assert await dump(bucket) == before


@pytest.mark.parametrize(
    ("stored", "delta"),
    [
        (TOP - 5, 5),
        (1, TOP - 1),
        (-TOP, -1),
        (-1, -TOP),
        (TOP, -TOP),
        (TOP, -TOP - 1),
        (-TOP - 1, TOP),
        (-1, TOP),
        (10**18, -1),
        (-(10**18), 1),
        (999_999_999, 1),
        (-999_999_999, -1),
        (9_223_372_036_000_000_000, 854_775_807),
        (-9_223_372_036_000_000_000, -854_775_808),
    ],
)
async def test_63_bits_are_taken(store: Store, bucket: Bucket, stored: int, delta: int) -> None:
    await build(store, bucket)
    assert await store.apply(BucketChange(bucket, deltas={total(): stored})) == Applied(0)
    assert await store.apply(BucketChange(bucket, deltas={total(): delta})) == Applied(0)
    assert await measured(store, bucket.projection) == stored + delta


async def test_extremes_are_read_from_the_ends(store: Store, unique: str) -> None:
    buckets = [Bucket(unique, 1, number) for number in range(3)]
    await build(store, *buckets)
    assert await measured(store, unique, extreme=1, buckets=3) is None
    values = [Decimal("3.5"), Decimal(-1), Decimal(20)]
    for bucket, value in zip(buckets, values, strict=True):
        await store.apply(BucketChange(bucket, added={total(): [member(value, f"id{value}")]}))
    assert await measured(store, unique, extreme=-1, buckets=3) == sort_text(Decimal(-1))
    assert await measured(store, unique, extreme=1, buckets=3) == sort_text(Decimal(20))
    await store.apply(BucketChange(buckets[2], removed={total(): [member(values[2], "id20")]}))
    assert await measured(store, unique, extreme=1, buckets=3) == sort_text(Decimal("3.5"))


async def test_equal_contributions_of_several_rows_count_each(store: Store, bucket: Bucket) -> None:
    await build(store, bucket)
    at = datetime(2026, 1, 2, 3, 4, 5, 6, UTC)
    await store.apply(BucketChange(bucket, added={total(): [member(at, "a"), member(at, "b")]}))
    await store.apply(BucketChange(bucket, removed={total(): [member(at, "a")]}))
    assert await measured(store, bucket.projection, extreme=1) == sort_text(at)


@pytest.mark.parametrize("value", ["", "*", "a:b", "{x}", "é/ü", "%"])
async def test_any_text_may_be_what_it_is_kept_by(store: Store, bucket: Bucket, value: str) -> None:
    await build(store, bucket)
    await store.apply(BucketChange(bucket, deltas={total(value): 3, total("other"): 1}))
    assert await measured(store, bucket.projection, value) == 3
