"""A load is over when the outboxes are empty and the graph shows all of it; when nothing moves, it says what is stuck."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, delete, insert, select

from examples.shop.contexts import CONTEXTS
from examples.shop.service.database import writing
from examples.shop.service.tables import outbox
from examples.shop.tpch import shown
from examples.shop.tpch.errors import NotShownError
from examples.shop.tpch.history import count
from examples.shop.tpch.shown import until_shown
from examples.shop.tpch.write import Writer, Written, opened
from tests.shop.test_tpch_write import TABLE, ignore

LAGS: dict[str, int | None] = {"customers": 0, "products": 0, "orders": 0, "payments": 0, "shipments": 0}

NEW = {"aggregate": "order", "epoch": 0, "version": 1, "type": "t", "time": "2026-01-01T00:00:00Z", "data": b"{}"}


@dataclass
class Gateway:
    """Answers with what it was given; every call of `step` may change that."""

    written: Mapping[str, Written]
    lags: list[dict[str, int | None]]
    """What it says one after the other; the last one again and again."""
    stale: set[str] = field(default_factory=set)
    """Contexts whose last aggregate is not shown."""
    totals: dict[str, int] = field(default_factory=lambda: {"customers": 1, "products": 1, "orders": 7})
    heal_after: int = 1_000_000
    """After so many questions nothing is stale, and the totals are right."""
    asked: int = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/readyz":
            lags = self.lags.pop(0) if len(self.lags) > 1 else self.lags[0]
            projections = {name: {"running": True, "lag": lag, "stalenessMs": 0} for name, lag in lags.items()}
            return httpx.Response(200, json={"ready": True, "projections": projections})
        return httpx.Response(200, json={"data": self._answer(request.read().decode())})

    def _answer(self, body: str) -> dict[str, Any]:
        self.asked += 1
        healed = self.asked > self.heal_after
        if "totalCount" in body:
            totals = {"customers": 1, "products": 1, "orders": 7} if healed else self.totals
            return {name: {"totalCount": total} for name, total in totals.items()}
        nodes = {name: [{"version": version} for _, version in part.last] for name, part in self.written.items()}
        for name in () if healed else self.stale:
            nodes[name][-1] = {"version": 0}
        return nodes


@pytest.fixture
def engines(tmp_path: Path) -> Iterator[Mapping[str, Engine]]:
    with opened({context.name: f"sqlite:///{tmp_path}/{context.name}.sqlite" for context in CONTEXTS}) as found:
        yield found


@pytest.fixture
def written(engines: Mapping[str, Engine]) -> dict[str, Written]:
    """A small history that is written, and published."""
    found = Writer(engines, ignore).write(TABLE, count(TABLE))
    for engine in engines.values():
        publish(engine)
    return found


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shown, "_STANDSTILL_S", 0.2)
    monkeypatch.setattr(shown, "_POLL_S", 0.001)


def publish(engine: Engine, records: int = 1_000) -> None:
    with writing(engine) as connection:
        oldest = select(outbox.c.seq).order_by(outbox.c.seq).limit(records)
        connection.execute(delete(outbox).where(outbox.c.seq.in_(oldest)))


async def wait(
    gateway: Any, engines: Mapping[str, Engine], written: Mapping[str, Written]
) -> list[tuple[str, int, int]]:
    told: list[tuple[str, int, int]] = []
    async with httpx.AsyncClient(transport=httpx.MockTransport(gateway), base_url="http://gateway.test") as client:
        await until_shown(client, engines, written, lambda *step: told.append(step))
    return told


def total(written: Mapping[str, Written]) -> int:
    return sum(part.records for part in written.values())


async def test_it_is_over_when_all_is_shown(engines: Mapping[str, Engine], written: dict[str, Written]) -> None:
    told = await wait(Gateway(written, [LAGS]), engines, written)
    records = total(written)
    assert told == [("published", records, records), ("projected", records, records)]


async def test_it_waits_while_projections_are_behind(
    engines: Mapping[str, Engine], written: dict[str, Written]
) -> None:
    gateway = Gateway(written, [LAGS | {"orders": 9, "payments": None}, LAGS | {"orders": 3}, LAGS])
    records = total(written)
    assert [step for step in await wait(gateway, engines, written) if step[0] == "projected"] == [
        ("projected", records - 9, records),
        ("projected", records - 3, records),
        ("projected", records, records),
    ]


@pytest.mark.parametrize("stale", ["customers", "catalog", "orders", "payments", "shipping"])
async def test_a_report_of_no_lag_is_not_believed(
    engines: Mapping[str, Engine], written: dict[str, Written], stale: str
) -> None:
    gateway = Gateway(written, [LAGS], stale={stale}, heal_after=4)
    await wait(gateway, engines, written)
    assert gateway.asked > 4


@pytest.mark.parametrize("connection", ["customers", "products", "orders"])
async def test_the_totals_must_be_those_of_the_owners(
    engines: Mapping[str, Engine], written: dict[str, Written], connection: str
) -> None:
    gateway = Gateway(written, [LAGS], heal_after=4)
    gateway.totals[connection] -= 1
    await wait(gateway, engines, written)
    assert gateway.asked > 4


async def test_records_that_stay_in_an_outbox_are_told(engines: Mapping[str, Engine]) -> None:
    written = Writer(engines, ignore).write(TABLE, count(TABLE))
    for name in ("customers", "catalog", "payments", "shipping"):
        publish(engines[name])
    publish(engines["orders"], 4)
    with pytest.raises(NotShownError, match="records wait in the outboxes: 11 of orders"):
        await wait(Gateway(written, [LAGS]), engines, written)


async def test_what_is_written_meanwhile_is_not_waited_for(engines: Mapping[str, Engine]) -> None:
    """A shop that works has something in its outboxes at any time."""
    written = Writer(engines, ignore).write(TABLE, count(TABLE))
    told: list[int] = []

    def go_on(stage: str, done: int, total: int) -> None:
        told.append(done)
        for engine in engines.values():
            with writing(engine) as connection:
                connection.execute(delete(outbox))
                connection.execute(insert(outbox), {**NEW, "key": f"new-{len(told)}"})

    async with httpx.AsyncClient(
        transport=httpx.MockTransport(Gateway(written, [LAGS])), base_url="http://gateway.test"
    ) as client:
        await until_shown(client, engines, written, go_on)
    assert told == [0, total(written), total(written)]


@pytest.mark.parametrize(
    ("gateway", "reason"),
    [
        ({"lags": [LAGS | {"orders": 1_234}]}, "orders is 1,234 records behind"),
        ({"lags": [LAGS | {"payments": None}]}, "no projector reports for payments"),
        ({"lags": [LAGS], "stale": {"shipping", "orders"}}, "missing in orders, shipping"),
        ({"lags": [{}]}, "it is not ready"),
    ],
)
async def test_what_is_stuck_is_told(
    engines: Mapping[str, Engine], written: dict[str, Written], gateway: dict[str, Any], reason: str
) -> None:
    with pytest.raises(NotShownError, match=f"the gateway does not show it: {reason}"):
        await wait(Gateway(written, **gateway), engines, written)


async def test_a_gateway_that_is_away_is_told(engines: Mapping[str, Engine], written: dict[str, Written]) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(NotShownError, match="it is not ready"):
        await wait(refuse, engines, written)
