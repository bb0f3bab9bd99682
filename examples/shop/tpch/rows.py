"""The rows of the TPC-H tables that the shop's history is made of, as `tpchgen-cli csv` writes them.

Invariants: pure; a stream in, a stream out, one order in memory at a time (both `orders.csv` and `lineitem.csv` are in
the order of the order's key); money and shares are exact.
"""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from examples.shop.tpch.errors import GenerateError

Lines = Iterable[str]
"""The lines of a CSV file, its header first."""
Open = Callable[[str], Lines]
"""Gives the lines of a table (`lineitem`) from the beginning, each time it is called."""

OPEN, PARTLY, FINISHED = "O", "P", "F"
"""The status of a line (`O`, `F`) and of an order: no line, some lines, all lines are finished."""
_LINE_COLUMNS = (
    "l_orderkey",
    "l_linenumber",
    "l_partkey",
    "l_quantity",
    "l_extendedprice",
    "l_discount",
    "l_tax",
    "l_linestatus",
    "l_shipdate",
    "l_receiptdate",
    "l_shipmode",
)


class LineItem(NamedTuple):
    """A line of an order; `quantity`, `price`, `discount` and `tax` as in the data set, `price` for the whole line."""

    number: int
    part: str
    quantity: Decimal
    price: Decimal
    discount: Decimal
    tax: Decimal
    status: str
    shipped_at: datetime
    received_at: datetime
    ship_mode: str


class OrderRow(NamedTuple):
    """An order and its lines in ascending number. Days are midnight in UTC."""

    key: str
    customer: str
    status: str
    total: Decimal
    ordered_at: datetime
    lines: Sequence[LineItem]


def rows(lines: Lines, *columns: str) -> Iterator[tuple[str, ...]]:
    """These columns (two or more) of every row. Raises `GenerateError` when the header has not got them."""
    table = csv.reader(lines)
    header = next(table, [])
    missing = [column for column in columns if column not in header]
    if missing:
        raise GenerateError(
            f"the generator's files have no column {', '.join(missing)}: another version of it is needed"
        )
    return map(itemgetter(*map(header.index, columns)), table)


def order_rows(table: Open) -> Iterator[OrderRow]:
    """Every order with its lines. Raises `GenerateError` when the two tables do not go together."""
    items = groupby(rows(table("lineitem"), *_LINE_COLUMNS), key=itemgetter(0))
    heads = rows(table("orders"), "o_orderkey", "o_custkey", "o_orderstatus", "o_totalprice", "o_orderdate")
    for key, customer, status, total, day in heads:
        if status not in (OPEN, PARTLY, FINISHED):
            raise GenerateError(f"order {key} has the unknown status {status!r}")
        of_order, group = next(items, ("", iter(())))
        if of_order != key:
            raise GenerateError(f"order {key} is followed by the lines of {of_order or 'no order'}")
        lines = sorted(_line_item(item) for item in group)
        yield OrderRow(key, customer, status, Decimal(total), midnight(day), lines)
    if (left := next(items, None)) is not None:
        raise GenerateError(f"the lines of {left[0]} have no order")


@lru_cache(maxsize=4_096)  # the data set spans some 2,500 days
def midnight(day: str) -> datetime:
    """`1996-01-02` at 00:00 UTC."""
    return datetime.fromisoformat(day).replace(tzinfo=UTC)


def _line_item(item: tuple[str, ...]) -> LineItem:
    _, number, part, quantity, price, discount, tax, status, shipped, received, mode = item
    return LineItem(
        int(number),
        part,
        Decimal(quantity),
        Decimal(price),
        Decimal(discount),
        Decimal(tax),
        status,
        midnight(shipped),
        midnight(received),
        mode,
    )
