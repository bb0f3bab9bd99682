"""TPC-H rows become facts: keys, versions, times, and what each status of the data set stands for."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice

import msgspec
import pytest

from examples.shop.contexts import CONTEXTS
from examples.shop.orders import OrderCompleted, OrderConfirmed, OrderLine, OrderPlaced
from examples.shop.payments import PaymentAuthorized, PaymentCaptured
from examples.shop.service.history import History
from examples.shop.shipping import ShipmentCreated, ShipmentDelivered, ShipmentDispatched
from examples.shop.tpch.errors import GenerateError
from examples.shop.tpch.history import STREAMS, count
from examples.shop.tpch.rows import Lines, Open

NATION = ["n_nationkey,n_name,n_regionkey,n_comment", '8,INDIA,2,"a, b"', "3,CANADA,1,c"]
CUSTOMER = [
    "c_custkey,c_name,c_address,c_nationkey,c_phone,c_acctbal,c_mktsegment,c_comment",
    '37,Customer#000000037,"7EV4Pwh,3SboctTWt",8,18-385-235-7162,-917.75,FURNITURE,"x, y"',
]
PART = [
    "p_partkey,p_name,p_mfgr,p_brand,p_type,p_size,p_container,p_retailprice,p_comment",
    '9,thistle dim navajo,Manufacturer#4,Brand#43,SMALL BURNISHED STEEL,12,WRAP CASE,909.00,"ironic, foxes"',
]
ORDERS_HEADER = (
    "o_orderkey,o_custkey,o_orderstatus,o_totalprice,o_orderdate,o_orderpriority,o_clerk,o_shippriority,o_comment"
)
LINE_HEADER = (
    "l_orderkey,l_partkey,l_suppkey,l_linenumber,l_quantity,l_extendedprice,l_discount,l_tax,l_returnflag,l_linestatus,"
    "l_shipdate,l_commitdate,l_receiptdate,l_shipinstruct,l_shipmode,l_comment"
)


def order(key: int, status: str, day: str = "1994-01-02", total: str = "31.50") -> str:
    return f'{key},37,{status},{total},{day},5-LOW,Clerk#000000951,0,"a, comment"'


def line(key: int, number: int, status: str, shipped: str, received: str, mode: str = "TRUCK") -> str:
    dates = f"{shipped},1995-01-01,{received}"
    return f'{key},9,4,{number},{number}0,{number}0.50,0.04,0.10,N,{status},{dates},NONE,{mode},"a, comment"'


def tables(**lines: list[str]) -> Open:
    """The data set of one customer and one product, with these rows of `orders` and `lineitem`."""
    texts: Mapping[str, list[str]] = {
        "nation": NATION,
        "customer": CUSTOMER,
        "part": PART,
        "orders": [ORDERS_HEADER, *lines.get("orders", [])],
        "lineitem": [LINE_HEADER, *lines.get("lineitem", [])],
    } | {name: rows for name, rows in lines.items() if name not in ("orders", "lineitem")}

    def table(name: str) -> Lines:
        return (f"{row}\n" for row in texts[name])

    return table


def stream(context: str, table: Open) -> list[History]:
    return list(STREAMS[context](table))


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def kinds(history: History) -> list[str]:
    return [type(fact).__name__ for fact, _ in history.facts]


def test_a_customer() -> None:
    (customer,) = stream("customers", tables())
    assert customer.id == "37"
    ((state, at),) = customer.facts
    assert msgspec.to_builtins(state) == {
        "name": "Customer#000000037",
        "email": None,
        "segment": "FURNITURE",
        "nation": "INDIA",
        "since": None,
    }
    assert at == day("1992-01-01")


def test_a_product() -> None:
    (product,) = stream("catalog", tables())
    assert product.id == "9"
    ((state, at),) = product.facts
    assert msgspec.to_builtins(state) == {
        "sku": "P-9",
        "title": "thistle dim navajo",
        "brand": "Brand#43",
        "category": "SMALL BURNISHED STEEL",
        "price": "909.00",
        "available": True,
    }
    assert at == day("1992-01-01")


def test_an_open_order_is_placed_and_its_payment_authorised() -> None:
    table = tables(orders=[order(1, "O")], lineitem=[line(1, 1, "O", "1996-03-13", "1996-03-22")])
    placed = OrderPlaced(
        "37",
        day("1994-01-02"),
        Decimal("31.50"),
        (OrderLine(1, "9", Decimal(10), Decimal("10.50"), Decimal("0.04"), Decimal("0.10")),),
    )
    assert stream("orders", table) == [History("1", [(placed, day("1994-01-02"))])]
    authorized = PaymentAuthorized("1", "37", Decimal("31.50"), day("1994-01-02"))
    assert stream("payments", table) == [History("pay-1", [(authorized, day("1994-01-02"))])]


def test_a_partly_finished_order_is_confirmed_and_its_payment_only_authorised() -> None:
    lines = [line(7, 1, "F", "1995-06-10", "1995-06-12"), line(7, 2, "O", "1995-06-20", "1995-06-21")]
    table = tables(orders=[order(7, "P")], lineitem=lines)
    (found,) = stream("orders", table)
    assert kinds(found) == ["OrderPlaced", "OrderConfirmed"]
    assert found.facts[1] == (OrderConfirmed("37", day("1994-01-02")), day("1994-01-02"))
    (payment,) = stream("payments", table)
    assert kinds(payment) == ["PaymentAuthorized"]
    assert [kinds(shipment) for shipment in stream("shipping", table)] == [
        ["ShipmentCreated", "ShipmentDispatched", "ShipmentDelivered"],
        ["ShipmentCreated"],
    ]


def test_a_finished_order_is_completed_and_captured_in_full_when_its_last_line_arrives() -> None:
    lines = [line(3, 1, "F", "1994-02-02", "1994-03-04"), line(3, 2, "F", "1994-02-09", "1994-02-11")]
    table = tables(orders=[order(3, "F")], lineitem=lines)
    (found,) = stream("orders", table)
    assert kinds(found) == ["OrderPlaced", "OrderConfirmed", "OrderCompleted"]
    assert found.facts[2] == (OrderCompleted("37", day("1994-03-04")), day("1994-03-04"))
    (payment,) = stream("payments", table)
    captured = PaymentCaptured("3", "37", Decimal("31.50"), day("1994-03-04"))
    assert payment.facts[1:] == [(captured, day("1994-03-04"))]


def test_lines_that_are_shipped_on_one_day_travel_together() -> None:
    lines = [
        line(3, 3, "F", "1994-02-02", "1994-02-05", "RAIL"),
        line(3, 1, "F", "1994-02-09", "1994-02-20", "SHIP"),
        line(3, 2, "F", "1994-02-02", "1994-02-04", "AIR"),
    ]
    first, second = stream("shipping", tables(orders=[order(3, "F")], lineitem=lines))
    assert first == History(
        "3-19940202",
        [
            (ShipmentCreated("3", "37", "AIR", (2, 3), day("1994-01-02")), day("1994-01-02")),
            (ShipmentDispatched("3", "37", day("1994-02-02")), day("1994-02-02")),
            (ShipmentDelivered("3", "37", (2, 3), day("1994-02-05")), day("1994-02-05")),
        ],
    )
    assert second.id == "3-19940209"
    assert second.facts[0][0] == ShipmentCreated("3", "37", "SHIP", (1,), day("1994-01-02"))


@pytest.mark.parametrize(
    ("received", "last"), [("1995-06-17", "ShipmentDelivered"), ("1995-06-18", "ShipmentDispatched")]
)
def test_what_arrives_after_the_data_sets_today_is_on_its_way(received: str, last: str) -> None:
    lines = [line(3, 1, "F", "1995-06-10", "1995-06-11"), line(3, 2, "F", "1995-06-10", received)]
    (shipment,) = stream("shipping", tables(orders=[order(3, "F")], lineitem=lines))
    assert kinds(shipment)[-1] == last


def test_lines_are_in_ascending_number() -> None:
    lines = [line(3, number, "F", "1994-02-02", "1994-02-05") for number in (2, 10, 1)]
    (found,) = stream("orders", tables(orders=[order(3, "F")], lineitem=lines))
    placed = found.facts[0][0]
    assert isinstance(placed, OrderPlaced)
    assert [item.number for item in placed.lines] == [1, 2, 10]


def test_the_counts_are_those_of_the_streams() -> None:
    lines = [
        line(3, 1, "F", "1994-02-02", "1994-02-05"),
        line(3, 2, "F", "1994-02-09", "1994-02-20"),
        line(3, 3, "F", "1994-02-02", "1994-02-04"),
        line(4, 1, "O", "1994-02-02", "1994-02-04"),
    ]
    table = tables(orders=[order(3, "F"), order(4, "O")], lineitem=lines)
    assert count(table) == {context: len(stream(context, table)) for context in STREAMS}
    assert count(table)["shipping"] == 3


def test_a_stream_reads_no_further_than_it_is_asked() -> None:
    read: list[str] = []

    def table(name: str) -> Iterator[str]:
        rows = [ORDERS_HEADER, *(order(key, "O") for key in range(1, 100))]
        if name == "lineitem":
            rows = [LINE_HEADER, *(line(key, 1, "O", "1996-03-13", "1996-03-22") for key in range(1, 100))]
        for row in rows:
            read.append(row)
            yield row

    assert [history.id for history in islice(STREAMS["orders"](table), 3)] == ["1", "2", "3"]
    assert len(read) <= 10


def test_contexts_are_in_the_order_in_which_a_purchase_meets_them() -> None:
    assert list(STREAMS) == [context.name for context in CONTEXTS]


def test_every_history_can_be_folded_by_its_context() -> None:
    lines = [line(3, 1, "F", "1994-02-02", "1994-03-04"), line(4, 1, "O", "1994-02-09", "1994-02-11")]
    table = tables(orders=[order(3, "F"), order(4, "O")], lineitem=lines)
    statuses: dict[str, list[str]] = {}
    for context in CONTEXTS:
        for history in stream(context.name, table):
            state = None
            for event, at in history.facts:
                state = context.evolve(state, event)
                assert at.tzinfo is UTC
            statuses.setdefault(context.name, []).append(getattr(state, "status", ""))
            assert re.fullmatch(r"[A-Za-z0-9-]+", history.id)
    assert statuses["orders"] == ["COMPLETED", "PLACED"]
    assert statuses["payments"] == ["CAPTURED", "AUTHORIZED"]
    assert statuses["shipping"] == ["DELIVERED", "CREATED"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            {"orders": [order(1, "O"), order(2, "O")], "lineitem": [line(1, 1, "O", "1996-03-13", "1996-03-22")]},
            "order 2",
        ),
        ({"orders": [order(1, "O")], "lineitem": [line(2, 1, "O", "1996-03-13", "1996-03-22")]}, "order 1"),
        ({"orders": [], "lineitem": [line(5, 1, "O", "1996-03-13", "1996-03-22")]}, "lines of 5"),
        ({"orders": [order(1, "X")], "lineitem": [line(1, 1, "O", "1996-03-13", "1996-03-22")]}, "status 'X'"),
    ],
)
def test_tables_that_do_not_fit_together_are_refused(lines: dict[str, list[str]], message: str) -> None:
    with pytest.raises(GenerateError, match=message):
        stream("orders", tables(**lines))


def test_a_table_without_a_column_is_refused() -> None:
    with pytest.raises(GenerateError, match="no column p_brand, p_retailprice"):
        stream("catalog", tables(part=["p_partkey,p_name,p_type", "1,a,b"]))
    with pytest.raises(GenerateError, match="no column c_custkey"):
        stream("customers", tables(customer=[]))
