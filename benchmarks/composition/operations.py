"""What the peers are asked: the operations of `benchmarks/peers/operations`, and variables that vary.

Invariants: all peers are sent the same bytes; each body of an operation asks for something that is there, and for something else
than the others; the same seed gives the same bodies.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from benchmarks.composition.data import Shop
from projections.contexts.orders import OrderStatus, OrderView, by_status, order_docs
from projections.store.keys import member
from schema.paging import cursor

FOLDER: Final = Path(__file__).parents[1] / "peers" / "operations"
PAGE_ROWS: Final = 20
"""As order_list.graphql has it."""


@dataclass(frozen=True)
class Operation:
    """An operation and the bodies to send.

    Args:
        name: its file's name, and the beginning of its figures' names.
        text: the GraphQL document.
        bodies: JSON requests without line breaks; the first is the one that is sent when bodies do not vary.
    """

    name: str
    text: str
    bodies: Sequence[bytes]


def order_page(stocked: Shop, count: int) -> Operation:
    """One order over five contexts; up to `count` orders in random order."""
    ids = random.Random(2).sample(list(stocked.orders), min(count, len(stocked.orders)))
    return _operation("order_page", [{"id": id} for id in ids])


def order_list(stocked: Shop, count: int) -> Operation:
    """Twenty such orders; up to `count` pages of all orders, or of those of one status, from anywhere.

    Raises ValueError for a shop with too few orders to fill a page.
    """
    wanted: list[dict[str, Any]] = []
    for status in (None, *OrderStatus):
        listed = [item for item in stocked.orders.items() if status in (None, item[1].status)]
        newest_first = sorted(listed, key=_place, reverse=True)
        only = {} if status is None else {"status": status.value}
        wanted += [{**only, "after": _cursor(item)} for item in newest_first[: -PAGE_ROWS - 1]]
    return _operation("order_list", random.Random(3).sample(wanted, min(count, len(wanted))))


def request(text: str, variables: dict[str, Any]) -> bytes:
    """The body of a request."""
    return msgspec.json.encode({"query": text, "variables": variables})


def _operation(name: str, variables: Sequence[dict[str, Any]]) -> Operation:
    if not variables:
        raise ValueError(f"nothing to ask {name} for: the shop has too few orders")
    text = (FOLDER / f"{name}.graphql").read_text(encoding="utf-8")
    return Operation(name, text, [request(text, some) for some in variables])


def _place(item: tuple[str, OrderView]) -> bytes:
    return member(item[1].placed_at, item[0])


def _cursor(item: tuple[str, OrderView]) -> str:
    return cursor(f"{order_docs.name}.{by_status.name}", _place(item))
