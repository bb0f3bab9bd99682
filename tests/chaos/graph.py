"""A graph over the harness's orders, for a gateway that reads while things fail."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Final

from gateway.compose import compose
from schema import BoundedContext, Connection, entity, find, get
from tests.chaos.models import by_customer, order_docs

CONTEXT: Final = "chaos"


@entity(order_docs)
class Order:
    """An order of the harness; `trail` follows from every event that was folded into it."""

    customer_id: str
    placed_at: datetime
    total: Decimal
    folded: int
    trail: int


class Query:
    order: Order | None = get(order_docs)
    orders: Connection[Order] = find(order_docs, by_customer)


COMPOSED: Final = compose([BoundedContext(CONTEXT, entities=[Order], query=Query)], [order_docs])
