"""The contexts that the pages show are really built: composed, checked, fed with events, queried, commanded."""

from __future__ import annotations

import asyncio
import json
import runpy
import shutil
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import httpx
import pytest

from gateway.compose import compose
from projections.consume import Consumer
from projections.contexts.catalog import product_docs
from projections.declare import Projection
from projections.log.memory import MemoryBroker, MemoryLog
from projections.store.memory import MemoryStore
from projections.telemetry import Instruments
from schema.errors import CompositionError
from schema.model import ReadModel
from tests.architecture.adoption import contexts_from, copy_of_the_shop, gateway_commands, patched, shop_alone, write
from tests.architecture.pages import DOCS, README, blocks
from tests.architecture.tree import FLOORS, imported, named, parsed, python_files
from tests.serving import Client, gateway, put
from tests.shop_contexts import CONTEXTS, IS_SERVED, NAMES, PROJECTIONS
from tests.shop_views import product

TUTORIAL: Final = DOCS / "guides" / "tutorial-first-context.md"
WITHIN_S: Final = 10.0


@pytest.fixture(scope="module")
def adopted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree without the shop, with the README's context alone, as the README says it is done."""
    tree = copy_of_the_shop(tmp_path_factory.mktemp("adopted"))
    for floor in ("projections", "schema"):
        for path in (tree / floor / "contexts").glob("*.py"):
            if path.name != "__init__.py":
                path.unlink()
    written = write(blocks(README, "python"), tree)
    assert sorted(written) == [
        "projections/catalog.py",
        "projections/contexts/tickets.py",
        "schema/catalog.py",
        "schema/contexts/tickets.py",
    ]
    return tree


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop with the tutorial's context."""
    if not IS_SERVED:
        pytest.skip("the catalogs do not name the shop any more, and the tutorial begins with it")
    tree = copy_of_the_shop(tmp_path_factory.mktemp("extended"))
    written = write(blocks(TUTORIAL), tree)
    assert sorted(written) == [
        "projections/catalog.py",
        "projections/contexts/reviews.py",
        "publish_review.py",
        "schema/catalog.py",
        "schema/contexts/reviews.py",
        "tests/contexts/test_reviews.py",
    ]
    return tree


def test_an_adopters_tree_without_the_shop_composes(adopted: Path) -> None:
    codes, output, errors = gateway_commands("schema --write", "check", cwd=adopted)
    assert (codes, errors) == ([0, 0], "")
    assert output.splitlines()[0] == "1 entity, 2 queries, 2 commands: they fit"
    sdl = (adopted / "schema" / "schema.graphql").read_text(encoding="utf-8")
    assert "type Ticket implements Node" in sdl
    assert "Order" not in sdl


def test_the_tutorials_tree_composes(extended: Path) -> None:
    codes, _, errors = gateway_commands("check", "schema --write", "check", cwd=extended)
    assert codes == [1, 0, 0]
    assert "schema.graphql is stale: run python -m gateway schema --write" in errors


def test_what_the_tutorial_breaks_is_told(extended: Path, tmp_path: Path) -> None:
    for floor in ("projections", "schema"):
        shutil.copytree(extended / floor / "contexts", tmp_path / floor / "contexts")
    graph = tmp_path / "schema" / "contexts" / "reviews.py"
    graph.write_text(graph.read_text(encoding="utf-8").replace('via="product_id"', 'via="productid"'), encoding="utf-8")
    with contexts_from(tmp_path, "reviews") as (read_model, broken), pytest.raises(CompositionError) as told:
        compose([*CONTEXTS, broken.context], [*PROJECTIONS, read_model.review_docs])
    assert "'productid'" in told.value.what
    assert told.value.where == "schema.contexts.reviews.Review.product and projections.contexts.reviews.ReviewView"
    assert told.value.mend


@pytest.fixture
def tickets(adopted: Path) -> Iterator[tuple[ModuleType, ModuleType]]:
    with contexts_from(adopted, "tickets") as modules:
        yield modules


@pytest.fixture
def reviews(extended: Path) -> Iterator[tuple[ModuleType, ModuleType]]:
    with contexts_from(extended, "reviews") as modules:
        yield modules


def test_the_tutorials_test_passes(reviews: tuple[ModuleType, ModuleType], extended: Path) -> None:
    found = runpy.run_path(str(extended / "tests" / "contexts" / "test_reviews.py"))
    tests = {name: test for name, test in found.items() if name.startswith("test_")}
    assert sorted(tests) == ["test_withdrawn", "test_written"]
    for test in tests.values():
        test()


@asynccontextmanager
async def projected(projection: Any, broker: MemoryBroker, store: MemoryStore) -> AsyncGenerator[None]:
    """A projector of one projection, for as long as the block runs."""
    consumer = Consumer(projection, MemoryLog(broker), store, instruments=Instruments())
    async with asyncio.TaskGroup() as group:
        group.create_task(consumer.run())
        try:
            async with asyncio.timeout(WITHIN_S):
                await consumer.assigned.wait()
                yield
        finally:
            consumer.stop()


def ticket_event(kind: str, version: int, data: dict[str, Any]) -> dict[str, Any]:
    headers = [
        ("ce_type", f"desk.tickets.{kind}".encode()),
        ("ce_subject", b"ticket/t-1"),
        ("ce_aggregateversion", b"%d" % version),
        ("ce_time", b"2026-01-31T12:00:00Z"),
    ]
    return {"key": b"t-1", "value": json.dumps(data).encode(), "headers": headers}


def desk(broker: MemoryBroker, received: list[httpx.Request]) -> Any:
    """The write service behind the README's two commands, cut down to what it answers and publishes."""

    def answer(request: httpx.Request) -> httpx.Response:
        received.append(request)
        if request.url.path == "/tickets":
            title = json.loads(request.content)["title"]
            broker.append(
                "desk.tickets", **ticket_event("TicketOpened", 1, {"title": title, "openedAt": "2026-01-31T12:00:00Z"})
            )
            return httpx.Response(201, headers={"Aggregate-Version": '"ticket/t-1";v=1'}, json={})
        broker.append("desk.tickets", **ticket_event("TicketClosed", 2, {"closedAt": "2026-01-31T13:00:00Z"}))
        return httpx.Response(200, headers={"Aggregate-Version": '"ticket/t-1";v=2'}, json={})

    return answer


OPEN: Final = """mutation { openTicket(input: {title: "It drips"}) {
  ... on OpenTicketAccepted { receipt { token } ticket { id version title status } } } }"""
CLOSE: Final = """mutation { closeTicket(input: {ticket: "Ticket:t-1"}) {
  ... on CloseTicketAccepted { receipt { token } ticket { version status } } } }"""
LIST: Final = (
    "{ tickets(status: CLOSED) { totalCount nodes { key openedAt } } open: tickets(status: OPEN) { totalCount } }"
)


async def test_the_readmes_context_runs(tickets: tuple[ModuleType, ModuleType]) -> None:
    read_model, graph = tickets
    composed = compose([graph.context], [read_model.ticket_docs])
    broker, store = MemoryBroker(), MemoryStore()
    broker.create("desk.tickets")
    received: list[httpx.Request] = []
    served = gateway(store, desk(broker, received), composed=composed, HEADRACE_SERVICES="tickets=http://desk.test")
    async with projected(read_model.ticket_docs, broker, store), served as client:
        opened = await client.data(OPEN, extensions={"consistency": {"maxWaitMs": 2000}})
        assert opened["openTicket"]["ticket"] == {
            "id": "Ticket:t-1",
            "version": 1,
            "title": "It drips",
            "status": "OPEN",
        }
        closed = await client.data(CLOSE, extensions={"consistency": {"maxWaitMs": 2000}})
        assert closed["closeTicket"]["ticket"] == {"version": 2, "status": "CLOSED"}
        token = closed["closeTicket"]["receipt"]["token"]
        answer = await client.ask(LIST, headers={"Headrace-After": token})
        assert answer["extensions"]["consistency"]["satisfied"] is True
        assert answer["data"] == {
            "tickets": {"totalCount": 1, "nodes": [{"key": "t-1", "openedAt": "2026-01-31T12:00:00Z"}]},
            "open": {"totalCount": 0},
        }
    assert [request.url.path for request in received] == ["/tickets", "/tickets/t-1/close"]


async def test_the_tutorials_context_runs_beside_the_shop(
    reviews: tuple[ModuleType, ModuleType], extended: Path
) -> None:
    read_model, graph = reviews
    composed = compose([*CONTEXTS, graph.context], [*PROJECTIONS, read_model.review_docs])
    script = runpy.run_path(str(extended / "publish_review.py"))
    [query] = [block.text for block in blocks(TUTORIAL, "graphql")]
    broker, store = MemoryBroker(), MemoryStore()
    await put(store, product_docs, "p-1", product("Bolt"))
    async with projected(read_model.review_docs, broker, store), gateway(store, composed=composed) as client:
        for _ in range(2):  # the page publishes it twice
            broker.append(script["TOPIC"], key=script["KEY"], value=script["value"]("p-1"), headers=script["HEADERS"])
        review = await _until_there(client, query)
    assert review == {
        "id": "Review:r-1",
        "version": 1,
        "author": "Ada",
        "starsText": "****",
        "product": {"title": "Bolt", "reviews": {"totalCount": 1, "nodes": [{"text": "Holds."}]}},
    }


async def _until_there(client: Client, query: str) -> dict[str, Any]:
    async with asyncio.timeout(WITHIN_S):
        while True:
            review: dict[str, Any] | None = (await client.data(query))["review"]
            if review is not None:
                return review
            await asyncio.sleep(0.01)


def without(name: str) -> tuple[list[Any], list[Any]]:
    """The catalogs without one context's lines."""
    contexts = [context for context in CONTEXTS if context.name != name]
    gone = [model for model in PROJECTIONS if author_of(model).__module__ == f"projections.contexts.{name}"]
    assert (len(contexts), len(gone)) == (len(CONTEXTS) - 1, 1)
    return contexts, [model for model in PROJECTIONS if model not in gone]


def the_shops(*floors: str) -> list[Path]:
    """The Python files of floors, without contexts that are not the shop's."""
    return [path for path in python_files(*floors) if path.parent.name != "contexts" or path.stem in NAMES]


def author_of(model: ReadModel) -> Any:
    """The function that its author wrote."""
    return model.evolve if isinstance(model, Projection) else model.entry


@pytest.mark.parametrize(
    ("name", "entity"), [("payments", "Payment"), ("shipping", "Shipment"), ("activity", "Activity")]
)
def test_a_context_that_nobody_builds_on_can_go(name: str, entity: str) -> None:
    sdl = compose(*without(name)).sdl()
    assert entity not in sdl
    assert "type Order implements Node" in sdl
    files = {f"projections.contexts.{name}", f"schema.contexts.{name}"}
    users = [named(path) for path in the_shops(*FLOORS) if files & set(imported(parsed(path)))]
    assert users == [f"schema/contexts/{name}.py"], "its two files are imported by nothing but each other"


@pytest.mark.parametrize("name", ["customers", "catalog", "orders"])
def test_a_context_that_others_build_on_cannot_and_is_told_who(name: str) -> None:
    with pytest.raises(CompositionError) as told:
        compose(*without(name))
    users = {
        ".".join(Path(named(path)).with_suffix("").parts)
        for path in the_shops("schema")
        if f"schema.contexts.{name}" in imported(parsed(path))
    }
    assert any(user in told.value.where for user in users), told.value


@pytest.mark.parametrize(
    ("imports", "line"),
    [
        ("from schema.contexts import catalog, mine, orders\n", "    mine.context,\n"),
        ("from schema.contexts import (\n    catalog,\n    mine,\n    orders,\n)\n", "    mine.context,\n"),
        ("from schema.contexts import catalog, orders\nfrom schema.contexts.mine import context\n", "    context,\n"),
        (
            "from schema.contexts import catalog, orders\nfrom schema.contexts import mine as ours\n",
            "    ours.context,\n",
        ),
    ],
)
def test_what_an_adopter_added_to_a_catalog_is_taken_out(imports: str, line: str) -> None:
    rest = (
        "from schema.declare import BoundedContext\n\nCONTEXTS: tuple[BoundedContext, ...] = (\n    orders.context,\n"
    )
    before = f"from schema.contexts import catalog, orders\n{rest}    catalog.context,\n)\n"
    assert shop_alone(f"{imports}{rest}{line}    catalog.context,\n)\n", "schema.contexts") == before
    assert shop_alone(before, "schema.contexts") == before


def test_a_hunk_that_does_not_fit_fails() -> None:
    assert patched("a\nb\nc\n", " a\n-b\n+x\n") == "a\nx\nc\n"
    with pytest.raises(AssertionError, match="expected once"):
        patched("a\nb\n", " a\n-c\n")
