"""Any page of any list, from any bound, in both directions, and the first rows of many lists together: the store in memory and
Valkey give one answer.
"""

from __future__ import annotations

import uuid
from typing import NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.dev.servers import EmbeddedValkey
from projections.log.port import Partition
from projections.store.change import BucketChange, Change
from projections.store.document import Document
from projections.store.keys import Bucket, bucket_of, index_list, member
from projections.store.memory import MemoryStore
from projections.store.port import Listing, PageQuery, Wanted
from projections.store.redis import RedisStore

PARTITION = Partition("orders", 0)
LISTED: tuple[tuple[str, ...], ...] = ((), ("some",), ("few",))
"""Lists of the index that have rows."""
NOWHERE = ("none",)

titles = st.one_of(st.none(), st.text("ab\0\x01é\U0001f6d2", max_size=4))
ids = st.text("xyz/:{}é", min_size=1, max_size=3)
rows = st.dictionaries(ids, titles, max_size=12)
bounds = st.one_of(st.none(), st.builds(member, titles, ids))


class Case(NamedTuple):
    """The rows of each list, the number of buckets, and what is read of it."""

    listed: dict[tuple[str, ...], dict[str, str | None]]
    buckets: int
    pages: list[PageQuery]
    lists: dict[Listing, list[str]]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Bounds are often rows of the list. Of each listing several lists, and of some none at all, are read together."""
    everything = draw(rows)
    some = {id: title for id, title in everything.items() if draw(st.booleans())}
    few = {id: title for id, title in some.items() if draw(st.booleans())}
    buckets = draw(st.sampled_from([1, 3]))
    there = st.sampled_from([member(title, id) for id, title in everything.items()]) if everything else st.none()
    bound = st.one_of(bounds, there, st.none())
    values = st.sampled_from([*LISTED, NOWHERE])
    pages = st.builds(
        PageQuery,
        projection=st.just("p"),
        generation=st.just(1),
        buckets=st.just(buckets),
        index_name=st.just("i"),
        values=values,
        limit=st.integers(0, 6),
        descending=st.booleans(),
        after=bound,
        before=bound,
        backward=st.booleans(),
    )
    listings = st.builds(
        Listing, st.just("p"), st.just(1), st.just(buckets), st.just("i"), st.integers(1, 6), st.booleans()
    )
    names = values.map(lambda found: index_list("i", found))
    lists = st.dictionaries(listings, st.lists(names, max_size=4, unique=True), max_size=4)
    listed = dict(zip(LISTED, (everything, some, few), strict=True))
    return Case(listed, buckets, draw(st.lists(pages, min_size=3, max_size=8)), draw(lists))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=cases())
async def test_memory_and_valkey_agree(valkey: EmbeddedValkey, case: Case) -> None:
    projection = f"p{uuid.uuid4().hex}"
    wanted = Wanted(
        lists={listing._replace(projection=projection): names for listing, names in case.lists.items()},
        pages=[query._replace(projection=projection) for query in case.pages],
    )
    memory, real = MemoryStore(), RedisStore(valkey.url)
    try:
        for store in (memory, real):
            for number in range(case.buckets):
                await store.apply(_filled(Bucket(projection, 1, number), case))
        expected = await memory.read(wanted)
        found = await real.read(wanted)
    finally:
        await real.close()
    for query, page, model in zip(wanted.pages, found.pages, expected.pages, strict=True):
        assert (query, page) == (query, model)
    assert list(found.lists) == list(expected.lists) == list(wanted.lists)
    for listing, names in wanted.lists.items():
        for name, page, model in zip(names, found.lists[listing], expected.lists[listing], strict=True):
            assert (listing, name, page) == (listing, name, model)


def _filled(bucket: Bucket, case: Case) -> BucketChange:
    """What makes an empty bucket hold its share of the lists, and the documents that they name."""
    here = [id for id in case.listed[()] if bucket_of(id, case.buckets) == bucket.number]
    changes = [Change(id, None, Document(0, version, 0, b"{}")) for version, id in enumerate(here, 1)]
    added = {
        index_list("i", values): [member(title, id) for id, title in rows.items() if id in here]
        for values, rows in case.listed.items()
    }
    return BucketChange(bucket, changes, added=added, caught_up=[PARTITION], partitions=[PARTITION])
