"""The compiled engine: what a plan is, when it is made, shared, broken off and left to the plain executor."""

import asyncio
import gc
import weakref
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from starlette.types import Message

from gateway.engine.documents import Documents
from gateway.engine.engine import MAX_VARIANTS, Data, Engine
from gateway.engine.limits import Limits
from gateway.engine.reader import BatchedReader
from gateway.engine.reruns import BURST, PER_S, Reruns
from gateway.engine.served import read_models
from gateway.errors import DeadlineExceededError, TooComplexError
from gateway.http.attended import Attendance
from gateway.http.request import ClientGoneError
from projections.contexts.orders import order_docs
from projections.contexts.payments import payment_docs
from projections.errors import StoreUnavailableError
from projections.store.document import pack, unpack
from projections.store.keys import Bucket
from projections.store.memory import MemoryStore
from projections.store.port import ReadAnswer, Wanted
from tests.reads import document_keys
from tests.serving import COMPOSED, gateway, put
from tests.shop_views import fill, payment


class Store(MemoryStore):
    """Counts round trips; holds them back while `held` is set; says that what it is asked of some read models cannot be had."""

    def __init__(self) -> None:
        super().__init__()
        self.trips: list[Wanted] = []
        self.held: asyncio.Event | None = None
        self.arrived = asyncio.Semaphore(0)
        self.down: set[str] = set()
        self.unfit: set[str] = set()
        self.extra = b""

    async def read(self, wanted: Wanted) -> ReadAnswer:
        self.trips.append(wanted)
        self.arrived.release()
        if self.held is not None:
            await self.held.wait()
        answer = await super().read(wanted)
        away = StoreUnavailableError("away")
        return ReadAnswer(
            {
                bucket: [
                    away if bucket.projection in self.down else self._spoilt(id, stored)
                    for id, stored in zip(wanted.documents[bucket], found, strict=True)
                ]
                for bucket, found in answer.documents.items()
            },
            {
                listing: [away if listing.projection in self.down else page for page in found]
                for listing, found in answer.lists.items()
            },
            [
                away if query.projection in self.down else page
                for query, page in zip(wanted.pages, answer.pages, strict=True)
            ],
            answer.measures,
        )

    def _spoilt(self, id: str, stored: Any) -> Any:
        document = unpack(stored) if isinstance(stored, bytes) else None
        if document is not None and document.view and self.extra:
            return pack(document._replace(view=b"{" + self.extra + document.view[1:]))
        return pack(document._replace(view=b'{"total":3}')) if id in self.unfit and document else stored


class Mine(dict[str, Any]):
    """Variables that can be watched."""


class Side:
    """An engine over a store, asked in process."""

    def __init__(self, store: Store, tasks: asyncio.TaskGroup, **options: Any) -> None:
        models = read_models(COMPOSED.graph, 1)
        self.store = store
        self.reader = BatchedReader(store, tasks)
        self.engine = Engine(COMPOSED.schema, COMPOSED.graph, models, self.reader, **options)
        self.documents = Documents(COMPOSED.schema, COMPOSED.graph, Limits())

    async def ask(self, text: str, variables: dict[str, Any] | None = None) -> Data | None:
        """What the engine answers; None when it leaves it to the plain executor."""
        operation = self.documents.get(text).operation(None)
        return await self.engine.answer(operation, operation.read(variables))

    async def data(self, text: str, variables: dict[str, Any] | None = None) -> Any:
        """The data of an answer without errors."""
        answer = await self.ask(text, variables)
        assert answer is not None, "it was left to the plain executor"
        assert not answer.errors
        return msgspec.json.decode(answer.data)


@asynccontextmanager
async def engine(store: Store, **options: Any) -> AsyncGenerator[Side]:
    class Done(Exception):  # noqa: N818 - ends the group
        pass

    try:
        async with asyncio.TaskGroup() as tasks:
            yield Side(store, tasks, **options)
            raise Done
    except* Done:
        pass


@pytest.fixture
async def store() -> Store:
    store = Store()
    await fill(store, orders=5)
    store.trips.clear()
    store.arrived = asyncio.Semaphore(0)
    return store


@pytest.fixture
async def side(store: Store) -> AsyncGenerator[Side]:
    async with engine(store) as found:
        yield found


ORDER = "query($id: ID!) { order(id: $id) { id total } }"


async def test_depth_is_round_trips_whatever_the_width(side: Side) -> None:
    text = """{ orders { nodes { id customer { name } lines { product { title } } payments { id } shipments { id } } }
                products { nodes { title } } order(id: "o-1") { total } revenue(day: "2026-01-02") }"""
    assert len((await side.data(text))["orders"]["nodes"]) == 5
    assert len(side.store.trips) == 2
    operation = side.documents.get(text).operation(None)
    assert side.engine.plan(operation, {}).round_trips == 2


async def test_a_document_is_asked_for_once_in_a_tick_by_all_requests(side: Side) -> None:
    await asyncio.gather(*(side.ask(ORDER, {"id": f"o-{number % 3 + 1}"}) for number in range(30)))
    [wanted] = side.store.trips
    assert sorted(key.id for key in document_keys(wanted)) == ["o-1", "o-2", "o-3"]


async def test_the_same_operation_of_a_tick_runs_once(side: Side) -> None:
    answers = await asyncio.gather(*(side.ask(ORDER, {"id": "o-1"}) for _ in range(20)))
    assert len({answer.data for answer in answers if answer}) == 1
    assert None not in answers
    assert side.engine.counts["shared"] == 19


async def test_an_answer_is_never_older_than_its_question(side: Side, store: Store) -> None:
    """What came after the read was sent has a read of its own."""
    store.held = asyncio.Event()
    first = asyncio.create_task(side.ask(ORDER, {"id": "o-1"}))
    await store.arrived.acquire()
    second = asyncio.create_task(side.ask(ORDER, {"id": "o-1"}))
    await store.arrived.acquire()
    store.held.set()
    await asyncio.gather(first, second)
    assert side.engine.counts["shared"] == 0


async def test_one_who_leaves_takes_nothing_from_those_who_share(side: Side, store: Store) -> None:
    store.held = asyncio.Event()
    asked = [asyncio.create_task(side.ask(ORDER, {"id": "o-1"})) for _ in range(5)]
    await store.arrived.acquire()
    asked[0].cancel()
    asked[3].cancel()
    await asyncio.sleep(0)
    store.held.set()
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [isinstance(answer, asyncio.CancelledError) for answer in answers] == [True, False, False, True, False]
    assert all(msgspec.json.decode(answers[n].data)["order"]["total"] == "12.30" for n in (1, 2, 4))  # type: ignore[union-attr]


async def test_what_nobody_waits_for_any_more_is_not_read(side: Side, store: Store) -> None:
    asked = asyncio.create_task(side.ask(ORDER, {"id": "o-1"}))
    await asyncio.sleep(0)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    await side.ask(ORDER, {"id": "o-2"})
    assert [[key.id for key in document_keys(wanted)] for wanted in store.trips] == [["o-2"]]


async def test_plans_by_flags_are_kept_up_to_a_bound_and_right_beyond_it(side: Side) -> None:
    names = [f"f{number}" for number in range(6)]
    fields = " ".join(f"a{number}: total @include(if: $f{number})" for number in range(6))
    text = f'query({" ".join(f"${name}: Boolean!" for name in names)}) {{ order(id: "o-1") {{ id {fields} }} }}'
    for choice in range(40):
        flags = {name: bool(choice >> bit & 1) for bit, name in enumerate(names)}
        data = await side.data(text, flags)
        assert set(data["order"]) == {"id"} | {f"a{bit}" for bit in range(6) if choice >> bit & 1}
    assert len(side.documents.get(text).operation(None).plans.plans) == MAX_VARIANTS


@pytest.mark.parametrize(
    "alias", ["__slots__", "__dict__", "__class__", "None", "class", "def", "constructor", "f0", "d0", "p0"]
)
async def test_names_that_mean_something_elsewhere(side: Side, alias: str) -> None:
    text = f"""{{ {alias}: order(id: "o-1") {{ {alias}: customer {{ {alias}: name x: id }} y: id
                  lines {{ {alias}: product {{ {alias}: title }} }} }} }}"""
    order = (await side.data(text))[alias]
    assert order[alias] == {alias: "Ada", "x": "Customer:c-1"}
    assert order["lines"][0] == {alias: {alias: "Bolt 1"}}


async def test_an_alias_that_is_the_name_of_another_stored_field(side: Side) -> None:
    text = """{ order(id: "o-1") { status: total total: status customerId: customer { name: segment segment: name }
                placedAt: lines { quantity: amount amount: number } lines { number } } }"""
    order = (await side.data(text))["order"]
    assert (order["status"], order["total"]) == ("12.30", "PLACED")
    assert order["customerId"] == {"name": "BUILDING", "segment": "Ada"}
    assert order["placedAt"][0] == {"quantity": "2.40", "amount": 1}
    assert order["lines"] == [{"number": 1}, {"number": 2}]


async def test_a_context_that_is_down_leaves_the_others_whole(side: Side, store: Store) -> None:
    store.down = {"customers", "shipments"}
    text = """{ order(id: "o-1") { total customer { name } payments { amount } }
                other: order(id: "o-2") { shipments { id } } orders(first: 2) { nodes { customer { name } total } } }"""
    answer = await side.ask(text)
    assert answer is not None
    data = msgspec.json.decode(answer.data)
    assert data["order"] == {"total": "12.30", "customer": None, "payments": [{"amount": "12.30"}]}
    assert data["other"] is None, "shipments may not be null, so their order is"
    assert data["orders"]["nodes"] == [{"customer": None, "total": "12.30"}] * 2
    paths = [tuple(error["path"]) for error in answer.errors]
    assert paths == [
        ("order", "customer"),
        ("other", "shipments"),
        ("orders", "nodes", 0, "customer"),
        ("orders", "nodes", 1, "customer"),
    ]
    assert {error["extensions"]["code"] for error in answer.errors} == {"READ_MODEL_UNAVAILABLE"}
    assert answer.errors[0]["locations"] == [{"line": 1, "column": 28}]


async def test_a_document_that_does_not_fit_is_left_to_the_plain_executor(side: Side, store: Store) -> None:
    store.unfit = {"o-1"}
    assert await side.ask(ORDER, {"id": "o-1"}) is None
    assert side.engine.counts["broken"] == 1
    assert await side.ask(ORDER, {"id": "o-2"}) is not None


async def test_no_more_than_so_many_are_left_to_the_plain_executor(side: Side, store: Store) -> None:
    store.unfit = {"o-1"}
    payments = store.buckets[Bucket("payments", payment_docs.version, 0)].documents
    payments["pay-2"] = payments["pay-2"]._replace(view=b'{"amount":3}')
    asked = 0
    while (answer := await side.ask(ORDER, {"id": "o-1"})) is None:
        asked += 1
    assert asked == side.engine.counts["broken"] >= BURST
    assert [(error["path"], error["extensions"]["code"]) for error in answer.errors] == [
        (["order"], "UNREADABLE_DOCUMENT")
    ]
    whole = await side.ask(ORDER, {"id": "o-3"})
    assert whole is not None
    assert not whole.errors, "what fits is answered as ever"
    listed = await side.ask('{ a: order(id: "o-1") { status } b: order(id: "o-2") { payments { amount } } }')
    assert listed is not None
    assert [(error["path"], error["extensions"]["code"]) for error in listed.errors] == [
        (["a"], "UNREADABLE_DOCUMENT"),
        (["b", "payments", 0], "UNREADABLE_DOCUMENT"),
    ]


def test_what_was_taken_comes_back() -> None:
    now_s = 1e6
    reruns = Reruns(lambda: now_s)
    assert [reruns.take() for _ in range(int(BURST) + 1)] == [True] * int(BURST) + [False]
    assert reruns.are_spent()
    now_s += 1.5 / PER_S
    assert not reruns.are_spent()
    assert [reruns.take(), reruns.take()] == [True, False]
    for _ in range(1000):
        assert not reruns.take()
    now_s += 1.0 / PER_S
    assert reruns.take(), "what was refused is no debt"
    now_s += 1e6
    assert sum(reruns.take() for _ in range(1000)) == BURST, "no more than so many were saved up"


async def test_many_at_once_have_no_more_than_the_allowance(side: Side, store: Store) -> None:
    store.unfit = {f"o-{number}" for number in range(1, 6)}
    text = "query($id: ID!, $x: Boolean!) { order(id: $id) { status version @include(if: $x) } }"
    asked = [side.ask(text, {"id": f"o-{n % 5 + 1}", "x": n % 2 == 0}) for n in range(100)]
    answers = await asyncio.gather(*asked)
    assert BURST <= answers.count(None) <= BURST + 2


async def test_what_variables_break_takes_nothing_of_the_allowance(side: Side, store: Store) -> None:
    text = 'query($f: Boolean = true) { order(id: "o-1") @include(if: $f) { status } }'
    for _ in range(100):
        assert await side.ask(text, {"f": None}) is None
    store.unfit = {"o-1"}
    assert await side.ask(ORDER, {"id": "o-1"}) is None, "the plain executor says which field it is"


async def test_what_is_not_compiled_leaves_nothing_of_its_requests_behind(side: Side) -> None:
    held: list[weakref.ref[Mine]] = []
    gc.disable()
    try:
        for _ in range(3):
            variables = Mine(name="Order")
            held.append(weakref.ref(variables))
            operation = side.documents.get("query($name: String!) { __type(name: $name) { name } }").operation(None)
            assert await side.engine.answer(operation, variables) is None
            del variables
    finally:
        gc.enable()
    assert [found() for found in held] == [None] * 3


@pytest.mark.parametrize("text", ["{ __schema { description } }", '{ __type(name: "Order") { name } }'])
async def test_introspection_is_the_plain_executor_s(side: Side, text: str) -> None:
    assert await side.ask(text) is None
    operation = side.documents.get(text).operation(None)
    assert side.engine.told(operation, {}) == {"compiled": False, "because": "introspection"}
    assert not side.store.trips


async def test_a_running_plan_stops_at_the_limit(store: Store) -> None:
    async with engine(store, max_nodes=12) as side:
        await side.data("{ orders { nodes { id } } }")
        with pytest.raises(TooComplexError, match="more than 12 objects"):
            await side.ask("{ orders { nodes { id lines { product { id } } payments { id } shipments { id } } } }")


async def test_a_store_that_breaks_in_a_way_nobody_planned_is_internal(side: Side, store: Store) -> None:
    async def broken(*_: Any) -> ReadAnswer:
        raise ValueError("a defect")

    store.read = broken  # type: ignore[method-assign,assignment]
    answer = await side.ask(ORDER, {"id": "o-1"})
    assert answer is not None
    assert answer.data == b'{"order":null}'
    assert answer.errors[0]["message"] == "internal error"
    assert answer.errors[0]["extensions"] == {"code": "INTERNAL"}


async def test_a_plan_can_be_seen_where_that_is_allowed(store: Store) -> None:
    text = "{ orders(first: 2) { nodes { customer { name } } } }"
    async with gateway(store, HEADRACE_SHOW_PLANS="1") as client:
        plan = (await client.ask(text, extensions={"plan": True}))["extensions"]["plan"]
        assert "extensions" not in await client.ask(text)
    assert plan["compiled"] is True
    assert plan["roundTrips"] == 2
    assert plan["cost"] > 0
    assert [stop["path"] for stop in plan["stops"]] == ["orders", "orders.nodes.customer"]
    async with gateway(store) as client:
        assert "extensions" not in await client.ask(text, extensions={"plan": True})


async def test_a_query_that_takes_too_long_is_broken_off(store: Store) -> None:
    store.held = asyncio.Event()
    async with gateway(store, HEADRACE_OPERATION_TIMEOUT_MS="60", HEADRACE_STORE_TIMEOUT_MS="10000") as client:
        answer = await client.ask(ORDER, {"id": "o-1"})
    assert answer["errors"][0]["extensions"]["code"] == "DEADLINE_EXCEEDED"
    assert "data" not in answer


async def test_a_client_that_leaves_ends_its_query(store: Store) -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def gone() -> Message:
        return {"type": "http.disconnect"}

    attendance = Attendance(10.0)
    with pytest.raises(ClientGoneError):
        await attendance.attended(work(), gone, attendance.now_s())
    assert ended.is_set()


async def test_a_deadline_counts_from_when_the_operation_began() -> None:
    async def stays() -> Any:
        await asyncio.Event().wait()

    attendance = Attendance(60.0)
    with pytest.raises(DeadlineExceededError):
        async with asyncio.timeout(10):
            await attendance.attended(asyncio.Event().wait(), stays, attendance.now_s() - 59.9)


async def test_a_choice_of_flags_beyond_the_bound_does_not_take_the_place_of_others(side: Side) -> None:
    names = [f"f{number}" for number in range(5)]
    fields = " ".join(f"a{number}: total @include(if: ${name})" for number, name in enumerate(names))
    text = f'query({" ".join(f"${name}: Boolean!" for name in names)}) {{ order(id: "o-1") {{ id {fields} }} }}'
    choices = [{name: bool(choice >> bit & 1) for bit, name in enumerate(names)} for choice in range(32)]
    for flags in choices:
        await side.data(text, flags)
    operation = side.documents.get(text).operation(None)
    first = side.engine.plan(operation, choices[0])
    for flags in choices:
        await side.data(text, flags)
    assert side.engine.plan(operation, choices[0]) is first
    assert side.engine.plan(operation, choices[-1]) is not side.engine.plan(operation, choices[-1])


async def test_a_cancellation_from_elsewhere_is_passed_on() -> None:
    async def stays() -> Any:
        await asyncio.Event().wait()

    attendance = Attendance(10.0)
    task = asyncio.create_task(attendance.attended(asyncio.Event().wait(), stays, attendance.now_s()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_deleted_order_is_null_and_its_rows_are_gone(side: Side, store: Store) -> None:
    await put(store, order_docs, "o-5", None, version=2)
    assert await side.data(ORDER, {"id": "o-5"}) == {"order": None}
    assert (await side.data("{ orders { totalCount } }"))["orders"]["totalCount"] == 4


async def test_what_is_shown_again_and_again_counts_every_time(store: Store) -> None:
    """A few orders with a few payments each become millions of objects when each leads to the other and back."""
    for number in range(2, 22):
        await put(store, payment_docs, f"more-{number}", payment("o-1"))
    text = "{ order(id: 1) { PAYMENTS } }".replace("1", '"o-1"')
    for _ in range(3):
        text = text.replace("PAYMENTS", "payments { order { PAYMENTS } }")
    async with engine(store, max_nodes=2_000) as side:
        with pytest.raises(TooComplexError, match="more than 2000 objects"):
            await side.ask(text.replace("PAYMENTS", "id"))
        short = '{ order(id: "o-1") { payments { order { payments { order { id } } } } } }'
        assert len((await side.data(short))["order"]["payments"]) == 21


async def test_the_plain_executor_has_a_bound_too(store: Store) -> None:
    for number in range(2, 42):
        await put(store, payment_docs, f"more-{number}", payment("o-1"))
    text = """query($x: Boolean = true) { order(id: "o-1") { customer { key @skip(if: $x) }
              payments { order { payments { order { payments { id } } } } } } }"""
    async with gateway(store) as client:
        answer = await client.ask(text, {"x": None})
    assert answer["errors"][0]["extensions"]["code"] == "TOO_COMPLEX"
    assert "data" not in answer


async def test_a_stored_name_that_is_not_declared_is_not_shown(side: Side, store: Store) -> None:
    store.extra = b'"secret":"S3CR3T","__typename":"Hidden",'
    text = """{ order(id: "o-1") { secret: __typename __typename status }
                customer(id: "c-1") { activity { nodes { secret: __typename lineage { secret: __typename topic } } } } }"""
    data = await side.data(text)
    assert data["order"] == {"secret": "Order", "__typename": "Order", "status": "PLACED"}
    entry = data["customer"]["activity"]["nodes"][0]
    assert entry == {"secret": "Activity", "lineage": {"secret": "Lineage", "topic": "shop.orders"}}


async def test_plans_count_in_what_documents_may_take(side: Side) -> None:
    before = side.documents.kept_bytes
    text = "query($f: Boolean!) { orders { nodes { id customer { name @include(if: $f) } } } }"
    await side.data(text, {"f": True})
    one = side.documents.kept_bytes
    await side.data(text, {"f": False})
    assert before < one < side.documents.kept_bytes
    again = side.documents.kept_bytes
    await side.data(text, {"f": True})
    assert side.documents.kept_bytes == again
