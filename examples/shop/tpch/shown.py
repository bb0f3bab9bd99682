"""Waits until what was written is published, projected, and shown by the gateway.

Invariant: "shown" is what a client sees. Reports of lag are a second old and only drive the progress; the end is told
by the last aggregates of every context, at their versions, and by the totals of the graph.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import httpx
from sqlalchemy import Engine, func, select

from examples.shop.contexts import CONTEXTS
from examples.shop.service.tables import aggregates, outbox
from examples.shop.tpch.errors import NotShownError
from examples.shop.tpch.write import Progress, Written

# The slowest single step seen is a fetch of the broker; a minute without any change is a part that stands still.
_STANDSTILL_S = 60.0
_POLL_S = 0.1
_CONNECTIONS = {"customers": "customers", "catalog": "products", "orders": "orders"}
_TYPES = {context.name: context.aggregate.capitalize() for context in CONTEXTS}
_QUERY = """query Shown($customers: [ID!]!, $catalog: [ID!]!, $orders: [ID!]!, $payments: [ID!]!, $shipping: [ID!]!) {
  customers: nodes(ids: $customers) { ... on Customer { version } }
  catalog: nodes(ids: $catalog) { ... on Product { version } }
  orders: nodes(ids: $orders) { ... on Order { version } }
  payments: nodes(ids: $payments) { ... on Payment { version } }
  shipping: nodes(ids: $shipping) { ... on Shipment { version } }
}"""
_TOTALS = "query Totals { customers { totalCount } products { totalCount } orders { totalCount } }"


async def until_shown(
    gateway: httpx.AsyncClient, engines: Mapping[str, Engine], written: Mapping[str, Written], progress: Progress
) -> float:
    """Returns the seconds that it took. `gateway` has the gateway's base URL.

    Raises `NotShownError` when nothing changes for a minute.
    """
    started = time.monotonic()
    await _until_published(engines, sum(part.records for part in written.values()), progress)
    await _until_projected(gateway, engines, written, progress)
    return time.monotonic() - started


async def _until_published(engines: Mapping[str, Engine], records: int, progress: Progress) -> None:
    ends = {name: await asyncio.to_thread(_end, engine) for name, engine in engines.items()}
    still = _Standstill()
    while True:
        waiting = {name: await asyncio.to_thread(_waiting, engines[name], end) for name, end in ends.items()}
        left = sum(waiting.values())
        progress("published", max(0, records - left), records)
        if not left:
            return
        if still.lasts(waiting):
            stuck = ", ".join(f"{count:,} of {name}" for name, count in waiting.items() if count)
            raise NotShownError(f"the history is written, but records wait in the outboxes: {stuck}")
        await asyncio.sleep(_POLL_S)


def _end(engine: Engine) -> int:
    """The `seq` of the last fact that is in the outbox now; 0 when it is empty."""
    with engine.connect() as connection:
        return connection.scalar(select(func.max(outbox.c.seq))) or 0


def _waiting(engine: Engine, end: int) -> int:
    """How many facts up to `end` are still in the outbox (a little more when the database leaves gaps)."""
    with engine.connect() as connection:
        oldest = connection.scalar(select(func.min(outbox.c.seq)))
    return 0 if oldest is None else max(0, end + 1 - oldest)


async def _until_projected(
    gateway: httpx.AsyncClient, engines: Mapping[str, Engine], written: Mapping[str, Written], progress: Progress
) -> None:
    records = sum(part.records for part in written.values())
    still = _Standstill()
    while True:
        behind = await _lag(gateway)
        left = sum(lag or 0 for lag in behind.values())
        if left:
            progress("projected", max(0, records - left), records)
        caught_up = bool(behind) and all(lag == 0 for lag in behind.values())
        missing = await _missing(gateway, engines, written) if caught_up else None
        if missing == []:
            progress("projected", records, records)
            return
        if still.lasts((behind, missing)):
            raise NotShownError(
                f"the history is published, but the gateway does not show it: {_reason(behind, missing)}"
            )
        await asyncio.sleep(_POLL_S)


async def _lag(gateway: httpx.AsyncClient) -> dict[str, int | None]:
    """Records behind, by projection (None: its projector never reported); nothing when the gateway is not ready."""
    try:
        state = (await gateway.get("/readyz")).json()
    except (httpx.TransportError, ValueError):
        return {}
    return {name: projection["lag"] for name, projection in state.get("projections", {}).items()}


async def _missing(
    gateway: httpx.AsyncClient, engines: Mapping[str, Engine], written: Mapping[str, Written]
) -> list[str] | None:
    """The contexts of which the graph does not show all; None when it does not answer."""
    ids = {name: [f"{_TYPES[name]}:{key}" for key, _ in part.last] for name, part in written.items()}
    found = await _ask(gateway, _QUERY, ids)
    totals = await _ask(gateway, _TOTALS, {})
    if found is None or totals is None:
        return None
    missing = {name for name, part in written.items() if not _all_there(found[name], part)}
    for name, connection in _CONNECTIONS.items():
        if totals[connection]["totalCount"] < await asyncio.to_thread(_living, engines[name]):
            missing.add(name)
    return sorted(missing)


def _all_there(nodes: list[dict[str, int] | None], part: Written) -> bool:
    return all(
        node is not None and node["version"] >= version for node, (_, version) in zip(nodes, part.last, strict=True)
    )


def _living(engine: Engine) -> int:
    with engine.connect() as connection:
        return connection.scalar(select(func.count()).where(aggregates.c.state.is_not(None))) or 0


async def _ask(gateway: httpx.AsyncClient, query: str, variables: Mapping[str, Any]) -> dict[str, Any] | None:
    """The data of an answer without errors, else None."""
    try:
        answer = (await gateway.post("/graphql", json={"query": query, "variables": variables})).json()
    except (httpx.TransportError, ValueError):
        return None
    return None if answer.get("errors") else answer.get("data")


def _reason(behind: Mapping[str, int | None], missing: list[str] | None) -> str:
    if not behind:
        return "it is not ready"
    silent = [name for name, lag in behind.items() if lag is None]
    if silent:
        return f"no projector reports for {', '.join(silent)}"
    late = [f"{name} is {lag:,} records behind" for name, lag in behind.items() if lag]
    return "; ".join(late) or f"missing in {', '.join(missing or ['every answer'])}"


class _Standstill:
    """Notices that a value has stayed the same for a minute."""

    def __init__(self) -> None:
        self._value: object = None
        self._since = time.monotonic()

    def lasts(self, value: object) -> bool:
        if value != self._value:
            self._value, self._since = value, time.monotonic()
        return time.monotonic() - self._since > _STANDSTILL_S
