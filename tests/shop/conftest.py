"""Fixtures of the shop: one service per test on a fresh database, on SQLite and where it matters on PostgreSQL."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from examples.shop import catalog, customers, orders, payments, shipping
from tests.shop import postgres
from tests.shop.service import ServiceUnderTest, under_test


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of the run's PostgreSQL; skips where none is installed."""
    programs = postgres.installed()
    if programs is None:
        pytest.skip("PostgreSQL is not installed here")
    with postgres.running(programs) as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A database file that is not there yet."""
    return f"sqlite:///{tmp_path}/shop.sqlite"


@pytest.fixture
def postgres_url(postgres_server: str) -> str:
    """An empty database on PostgreSQL, for what SQLite cannot show."""
    return postgres.new_schema(postgres_server)


@pytest.fixture(params=["sqlite", "postgresql"])
def any_url(request: pytest.FixtureRequest) -> str:
    """An empty database of each kind."""
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    return url


@pytest.fixture
async def customers_service(sqlite_url: str) -> AsyncIterator[ServiceUnderTest]:
    async with under_test(customers.context, sqlite_url) as service:
        yield service


@pytest.fixture
async def catalog_service(any_url: str) -> AsyncIterator[ServiceUnderTest]:
    async with under_test(catalog.context, any_url) as service:
        yield service


@pytest.fixture
async def orders_service(any_url: str) -> AsyncIterator[ServiceUnderTest]:
    async with under_test(orders.context, any_url) as service:
        yield service


@pytest.fixture
async def payments_service(sqlite_url: str) -> AsyncIterator[ServiceUnderTest]:
    async with under_test(payments.context, sqlite_url) as service:
        yield service


@pytest.fixture
async def shipping_service(any_url: str) -> AsyncIterator[ServiceUnderTest]:
    async with under_test(shipping.context, any_url) as service:
        yield service


@pytest.fixture
async def orders_on_sqlite(sqlite_url: str) -> AsyncIterator[ServiceUnderTest]:
    """For long lists of cases that are not about the database."""
    async with under_test(orders.context, sqlite_url) as service:
        yield service
