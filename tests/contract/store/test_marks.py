"""The `built` mark: what is not in a bucket without it is being rebuilt, never a silent null."""

from projections.errors import RebuildingError
from projections.store.change import Advance, Append, Applied, BucketChange, Change, Regressed
from projections.store.document import Document
from projections.store.keys import Bucket
from projections.store.port import DocumentKey, MeasureQuery, Page, PageQuery
from tests.contract.store.conftest import P0, P1, Dump, Store, build

HERE = Document(0, 1, 0, b"{}")


async def test_a_bucket_is_built_once_all_partitions_were_read_to_their_end(store: Store, bucket: Bucket) -> None:
    both = [P0, P1]
    assert await store.apply(BucketChange(bucket, caught_up=[P0], partitions=both)) == Applied(0)
    standing = await store.standing(bucket)
    assert (standing.caught_up, standing.is_built) == (frozenset([P0]), False)
    await store.apply(BucketChange(bucket, positions={P1: Advance(0, 1)}, partitions=both))
    assert not (await store.standing(bucket)).is_built
    await store.apply(BucketChange(bucket, caught_up=[P1], partitions=both))
    standing = await store.standing(bucket)
    assert (standing.caught_up, standing.is_built) == (frozenset([P0, P1]), True)


async def test_a_topic_that_grew_leaves_a_built_bucket_built(store: Store, bucket: Bucket) -> None:
    await build(store, bucket)
    await store.apply(BucketChange(bucket, positions={P1: Advance(0, 1)}, partitions=[P0, P1]))
    assert (await store.standing(bucket)).is_built


async def test_no_partitions_at_all_build_nothing(store: Store, bucket: Bucket) -> None:
    await store.apply(BucketChange(bucket, caught_up=[P0]))
    assert not (await store.standing(bucket)).is_built


async def test_a_refused_change_marks_nothing(store: Store, bucket: Bucket, dump: Dump) -> None:
    before = await dump(bucket)
    change = BucketChange(bucket, positions={P0: Advance(3, 4)}, caught_up=[P0], partitions=[P0])
    assert await store.apply(change) == Regressed({P0: 0})
    assert await dump(bucket) == before


async def test_what_is_missing_from_an_unbuilt_bucket_is_being_rebuilt(store: Store, unique: str) -> None:
    first, second = (Bucket(unique, 1, number) for number in range(2))
    change = BucketChange(
        second,
        [Change("here", None, HERE)],
        added={"i:all": [b"0\0here"], "m:last:x": [b"1\0here"]},
        deltas={"m:count:x": 1},
        appends=[Append("c", "e", b"1\0e", b"{}")],
        timeline_bound=5,
    )
    await store.apply(change)
    await build(store, first)
    keys = [DocumentKey(second, "here"), DocumentKey(second, "gone"), DocumentKey(first, "gone")]
    pages = [
        PageQuery(unique, 1, 2, "all", (), 5),
        PageQuery(unique, 1, 1, "all", (), 5),
        PageQuery(unique, 1, 2, "", (), 5, timeline="c"),
    ]
    measures = [
        MeasureQuery(unique, 1, 2, "count", "x"),
        MeasureQuery(unique, 1, 2, "last", "x", 1),
        MeasureQuery(unique, 1, 1, "count", "x"),
        MeasureQuery(unique, 1, 1, "last", "x", -1),
    ]
    [here, gone, none], [page, built, timeline], [count, last, zero, nothing] = await store.read(keys, pages, measures)
    assert (here, none, built, zero, nothing) == (HERE, None, Page([], 0, False, False), 0, None)
    for answer in (gone, page, timeline, count, last):
        assert isinstance(answer, RebuildingError)

    await build(store, second)
    [_, gone, _], [page, _, timeline], [count, last, *_] = await store.read(keys, pages, measures)
    assert (gone, count, last) == (None, 1, b"1")
    assert isinstance(page, Page)
    assert isinstance(timeline, Page)
    assert [row.document for row in page.rows] == [HERE]
    assert timeline.total == 1
