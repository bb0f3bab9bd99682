"""The batched reader: one trip per tick, what vouches travels with what it vouches for, and each item fails alone."""

import asyncio
from collections.abc import Sequence

import pytest

from gateway.engine.reader import BatchedReader, settled
from projections.contexts.orders import order_count, order_docs
from projections.errors import RebuildingError, StoreUnavailableError
from projections.store.keys import Bucket
from projections.store.memory import MemoryStore
from projections.store.port import DocumentKey, MeasureQuery, PageQuery, ReadAnswer
from tests.serving import mark_built, put
from tests.shop_views import order

BUCKET = Bucket("orders", order_docs.version, 0)
PAGE = PageQuery("orders", order_docs.version, 1, "by_status", ("*",), 10)
NUMBER = MeasureQuery("orders", order_docs.version, 1, order_count.name, "c-1")


class Trips(MemoryStore):
    """Remembers each trip."""

    def __init__(self) -> None:
        super().__init__()
        self.trips: list[tuple[list[str], int, int]] = []

    async def read(
        self, documents: Sequence[DocumentKey], pages: Sequence[PageQuery], measures: Sequence[MeasureQuery] = ()
    ) -> ReadAnswer:
        self.trips.append(([key.id for key in documents], len(pages), len(measures)))
        return await super().read(documents, pages, measures)


def key(id: str) -> DocumentKey:
    return DocumentKey(BUCKET, id)


@pytest.fixture
async def store() -> Trips:
    found = Trips()
    await put(found, order_docs, "o-1", order(1))
    return found


async def test_what_vouches_is_in_the_trip_of_what_it_vouches_for_however_many_there_are(store: Trips) -> None:
    async with asyncio.TaskGroup() as tasks:
        reader = BatchedReader(store, tasks, max_documents=2)
        asked = [reader.document(key(id)) for id in ("o-1", "a", "b", "c", "d")]
        number, checks = reader.measure(NUMBER, [key("o-1"), key("e")])
        page, _ = reader.page(PAGE, [key("a")])
        await asyncio.gather(*asked, *checks)
        assert (await number, (await page).total) == (1, 1)
    ((last, pages, measures),) = [trip for trip in store.trips if trip[1]]
    assert {"o-1", "e", "a"} <= set(last)
    assert (pages, measures) == (1, 1)
    assert sorted(id for ids, _, _ in store.trips for id in ids) == ["a", "b", "c", "d", "e", "o-1"], "asked once each"


async def test_one_that_is_being_rebuilt_fails_no_other(store: Trips) -> None:
    store.buckets[BUCKET].is_built = False
    async with asyncio.TaskGroup() as tasks:
        reader = BatchedReader(store, tasks)
        there, missing = reader.document(key("o-1")), reader.document(key("o-2"))
        number, _ = reader.measure(NUMBER)
        assert await there is not None
        with pytest.raises(RebuildingError):
            await missing
        assert isinstance(await settled(number), RebuildingError)
    assert len(store.trips) == 1


async def test_a_trip_that_fails_is_told_to_everybody_who_asked(store: Trips) -> None:
    await mark_built(store)
    store.available = False
    async with asyncio.TaskGroup() as tasks:
        reader = BatchedReader(store, tasks)
        number, (check,) = reader.measure(NUMBER, [key("o-1")])
        for asked in (number, check):
            with pytest.raises(StoreUnavailableError):
                await settled(asked)


class Stuck(MemoryStore):
    """Answers nobody before it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.let_go = asyncio.Event()

    async def read(
        self, documents: Sequence[DocumentKey], pages: Sequence[PageQuery], measures: Sequence[MeasureQuery] = ()
    ) -> ReadAnswer:
        await self.let_go.wait()
        return await super().read(documents, pages, measures)


async def test_each_trip_that_takes_too_long_has_an_error_of_its_own() -> None:
    store = Stuck()
    failed: list[StoreUnavailableError] = []
    async with asyncio.TaskGroup() as tasks:
        reader = BatchedReader(store, tasks, deadline_s=0.01)
        for _ in range(2):
            with pytest.raises(StoreUnavailableError, match="in time") as caught:
                await reader.document(key("o-1"))
            failed.append(caught.value)
        store.let_go.set()
    assert failed[0] is not failed[1]
