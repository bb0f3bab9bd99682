"""The `built` mark: what is not in a bucket without it is being rebuilt, never a silent null."""

import pytest

from projections.errors import RebuildingError
from projections.store.change import Advance, Append, Applied, BucketChange, Change, Regressed
from projections.store.document import Document, pack
from projections.store.keys import Bucket, member
from projections.store.library import library
from projections.store.port import DocumentKey, Listing, MeasureQuery, Page, PageQuery, Wanted
from projections.store.reading import Trip
from tests.contract.store.conftest import P0, P1, Dump, Store, build
from tests.reads import Rows, read

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
    [here, gone, none], [page, built, timeline], [count, last, zero, nothing] = await read(store, keys, pages, measures)
    assert (here, none, built, zero, nothing) == (HERE, None, Rows([], 0, False, False), 0, None)
    for answer in (gone, page, timeline, count, last):
        assert isinstance(answer, RebuildingError)

    await build(store, second)
    [_, gone, _], [page, _, timeline], [count, last, *_] = await read(store, keys, pages, measures)
    assert (gone, count, last) == (None, 1, b"1")
    assert isinstance(page, Rows)
    assert isinstance(timeline, Rows)
    assert [row.document for row in page.rows] == [HERE]
    assert timeline.total == 1


async def test_each_bucket_s_documents_are_behind_its_own_mark(store: Store, unique: str) -> None:
    """Whatever the order that they are asked for in, and whoever else asks for something of the bucket."""
    buckets = [Bucket(unique, 1, number) for number in range(4)]
    for bucket in buckets:
        await store.apply(BucketChange(bucket, [Change("here", None, HERE)], deltas={"m:count:x": 1}))
    await build(store, *buckets[::2])
    wanted = Wanted(
        {bucket: ["gone", "here"] if bucket.number < 2 else ["here", "gone"] for bucket in reversed(buckets)},
        measures=[MeasureQuery(unique, 1, 4, "count", "x"), MeasureQuery(unique, 1, 1, "count", "x")],
    )
    answer = await store.read(wanted)
    assert list(answer.documents) == list(reversed(buckets))
    for bucket in buckets:
        found = dict(zip(wanted.documents[bucket], answer.documents[bucket], strict=True))
        assert found["here"] == pack(HERE), "what is there is shown, whole or not"
        assert found["gone"] is None if bucket.number in (0, 2) else isinstance(found["gone"], RebuildingError)
    over_all, of_first = answer.measures
    assert isinstance(over_all, RebuildingError)
    assert of_first == 1


async def test_what_is_all_there_in_an_unbuilt_bucket_is_answered(store: Store, bucket: Bucket) -> None:
    await store.apply(BucketChange(bucket, [Change("here", None, HERE)]))
    assert (await store.read(Wanted({bucket: ["here"]}))).documents == {bucket: [pack(HERE)]}


@pytest.mark.parametrize("unbuilt", [0, 1])
async def test_every_list_over_an_unbuilt_bucket_is_being_rebuilt(store: Store, unique: str, unbuilt: int) -> None:
    """Also one of which that bucket has no rows, and one that nobody has."""
    buckets = [Bucket(unique, 1, number) for number in range(2)]
    for bucket in buckets:
        added = {"i:all:both": [member(1, f"a{bucket.number}")], f"i:all:{bucket.number}": [member(1, "b")]}
        await store.apply(BucketChange(bucket, added=added))
    await build(store, buckets[1 - unbuilt])
    names = ["i:all:both", "i:all:0", "i:all:1", "i:all:none"]
    wide, narrow = (Listing(unique, 1, count, "all", 5, descending=False) for count in (2, 1))
    answer = await store.read(Wanted(lists={wide: names, narrow: names}))
    assert [type(page) for page in answer.lists[wide]] == [RebuildingError] * 4
    assert [type(page) for page in answer.lists[narrow]] == [RebuildingError if unbuilt == 0 else Page] * 4

    await build(store, buckets[unbuilt])
    answer = await store.read(Wanted(lists={wide: names, narrow: names}))
    assert answer.lists[wide] == [
        Page([member(1, "a0"), member(1, "a1")], [None, None], 0, False, False),
        Page([member(1, "b")], [None], 0, False, False),
        Page([member(1, "b")], [None], 0, False, False),
        Page([], [], 0, False, False),
    ]
    assert answer.lists[narrow][0] == Page([member(1, "a0")], [None], 0, False, False)


async def test_measures_of_a_bucket_are_behind_one_mark(store: Store, unique: str) -> None:
    first, second = (Bucket(unique, 1, number) for number in range(2))
    await store.apply(BucketChange(first, deltas={"m:count:x": 1, "m:count:y": 2, "m:total:x": 30}))
    await store.apply(BucketChange(second, deltas={"m:count:x": 5, "m:total:y": 60}))
    await build(store, first)
    names = [("count", "x"), ("total", "x"), ("count", "y"), ("total", "y"), ("count", "z")]
    over_both = [MeasureQuery(unique, 1, 2, *at) for at in names]
    of_first = [MeasureQuery(unique, 1, 1, *at) for at in names]
    wanted = Wanted(measures=[query for pair in zip(over_both, of_first, strict=True) for query in pair])
    found = (await store.read(wanted)).measures
    assert [type(number) for number in found[::2]] == [RebuildingError] * 5
    assert found[1::2] == [1, 30, 2, 0, 0]
    await build(store, second)
    found = (await store.read(wanted)).measures
    assert found[::2] == [6, 30, 2, 60, 0]
    assert found[1::2] == [1, 30, 2, 0, 0]


@pytest.mark.parametrize("one_slot_each", [False, True])
def test_a_mark_is_asked_for_once_for_all_documents_and_once_for_all_numbers(
    unique: str, *, one_slot_each: bool
) -> None:
    buckets = [Bucket(unique, 1, number) for number in range(2)]
    measures = [MeasureQuery(unique, 1, 2, "count", value) for value in "xyz"]
    trip = Trip(
        Wanted({bucket: list("abc") for bucket in buckets}, measures=measures), library(), one_slot_each=one_slot_each
    )
    keys = [key for command in trip.commands for key in command.words[1:]]
    assert [command.words[0] for command in trip.commands] == ["MGET"] * (2 if one_slot_each else 1)
    for bucket in buckets:
        assert keys.count(bucket.built) == 2
        assert keys.count(bucket.document("a")) == keys.count(bucket.entries("m:count:x")) == 1
