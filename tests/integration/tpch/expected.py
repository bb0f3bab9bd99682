"""What the graph has to say about a TPC-H history, derived from the generator's files by SQL.

Invariant: shares nothing with the loader; tables are imported as text, and each rule of the mapping is one line of SQL.
"""

import csv
import json
import sqlite3
import subprocess
import sysconfig
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Json = dict[str, Any]

_CUSTOMERS = """
  SELECT c_custkey AS key, 'Customer:' || c_custkey AS id, 1 AS version, c_name AS name, NULL AS email,
         c_mktsegment AS segment, n_name AS nation, NULL AS since
  FROM customer JOIN nation ON n_nationkey = c_nationkey"""
_PRODUCTS = """
  SELECT p_partkey AS key, 'Product:' || p_partkey AS id, 1 AS version, 'P-' || p_partkey AS sku, p_name AS title,
         p_brand AS brand, p_type AS category, p_retailprice AS price
  FROM part"""
_ORDERS = """
  SELECT o_custkey AS customer, o_orderkey AS key, 'Order:' || o_orderkey AS id, o_totalprice AS total,
         o_orderdate || 'T00:00:00Z' AS placedAt,
         CASE o_orderstatus WHEN 'O' THEN 'PLACED' WHEN 'P' THEN 'CONFIRMED' WHEN 'F' THEN 'COMPLETED' END AS status,
         CASE o_orderstatus WHEN 'O' THEN 1 WHEN 'P' THEN 2 WHEN 'F' THEN 3 END AS version
  FROM orders"""
_LINES = """
  SELECT l_orderkey AS "order", CAST(l_linenumber AS INTEGER) AS number, l_quantity AS quantity,
         l_extendedprice AS amount, l_discount AS discount, l_tax AS tax,
         json_object('key', p_partkey, 'sku', 'P-' || p_partkey, 'title', p_name) AS product
  FROM lineitem JOIN part ON p_partkey = l_partkey
  ORDER BY number"""
_PAYMENTS = """
  SELECT o_orderkey AS "order", 'pay-' || o_orderkey AS key, o_totalprice AS amount, '0.00' AS refunded,
         o_orderdate || 'T00:00:00Z' AS authorizedAt,
         iif(o_orderstatus = 'F', 'CAPTURED', 'AUTHORIZED') AS status,
         iif(o_orderstatus = 'F', o_totalprice, '0.00') AS captured,
         iif(o_orderstatus = 'F', 2, 1) AS version
  FROM orders"""
_SHIPMENTS = """
  WITH shipment AS (
    SELECT l_orderkey, l_shipdate, l_linestatus, o_orderdate, max(l_receiptdate) AS received,
           json_group_array(CAST(l_linenumber AS INTEGER)) AS numbers
    FROM lineitem JOIN orders ON o_orderkey = l_orderkey
    GROUP BY l_orderkey, l_shipdate),
  travelled AS (
    SELECT *, l_linestatus = 'F' AS dispatched, l_linestatus = 'F' AND received <= '1995-06-17' AS delivered
    FROM shipment)
  SELECT l_orderkey AS "order", l_orderkey || '-' || replace(l_shipdate, '-', '') AS key, numbers AS lineNumbers,
         (SELECT l_shipmode FROM lineitem AS line
          WHERE line.l_orderkey = travelled.l_orderkey AND line.l_shipdate = travelled.l_shipdate
          ORDER BY CAST(l_linenumber AS INTEGER) LIMIT 1) AS carrier, o_orderdate || 'T00:00:00Z' AS createdAt,
         iif(dispatched, l_shipdate || 'T00:00:00Z', NULL) AS dispatchedAt,
         iif(delivered, received || 'T00:00:00Z', NULL) AS deliveredAt,
         iif(delivered, 'DELIVERED', iif(dispatched, 'DISPATCHED', 'CREATED')) AS status,
         1 + dispatched + delivered AS version
  FROM travelled
  ORDER BY key"""


@dataclass(frozen=True)
class Expected:
    """Entities as the graph shows them, by key; orders have their lines, payments and shipments (in the order of keys)."""

    customers: dict[str, Json]
    products: dict[str, Json]
    orders: dict[str, dict[str, Json]]
    """By the customer's key and their own."""

    @property
    def order_count(self) -> int:
        return sum(map(len, self.orders.values()))


def generate(scale: str, folder: Path) -> None:
    """Lets the generator write its files into `folder`."""
    program = Path(sysconfig.get_path("scripts"), "tpchgen-cli")
    subprocess.run([program, "csv", "-s", scale, "--output-dir", folder, "--quiet"], check=True)


def lines_in(file: Path) -> int:
    """The rows of a table, counted as lines of its file."""
    return len(file.read_text(encoding="utf-8").splitlines()) - 1


def read(folder: Path) -> Expected:
    """What the graph has to say about the history in `folder`."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.row_factory = sqlite3.Row
        for table in ("customer", "nation", "part", "orders", "lineitem"):
            _import(database, table, folder / f"{table}.csv")
        orders: dict[str, dict[str, Json]] = defaultdict(dict)
        lines, payments, shipments = (_by_order(database, query) for query in (_LINES, _PAYMENTS, _SHIPMENTS))
        for row in map(dict, database.execute(_ORDERS)):
            key = row["key"]
            order = row | {"lines": lines[key], "payments": payments[key], "shipments": shipments[key]}
            orders[order.pop("customer")][key] = order
        return Expected(
            customers={row["key"]: dict(row) for row in database.execute(_CUSTOMERS)},
            products={row["key"]: dict(row) | {"available": True} for row in database.execute(_PRODUCTS)},
            orders=orders,
        )


def _import(database: sqlite3.Connection, table: str, file: Path) -> None:
    with file.open(encoding="utf-8", newline="") as lines:
        rows = csv.reader(lines)
        columns = next(rows)
        database.execute(f"CREATE TABLE {table} ({', '.join(f'{column} TEXT' for column in columns)})")
        database.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(columns))})", rows)
    database.execute(f"CREATE INDEX {table}_key ON {table} ({columns[0]})")


def _by_order(database: sqlite3.Connection, query: str) -> dict[str, list[Json]]:
    found: dict[str, list[Json]] = defaultdict(list)
    for row in map(dict, database.execute(query)):
        if "product" in row:
            row["product"] = json.loads(row["product"])
        if "lineNumbers" in row:
            row["lineNumbers"] = sorted(json.loads(row["lineNumbers"]))
        found[row.pop("order")].append(row)
    return found
