"""A history goes into the five databases in batches, once, and what stops it says how far it came."""

import shutil
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import Engine, func, insert, select

from examples.shop.contexts import CONTEXTS
from examples.shop.service.aggregates import look
from examples.shop.service.database import open_engine, writing
from examples.shop.service.history import write_history
from examples.shop.service.outbox import pending
from examples.shop.service.tables import aggregates, claims, outbox
from examples.shop.tpch import write
from examples.shop.tpch.errors import LoadedError, NotRunningError, PartlyLoadedError, ScaleError
from examples.shop.tpch.history import STREAMS, count
from examples.shop.tpch.rows import Open
from examples.shop.tpch.write import Writer, Written, check_database_room, opened
from tests.shop.test_tpch_history import line, order, tables

ORDERS = 7
TABLE = tables(
    orders=[order(key, "F" if key % 2 else "O") for key in range(1, ORDERS + 1)],
    lineitem=[
        line(key, number, "F" if key % 2 else "O", f"1994-02-0{number}", "1994-03-04")
        for key in range(1, ORDERS + 1)
        for number in (1, 2)
    ],
)


def ignore(stage: str, done: int, total: int) -> None:
    """A progress that nobody looks at."""


@pytest.fixture
def databases(tmp_path: Path) -> Mapping[str, str]:
    return {context.name: f"sqlite:///{tmp_path}/{context.name}.sqlite" for context in CONTEXTS}


@pytest.fixture
def engines(databases: Mapping[str, str]) -> Iterator[Mapping[str, Engine]]:
    with opened(databases) as found:
        yield found


@pytest.fixture
def in_batches_of_three(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "_AGGREGATES_AT_ONCE", 3)


def rows(engine: Engine) -> int:
    with engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(aggregates)) or 0


def load(engines: Mapping[str, Engine], table: Open = TABLE) -> dict[str, Written]:
    return Writer(engines, ignore).write(table, count(table))


def test_every_fact_is_in_its_outbox_in_order(engines: Mapping[str, Engine]) -> None:
    written = load(engines)
    for context in CONTEXTS:
        histories = list(STREAMS[context.name](TABLE))
        facts = [
            (one.id, version, type(fact).__name__)
            for one in histories
            for version, (fact, _) in enumerate(one.facts, 1)
        ]
        with engines[context.name].connect() as connection:
            waiting = pending(connection, 1_000)
            assert [(row.key, row.version, row.type.rpartition(".")[2]) for row in waiting] == facts
            for history in histories:
                stored = look(connection, context, history.id)
                assert stored is not None
                assert (stored.version, stored.state is not None) == (len(history.facts), True)
        part = written[context.name]
        assert (part.aggregates, part.records) == (len(histories), len(facts))
        assert list(part.last) == [(history.id, len(history.facts)) for history in histories]


def test_the_time_of_a_fact_is_not_the_time_of_loading(engines: Mapping[str, Engine]) -> None:
    load(engines)
    with engines["orders"].connect() as connection:
        assert {row.time for row in pending(connection, 1_000)} == {"1994-01-02T00:00:00Z", "1994-03-04T00:00:00Z"}


@pytest.mark.usefixtures("in_batches_of_three")
def test_progress_is_told_batch_by_batch(engines: Mapping[str, Engine]) -> None:
    told: list[tuple[str, int, int]] = []
    Writer(engines, lambda *step: told.append(step)).write(TABLE, count(TABLE))
    assert [step for step in told if step[0] == "orders"] == [("orders", 3, 7), ("orders", 6, 7), ("orders", 7, 7)]
    assert [step[0] for step in told] == sorted([step[0] for step in told], key=list(STREAMS).index)


@pytest.mark.usefixtures("in_batches_of_three")
def test_only_the_last_aggregates_are_remembered(
    engines: Mapping[str, Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "_LAST", 2)
    assert list(load(engines)["orders"].last) == [("6", 1), ("7", 3)]


def test_a_shop_takes_it_once(engines: Mapping[str, Engine]) -> None:
    load(engines)
    before = {name: rows(engine) for name, engine in engines.items()}
    with pytest.raises(LoadedError, match="customers, catalog, orders, payments and shipping of this shop hold"):
        load(engines)
    assert {name: rows(engine) for name, engine in engines.items()} == before


def test_nothing_is_written_when_one_context_has_it(engines: Mapping[str, Engine]) -> None:
    (payments,) = (context for context in CONTEXTS if context.name == "payments")
    with writing(engines["payments"]) as connection:
        write_history(connection, payments, [next(iter(STREAMS["payments"](TABLE)))])
    with pytest.raises(LoadedError) as refused:
        load(engines)
    assert "payments of this shop hold a TPC-H history already, customers, catalog, orders and shipping do not" in str(
        refused.value
    )
    assert {name: rows(engine) for name, engine in engines.items() if name != "payments"} == dict.fromkeys(
        ("customers", "catalog", "orders", "shipping"), 0
    )


@pytest.mark.usefixtures("in_batches_of_three")
def test_a_taken_id_on_the_way_says_how_far_it_came(engines: Mapping[str, Engine]) -> None:
    with writing(engines["shipping"]) as connection:
        connection.execute(insert(claims), {"name": "line:5:2", "aggregate_id": "s-1"})
    with pytest.raises(PartlyLoadedError) as stopped:
        load(engines)
    how_far = "customers 1 of 1, catalog 1 of 1, orders 7 of 7, payments 7 of 7, shipping 9 of 14"
    assert f"in part ({how_far}): one of its ids is taken" in str(stopped.value)
    assert rows(engines["shipping"]) == 9
    with engines["shipping"].connect() as connection:
        assert connection.scalar(select(func.count()).select_from(outbox)) == 6 + 2 + 6 + 2 + 3


@pytest.mark.usefixtures("in_batches_of_three")
def test_it_stops_between_two_batches(engines: Mapping[str, Engine]) -> None:
    def stop_in_orders(stage: str, done: int, total: int) -> None:
        if stage == "orders":
            writer.stop()

    writer = Writer(engines, stop_in_orders)
    with pytest.raises(PartlyLoadedError, match=r"orders 3 of 7, payments 0 of 7, shipping 0 of 14\): it was stopped"):
        writer.write(TABLE, count(TABLE))
    assert rows(engines["orders"]) == 3


def test_commands_of_the_running_service_come_between_the_batches(
    engines: Mapping[str, Engine], databases: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "_AGGREGATES_AT_ONCE", 1)
    other = open_engine(databases["orders"])

    def take_one() -> None:
        with writing(other) as connection:
            connection.execute(insert(claims), {"name": f"n{len(taken)}", "aggregate_id": "o-1"})
            taken.append(None)

    def between(stage: str, done: int, total: int) -> None:
        if stage == "orders":
            thread = threading.Thread(target=take_one)
            thread.start()
            thread.join(5)

    taken: list[None] = []
    Writer(engines, between).write(TABLE, count(TABLE))
    other.dispose()
    assert len(taken) == ORDERS


def test_a_database_that_cannot_be_used_is_named(databases: Mapping[str, str], tmp_path: Path) -> None:
    wrong = {**databases, "payments": f"sqlite:///{tmp_path}/nowhere/payments.sqlite"}
    with pytest.raises(NotRunningError, match="the database of payments cannot be used"), opened(wrong):
        pass


def test_a_full_disk_is_seen_before(
    engines: Mapping[str, Engine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def disk(free_bytes: int) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=free_bytes))

    disk(79_000_000)
    with pytest.raises(ScaleError, match=f"needs some 80 MB in {tmp_path}, where 79 MB are free"):
        check_database_room(engines, 0.01)
    disk(81_000_000)
    check_database_room(engines, 0.01)
