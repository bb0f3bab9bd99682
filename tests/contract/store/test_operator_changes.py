"""What an operator's commands need of every store: records leave the quarantine, and no queue is left without its flag."""

from __future__ import annotations

from projections.store.change import Applied, BucketChange, Change, Conflict, SetAside, Waiting
from projections.store.document import PARKED, Document
from projections.store.keys import Bucket, queue_place
from tests.contract.store.conftest import Dump, Store

START = Document(0, 1, 0, b"{}")
AT_ONE = START._replace(flags=PARKED)


def waiting(version: int) -> Waiting:
    return Waiting(queue_place(0, version), f"orders/0/{version}", b'{"version":%d}' % version)


async def parked(store: Store, bucket: Bucket) -> None:
    """At version 1, with 3 waiting."""
    await store.apply(BucketChange(bucket, changes=[Change("o-1", None, AT_ONE, [waiting(3)])]))


async def test_loose_records_are_cleared(store: Store, bucket: Bucket) -> None:
    aside = [SetAside(f"orders/0/{offset}", b"{}") for offset in range(5)]
    assert isinstance(await store.apply(BucketChange(bucket, set_aside=aside)), Applied)
    cleared = BucketChange(bucket, cleared=["orders/0/1", "orders/0/77"])
    assert isinstance(await store.apply(cleared), Applied)
    assert sorted(await store.quarantined(bucket)) == [f"orders/0/{offset}" for offset in (0, 2, 3, 4)]


async def test_what_is_cleared_makes_room(store: Store, bucket: Bucket) -> None:
    aside = [SetAside(f"orders/0/{offset}", b"{}") for offset in range(5)]
    await store.apply(BucketChange(bucket, set_aside=aside))
    swap = BucketChange(bucket, set_aside=[SetAside("orders/0/9", b"{}")], cleared=["orders/0/0"])
    assert isinstance(await store.apply(swap), Applied)


async def test_a_document_keeps_its_flag_while_others_wait(store: Store, bucket: Bucket, dump: Dump) -> None:
    """4 came after the queue was read with 3 in it alone."""
    await parked(store, bucket)
    await store.apply(BucketChange(bucket, changes=[Change("o-1", AT_ONE, AT_ONE, [waiting(4)])]))
    before = await dump(bucket)
    drained = Change("o-1", AT_ONE, Document(0, 3, 0, b"{}"), released=[waiting(3)])
    assert await store.apply(BucketChange(bucket, changes=[drained])) == Conflict(["o-1"])
    assert await dump(bucket) == before
    again = Change("o-1", AT_ONE, Document(0, 4, 0, b"{}"), released=[waiting(3), waiting(4)])
    assert isinstance(await store.apply(BucketChange(bucket, changes=[again])), Applied)
    assert await store.queued(bucket, ["o-1"]) == [[]]


async def test_a_place_whose_record_is_gone_holds_nobody_up(store: Store, bucket: Bucket) -> None:
    await parked(store, bucket)
    await store.apply(BucketChange(bucket, changes=[Change("o-1", AT_ONE, AT_ONE, [waiting(4)])]))
    await store.apply(BucketChange(bucket, cleared=["orders/0/4"]))
    drained = Change("o-1", AT_ONE, Document(0, 3, 0, b"{}"), released=[waiting(3)])
    assert isinstance(await store.apply(BucketChange(bucket, changes=[drained])), Applied)
