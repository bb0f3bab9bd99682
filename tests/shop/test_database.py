"""Transactions: a decision is made on a state that nobody changes meanwhile."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import IntegrityError, OperationalError

from examples.shop.service.database import Database
from examples.shop.service.tables import claims, positions


@pytest.fixture
async def database(any_url: str) -> AsyncIterator[Database]:
    opened = Database(any_url)
    await opened.create_tables()
    yield opened
    await opened.close()


def offset(connection: Connection) -> int:
    """A number that the tests count up."""
    return int(connection.scalars(select(positions.c.next_offset).with_for_update()).one())


def count_up(connection: Connection, read: threading.Event, overtaken: threading.Event) -> None:
    """Reads, gives another process the time to come between, and writes."""
    before = offset(connection)
    read.set()
    overtaken.wait(0.2)
    connection.execute(update(positions).values(next_offset=before + 1))


async def test_nobody_comes_between_reading_and_writing(any_url: str, database: Database) -> None:
    await database.write(lambda connection: connection.execute(insert(positions).values(_START)))
    other = Database(any_url)
    read, overtaken = threading.Event(), threading.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(database.write(count_up, read, overtaken))
        await asyncio.to_thread(read.wait)
        overtaking = group.create_task(other.write(count_up, threading.Event(), threading.Event()))
        overtaking.add_done_callback(lambda _: overtaken.set())
    assert await database.read(offset) == 2
    await other.close()


_START = {"topic": "t", "partition": 0, "next_offset": 0}


async def test_what_loses_a_race_is_run_again(database: Database) -> None:
    runs: list[int] = []

    def work(connection: Connection) -> int:
        runs.append(1)
        if len(runs) < 3:
            raise IntegrityError("insert", None, Exception("taken"))
        return len(runs)

    assert await database.write(work) == 3


async def test_what_raises_leaves_nothing(database: Database) -> None:
    def work(connection: Connection) -> None:
        connection.execute(insert(claims).values(name="n", aggregate_id="a"))
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        await database.write(work)
    assert await database.read(lambda connection: connection.execute(select(claims)).all()) == []


async def test_a_claim_that_stays_taken_is_an_error(database: Database) -> None:
    def work(connection: Connection) -> None:
        connection.execute(insert(claims), [{"name": "n", "aggregate_id": "a"}] * 2)

    with pytest.raises(IntegrityError):
        await database.write(work)


async def test_tables_are_made_once(database: Database) -> None:
    await database.create_tables()
    await database.create_tables()


async def test_a_database_that_is_away_says_so() -> None:
    away = Database("postgresql+psycopg://shop@127.0.0.1:1/shop?connect_timeout=1")
    with pytest.raises(OperationalError):
        await away.create_tables()
    await away.close()
