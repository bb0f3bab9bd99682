"""The batched reader: one trip per tick, what vouches travels with what it vouches for, and each item fails alone."""

import asyncio

import pytest

from gateway.engine.reader import BatchedReader, settled
from projections.contexts.orders import order_count, order_docs
from projections.errors import RebuildingError, StoreMisconfiguredError, StoreUnavailableError
from projections.store.change import BucketChange, Change
from projections.store.document import Document, pack
from projections.store.keys import Bucket, index_list
from projections.store.memory import CORRUPT, MemoryStore
from projections.store.port import DocumentKey, Listing, MeasureQuery, Page, PageQuery, ReadAnswer, Wanted
from tests.reads import document_keys, list_count
from tests.serving import mark_built, put
from tests.shop_views import order

BUCKET = Bucket("orders", order_docs.version, 0)
PAGE = PageQuery("orders", order_docs.version, 1, "by_status", ("*",), 10)
LISTING = Listing("orders", order_docs.version, 1, "by_status", 10, descending=True)
PLACED, SHIPPED = (index_list("by_status", (status,)) for status in ("PLACED", "SHIPPED"))
NUMBER = MeasureQuery("orders", order_docs.version, 1, order_count.name, "c-1")


class Trips(MemoryStore):
    """Remembers each trip."""

    def __init__(self) -> None:
        super().__init__()
        self.trips: list[tuple[list[str], int, int]] = []

    async def read(self, wanted: Wanted) -> ReadAnswer:
        self.trips.append(([key.id for key in document_keys(wanted)], list_count(wanted), len(wanted.measures)))
        return await super().read(wanted)


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


async def test_what_several_requests_of_a_tick_want_is_asked_for_once_and_each_has_its_own_answer(store: Trips) -> None:
    await put(store, order_docs, "o-2", order(2))
    one, two = (pack(document) for document in await store.documents(BUCKET, ["o-1", "o-2"]) if document)
    await mark_built(store)
    async with asyncio.TaskGroup() as tasks:
        reader = BatchedReader(store, tasks)
        first = reader.join(Wanted({BUCKET: ["o-1", "x", "o-2"]}, {LISTING: [PLACED, SHIPPED]}, [PAGE], [NUMBER]))
        second = reader.join(
            Wanted({BUCKET: ["o-2", "o-1", "o-2"]}, {LISTING: [SHIPPED, PLACED]}, [], [NUMBER, NUMBER])
        )
        third = reader.join(Wanted(lists={LISTING: [PLACED]}, pages=[PAGE]))
        a, b, c = await asyncio.gather(first, second, third)
    assert [len(store.trips), *store.trips[0]] == [1, ["o-1", "x", "o-2"], 3, 1], "asked once each"
    assert a.documents == {BUCKET: [one, None, two]}
    assert b.documents == {BUCKET: [two, one, two]}
    placed, shipped = a.lists[LISTING]
    assert isinstance(placed, Page)
    assert list(placed.stored) == [two, one]
    assert shipped == Page([], [], 0, False, False)
    assert b.lists == {LISTING: [shipped, placed]}
    assert (c.documents, c.lists, c.measures) == ({}, {LISTING: [placed]}, [])
    assert (list(a.pages), a.measures) == (list(c.pages), [2])
    assert b.measures == [2, 2]


@pytest.mark.parametrize("max_documents", [1, 2, 3, 100])
async def test_documents_of_several_calls_come_back_in_the_order_they_were_asked_for(
    store: Trips, max_documents: int
) -> None:
    stored: dict[Bucket, list[bytes]] = {}
    for number in range(3):
        bucket = BUCKET._replace(number=number)
        changes = [Change(f"n-{id}", None, Document(0, 10 * number + id, 0, b"{}")) for id in range(1, 4)]
        await store.apply(BucketChange(bucket, changes))
        stored[bucket] = [pack(change.document) for change in changes]
    wanted = Wanted({bucket: ["n-3", "n-1", "n-2"] for bucket in reversed(stored)}, {LISTING: [PLACED]})
    async with asyncio.TaskGroup() as tasks:
        reader = BatchedReader(store, tasks, max_documents=max_documents)
        _, checks = reader.measure(NUMBER, [DocumentKey(BUCKET._replace(number=2), "n-2")])
        answer = await reader.join(wanted)
        [check] = await asyncio.gather(*checks)
    assert check == Document(0, 22, 0, b"{}")
    assert answer.documents == {bucket: [three, one, two] for bucket, (one, two, three) in stored.items()}
    assert all(len(ids) <= max_documents + 1 for ids, _, _ in store.trips), "but for what vouches"
    assert sorted(id for ids, _, _ in store.trips for id in ids) == sorted(["n-1", "n-2", "n-3"] * 3)
    (with_lists,) = [(ids, measures) for ids, lists, measures in store.trips if lists]
    assert "n-2" in with_lists[0], "what vouches is in the trip of the list and the number"
    assert with_lists[1] == 1


async def test_a_trip_that_fails_is_the_answer_to_each_item_of_a_stage(store: Trips) -> None:
    store.available = False
    async with asyncio.TaskGroup() as tasks:
        reader = BatchedReader(store, tasks)
        wanted = Wanted({BUCKET: ["o-1", "o-2"]}, {LISTING: [PLACED, SHIPPED]}, [PAGE], [NUMBER])
        answer = await reader.join(wanted)
    items = [*answer.documents[BUCKET], *answer.lists[LISTING], *answer.pages, *answer.measures]
    assert [type(item) for item in items] == [StoreUnavailableError] * 6


async def test_bytes_that_are_not_headrace_s_are_handed_on_and_told_to_who_wants_a_document(store: Trips) -> None:
    store.buckets[BUCKET].corrupt.add("o-1")
    async with asyncio.TaskGroup() as tasks:
        reader = BatchedReader(store, tasks)
        asked, stage = reader.document(key("o-1")), reader.join(Wanted({BUCKET: ["o-1"]}))
        with pytest.raises(StoreMisconfiguredError, match="o-1"):
            await asked
        assert (await stage).documents == {BUCKET: [CORRUPT]}


class Stuck(MemoryStore):
    """Answers nobody before it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.let_go = asyncio.Event()

    async def read(self, wanted: Wanted) -> ReadAnswer:
        await self.let_go.wait()
        return await super().read(wanted)


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
