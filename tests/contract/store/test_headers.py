"""A change is guarded by what a document's header says, however that is spelled."""

import pytest

from projections.errors import StoreMisconfiguredError
from projections.store.change import Applied, BucketChange, Change, Conflict
from projections.store.document import PARKED, Document
from projections.store.keys import Bucket
from tests.contract.store.conftest import Store

OUTGROWN = 2**24
LATE_MS = 2**48
"""A time that no narrow header holds: what a record says of itself is the publisher's."""

PLACES = [(0, 1), (0, OUTGROWN - 1), (0, OUTGROWN), (0, OUTGROWN + 1), (1, 1), (1, OUTGROWN - 1), (2, OUTGROWN)]


@pytest.mark.parametrize("time_ms", [0, LATE_MS])
async def test_a_document_outgrows_its_header_and_is_guarded_all_the_same(
    store: Store, bucket: Bucket, time_ms: int
) -> None:
    stored: Document | None = None
    for epoch, version in PLACES:
        following = Document(epoch, version, time_ms, b"{}")
        for other in (stored and stored._replace(flags=PARKED), Document(0, OUTGROWN - 2, 0, None), None):
            if other == stored or (other and other.at >= following.at):
                continue
            wrong = await store.apply(BucketChange(bucket, [Change("a", other, following)]))
            assert wrong == Conflict(["a"])
        base = stored and stored._replace(time_ms=0)
        assert await store.apply(BucketChange(bucket, [Change("a", base, following)])) == Applied(1)
        assert await store.documents(bucket, ["a"]) == [following]
        stored = following


@pytest.mark.parametrize(("epoch", "version"), PLACES[1:])
async def test_a_document_is_newer_than_its_base(store: Store, bucket: Bucket, epoch: int, version: int) -> None:
    base = Document(epoch, version, 0, b"{}")
    assert await store.apply(BucketChange(bucket, [Change("a", None, base)])) == Applied(1)
    for place in [(epoch, version), *(place for place in PLACES if place < (epoch, version))]:
        with pytest.raises(StoreMisconfiguredError, match="not newer"):
            await store.apply(BucketChange(bucket, [Change("a", base, Document(*place, LATE_MS, b"{}"))]))
    parked = base._replace(flags=PARKED)
    assert await store.apply(BucketChange(bucket, [Change("a", base, parked)])) == Applied(1)
