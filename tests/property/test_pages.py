"""Any page of any list, from any bound, in both directions: the store in memory and Valkey give one answer."""

from __future__ import annotations

import uuid

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.dev.servers import EmbeddedValkey
from projections.log.port import Partition
from projections.store.change import BucketChange, Change
from projections.store.document import Document
from projections.store.keys import Bucket, bucket_of, index_list, member
from projections.store.memory import MemoryStore
from projections.store.port import PageQuery
from projections.store.redis import RedisStore

PARTITION = Partition("orders", 0)

titles = st.one_of(st.none(), st.text("ab\0\x01é\U0001f6d2", max_size=4))
ids = st.text("xyz/:{}é", min_size=1, max_size=3)
rows = st.dictionaries(ids, titles, max_size=12)
bounds = st.one_of(st.none(), st.builds(member, titles, ids))


@st.composite
def cases(draw: st.DrawFn) -> tuple[dict[str, str | None], int, list[PageQuery]]:
    """Rows of a list, the number of buckets, and pages of it; bounds are often rows of the list."""
    listed = draw(rows)
    buckets = draw(st.sampled_from([1, 3]))
    there = st.sampled_from([member(title, id) for id, title in listed.items()]) if listed else st.none()
    bound = st.one_of(bounds, there, st.none())
    values = st.sampled_from([(), ("none",)])
    counted = st.builds(
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
        counted=st.just(True),
    )
    firsts = st.builds(_first, st.just(buckets), values, st.integers(1, 6), st.booleans())
    return listed, buckets, draw(st.lists(st.one_of(counted, firsts), min_size=5, max_size=10))


def _first(buckets: int, values: tuple[str, ...], limit: int, descending: bool) -> PageQuery:
    """A page whose list nobody counts."""
    return PageQuery("p", 1, buckets, "i", values, limit, descending, counted=False)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=cases())
async def test_memory_and_valkey_agree(
    valkey: EmbeddedValkey, case: tuple[dict[str, str | None], int, list[PageQuery]]
) -> None:
    listed, buckets, queries = case
    projection = f"p{uuid.uuid4().hex}"
    queries = [query._replace(projection=projection) for query in queries]
    memory, real = MemoryStore(), RedisStore(valkey.url)
    everywhere = [Bucket(projection, 1, number) for number in range(buckets)]
    try:
        for store in (memory, real):
            for bucket in everywhere:
                rows = {id: title for id, title in listed.items() if bucket_of(id, buckets) == bucket.number}
                changes = [Change(id, None, Document(0, version, 0, b"{}")) for version, id in enumerate(rows, 1)]
                added = {index_list("i", ()): [member(title, id) for id, title in rows.items()]}
                whole = BucketChange(bucket, changes, added=added, caught_up=[PARTITION], partitions=[PARTITION])
                await store.apply(whole)
        expected = await memory.read([], queries)
        found = await real.read([], queries)
    finally:
        await real.close()
    for query, page, model in zip(queries, found.pages, expected.pages, strict=True):
        assert (query, page) == (query, model)
