"""The quarantine and the queues of parked aggregates: by version, bounded, and never half done."""

from collections.abc import Sequence

import pytest

from projections.store.change import UNREAD, Advance, Applied, BucketChange, Change, Conflict, Full, SetAside, Waiting
from projections.store.document import PARKED, Document
from projections.store.keys import Bucket, queue_place
from tests.contract.store.conftest import P0, QUARANTINE_MAX, Dump, Store

NONE = Document(0, 0, 0, None, PARKED)
"""What is written of an aggregate of which only records that wait were seen."""


def waiting(version: int, offset: int | None = None, entry: bytes = b"{}", epoch: int = 0) -> Waiting:
    return Waiting(queue_place(epoch, version), f"orders/0/{version if offset is None else offset}", entry)


def park(id: str, *queued: Waiting, base: Document | None = None, released: Sequence[Waiting] = ()) -> Change:
    return Change(id, base, base._replace(flags=PARKED) if base else NONE, queued, released)


async def test_what_waits_is_answered_lowest_version_first(store: Store, bucket: Bucket) -> None:
    records = [waiting(10, entry=b'{"v":10}'), waiting(9), waiting(2, epoch=1)]
    assert await store.apply(BucketChange(bucket, [park("a", *records)])) == Applied(1, queued=3)
    assert await store.queued(bucket, ["b", "a"]) == [[], [waiting(9), records[0], records[2]]]
    found = [waiting(9), records[0], records[2]]
    assert await store.queue_places(bucket, ["b", "a"]) == [[], [item._replace(entry=UNREAD) for item in found]]
    places = [item.coordinates for item in found]
    assert await store.entries(bucket, [*places, "orders/7/7"]) == [*(item.entry for item in found), None]
    assert await store.entries(bucket, []) == []
    assert await store.documents(bucket, ["a"]) == [NONE]
    assert await store.quarantined(bucket) == {record.coordinates: record.entry for record in records}


async def test_a_queue_that_drains_leaves_nothing(store: Store, bucket: Bucket) -> None:
    records = [waiting(3), waiting(4)]
    await store.apply(BucketChange(bucket, [park("a", *records)]))
    drained = Change("a", NONE, Document(0, 4, 0, b"{}"), released=records)
    assert await store.apply(BucketChange(bucket, [drained])) == Applied(1)
    assert await store.queued(bucket, ["a"]) == [[]]
    assert await store.quarantined(bucket) == {}


async def test_a_taken_place_keeps_its_first_record(store: Store, bucket: Bucket) -> None:
    first = waiting(3, offset=1, entry=b'{"first":1}')
    await store.apply(BucketChange(bucket, [park("a", first)]))
    again = BucketChange(bucket, [park("a", waiting(3, offset=9), waiting(4), base=NONE)])
    assert await store.apply(again) == Applied(1, queued=1)
    assert await store.queued(bucket, ["a"]) == [[first, waiting(4)]]
    assert sorted(await store.quarantined(bucket)) == ["orders/0/1", "orders/0/4"]


async def test_a_place_that_is_released_may_be_taken_anew(store: Store, bucket: Bucket) -> None:
    """A good form of a record whose first form could not be used."""
    bad, good = waiting(3, offset=1, entry=b'{"bad":1}'), waiting(3, offset=9)
    await store.apply(BucketChange(bucket, [park("a", bad)]))
    replaced = BucketChange(bucket, [park("a", good, base=NONE, released=[bad])])
    assert await store.apply(replaced) == Applied(1, queued=1)
    assert await store.queued(bucket, ["a"]) == [[good]]
    assert await store.quarantined(bucket) == {"orders/0/9": b"{}"}


async def test_two_records_of_one_version_in_one_call(store: Store, bucket: Bucket) -> None:
    change = BucketChange(bucket, [park("a", waiting(3, offset=1), waiting(3, offset=2))])
    assert await store.apply(change) == Applied(1, queued=1)
    assert await store.queued(bucket, ["a"]) == [[waiting(3, offset=1)]]


@pytest.mark.parametrize("stale", [waiting(3, offset=8), waiting(5)])
async def test_a_release_of_what_does_not_wait_is_a_conflict(
    store: Store, bucket: Bucket, dump: Dump, stale: Waiting
) -> None:
    """Somebody else changed the queue: what was folded from it may be wrong."""
    await store.apply(BucketChange(bucket, [park("a", waiting(3), waiting(4))]))
    before = await dump(bucket)
    drained = Change("a", NONE, Document(0, 4, 0, b"{}"), released=[waiting(4), stale])
    other = Change("b", None, Document(0, 1, 0, b"{}"))
    assert await store.apply(BucketChange(bucket, [other, drained])) == Conflict(["a"])
    assert await dump(bucket) == before


async def test_a_place_whose_record_is_gone_is_vacant(store: Store, bucket: Bucket) -> None:
    await store.apply(BucketChange(bucket, [park("a", waiting(3), waiting(4))]))
    await store.apply(BucketChange(bucket, cleared=["orders/0/3"]))
    assert await store.queued(bucket, ["a"]) == [[waiting(4)]]
    again = BucketChange(bucket, [park("a", waiting(3, offset=7), base=NONE)])
    assert await store.apply(again) == Applied(1, queued=1)
    assert await store.queued(bucket, ["a"]) == [[waiting(3, offset=7), waiting(4)]]


async def test_a_full_queue_refuses_the_call(store: Store, bucket: Bucket, dump: Dump) -> None:
    await store.apply(BucketChange(bucket, [park("a", waiting(3), waiting(4), waiting(5))]))
    before = await dump(bucket)
    other = Change("b", None, Document(0, 1, 0, b"{}"))
    change = BucketChange(bucket, [other, park("a", waiting(6), base=NONE)], positions={P0: Advance(0, 7)})
    assert await store.apply(change) == Full(3, "a")
    assert await dump(bucket) == before


async def test_a_replay_into_a_full_queue_takes_no_more_room(store: Store, bucket: Bucket) -> None:
    records = [waiting(3), waiting(4), waiting(5)]
    await store.apply(BucketChange(bucket, [park("a", *records)]))
    assert await store.apply(BucketChange(bucket, [park("a", *records, base=NONE)])) == Applied(1)
    swapped = BucketChange(bucket, [park("a", waiting(6), base=NONE, released=[records[0]])])
    assert await store.apply(swapped) == Applied(1, queued=1)
    assert await store.queued(bucket, ["a"]) == [[records[1], records[2], waiting(6)]]


async def test_both_kinds_of_records_fill_the_quarantine(store: Store, bucket: Bucket, dump: Dump) -> None:
    loose = [SetAside(f"orders/1/{offset}", b"{}") for offset in range(3)]
    change = BucketChange(bucket, [park("a", waiting(3))], loose, positions={P0: Advance(0, 2)})
    assert await store.apply(change) == Applied(1, 3, 1)
    before = await dump(bucket)
    fill = [park("b", waiting(8)), park("c", waiting(9))]
    assert await store.apply(BucketChange(bucket, fill, positions={P0: Advance(2, 4)})) == Full(4)
    two = [SetAside(f"orders/1/{offset}", b"{}") for offset in (7, 8)]
    assert await store.apply(BucketChange(bucket, set_aside=two)) == Full(4)
    assert await dump(bucket) == before
    assert await store.apply(BucketChange(bucket, fill[:1])) == Applied(1, 0, 1)


async def test_a_replay_into_a_quarantine_above_a_lowered_bound_goes_through(store: Store, bucket: Bucket) -> None:
    records = [SetAside(f"orders/0/{offset}", b"{}") for offset in range(3)]
    await store.apply(BucketChange(bucket, set_aside=records))
    store._quarantine_max = 1
    assert await store.apply(BucketChange(bucket, set_aside=records[:1])) == Applied(0, 1)
    assert await store.apply(BucketChange(bucket, set_aside=[SetAside("orders/0/9", b"{}")])) == Full(3)


async def test_what_leaves_makes_room_in_the_same_call(store: Store, bucket: Bucket) -> None:
    records = [SetAside(f"orders/1/{offset}", b"{}") for offset in range(4)]
    await store.apply(BucketChange(bucket, [park("a", waiting(3))], records))
    drained = Change("a", NONE, Document(0, 3, 0, b"{}"), released=[waiting(3)])
    change = BucketChange(
        bucket, [drained], [SetAside(f"orders/1/{offset}", b"{}") for offset in (8, 9)], cleared=["orders/1/0", "never"]
    )
    assert await store.apply(change) == Applied(1, 2)
    assert sorted(await store.quarantined(bucket)) == [f"orders/1/{offset}" for offset in (1, 2, 3, 8, 9)]


async def test_a_full_quarantine_does_not_hold_up_good_records(store: Store, bucket: Bucket) -> None:
    await store.apply(BucketChange(bucket, set_aside=[SetAside(f"orders/0/{n}", b"{}") for n in range(5)]))
    assert await store.apply(BucketChange(bucket, [Change("a", None, Document(0, 1, 0, None))])) == Applied(1)


async def test_what_is_cleared_and_set_aside_at_once_stays(store: Store, bucket: Bucket) -> None:
    await store.apply(BucketChange(bucket, set_aside=[SetAside("orders/0/1", b"{}")]))
    again = BucketChange(bucket, set_aside=[SetAside("orders/0/1", b'{"again":1}')], cleared=["orders/0/1"])
    assert await store.apply(again) == Applied(0, 1)
    assert await store.quarantined(bucket) == {"orders/0/1": b'{"again":1}'}


async def test_a_quarantine_is_read_in_pages_whole_or_up_to_a_limit(
    store: Store, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The records are larger than those that a server keeps, and gives away, in one piece."""
    monkeypatch.setattr("projections.store.redis.QUARANTINE_PAGE", 1)
    records = [
        SetAside(f"orders/0/{offset}", b'{"x":"%s"}' % (b"%d" % offset * 80)) for offset in range(QUARANTINE_MAX)
    ]
    other = Bucket(bucket.projection, bucket.generation, bucket.number + 1)
    assert isinstance(await store.apply(BucketChange(bucket, set_aside=records)), Applied)
    assert await store.quarantine_sizes([bucket, other]) == [QUARANTINE_MAX, 0]
    assert await store.quarantine_sizes([]) == []
    kept = {record.coordinates: record.entry for record in records}
    assert await store.quarantined(bucket) == kept
    for limit in (1, QUARANTINE_MAX - 1, QUARANTINE_MAX, 1000):
        some = await store.quarantined(bucket, limit)
        assert len(some) == min(limit, QUARANTINE_MAX)
        assert some.items() <= kept.items()
    assert await store.quarantined(other, 10) == {}
