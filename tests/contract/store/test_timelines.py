"""Timelines: sets by event id in the order of their members, of which the newest are kept; paged as lists are."""

import pytest

from projections.errors import StoreMisconfiguredError
from projections.store.change import Advance, Append, Applied, BucketChange
from projections.store.document import Document
from projections.store.keys import Bucket
from projections.store.port import PageQuery
from tests.contract.store.conftest import P0, Dump, Store, build, page_of
from tests.reads import read


def append(at: int, key: str = "c-1", event: str | None = None, entry: bytes | None = None) -> Append:
    event = event or f"e{at}"
    return Append(key, event, b"1%04d\0" % at + event.encode(), entry or b'{"at":%d}' % at)


async def shown(store: Store, bucket: Bucket, key: str = "c-1", limit: int = 10, **bounds: object) -> list[str]:
    query = PageQuery(bucket.projection, 1, 1, "", (), limit, timeline=key, descending=True, **bounds)  # type: ignore[arg-type]
    _, [page], _ = await read(store, [], [query])
    return [row.id for row in page_of(page).rows]


async def test_appends_are_paged_newest_first(store: Store, bucket: Bucket) -> None:
    await build(store, bucket)
    entries = [append(3), append(1), append(2), append(7, "c-2")]
    assert await store.apply(BucketChange(bucket, appends=entries, timeline_bound=10)) == Applied(0, appended=4)
    _, [page], _ = await read(
        store, [], [PageQuery(bucket.projection, 1, 1, "", (), 2, timeline="c-1", descending=True)]
    )
    found = page_of(page)
    assert [(row.id, row.member, row.document) for row in found.rows] == [
        (event, at.member, Document(0, 1, 0, at.entry)) for event, at in (("e3", entries[0]), ("e2", entries[2]))
    ]
    assert (found.total, found.has_previous, found.has_next) == (3, False, True)
    assert await shown(store, bucket, after=entries[2].member) == ["e1"]
    assert await shown(store, bucket, "c-2") == ["e7"]
    assert await shown(store, bucket, "c-3") == []


async def test_an_event_is_there_once(store: Store, bucket: Bucket) -> None:
    await build(store, bucket)
    await store.apply(BucketChange(bucket, appends=[append(1), append(2)], timeline_bound=10))
    again = [append(2, entry=b'{"other":1}'), append(3), append(3, entry=b"{}"), append(9, event="e1")]
    assert await store.apply(BucketChange(bucket, appends=again, timeline_bound=10)) == Applied(0, appended=1)
    _, [page], _ = await read(store, [], [PageQuery(bucket.projection, 1, 1, "", (), 9, timeline="c-1")])
    assert [row.document.view for row in page_of(page).rows if row.document] == [b'{"at":1}', b'{"at":2}', b'{"at":3}']


async def test_the_newest_are_kept(store: Store, bucket: Bucket, dump: Dump) -> None:
    await build(store, bucket)
    await store.apply(BucketChange(bucket, appends=[append(at) for at in (1, 2, 5)], timeline_bound=3))
    later = [append(4), append(6), append(1, "c-2")]
    assert await store.apply(BucketChange(bucket, appends=later, timeline_bound=3)) == Applied(0, appended=3)
    assert await shown(store, bucket) == ["e6", "e5", "e4"]
    before = await dump(bucket)
    await store.apply(BucketChange(bucket, appends=[append(1), append(2)], timeline_bound=3))
    assert await dump(bucket) == before, "what was too old comes back and goes again"
    await store.apply(BucketChange(bucket, appends=[append(at) for at in range(20, 50)], timeline_bound=3))
    assert await shown(store, bucket) == ["e49", "e48", "e47"]


async def test_without_a_bound_nothing_is_appended(store: Store, bucket: Bucket, dump: Dump) -> None:
    before = await dump(bucket)
    with pytest.raises(StoreMisconfiguredError, match="bound"):
        await store.apply(BucketChange(bucket, appends=[append(1)], positions={P0: Advance(0, 1)}))
    assert await dump(bucket) == before


async def test_keys_and_event_ids_of_any_text(store: Store, bucket: Bucket) -> None:
    await build(store, bucket)
    texts = ["a:b", "{t}", "über", "a b*?", "🛒"]
    appends = [append(at, key=text, event=text) for at, text in enumerate(texts)]
    await store.apply(BucketChange(bucket, appends=appends, timeline_bound=3))
    assert [await shown(store, bucket, text) for text in texts] == [[text] for text in texts]
