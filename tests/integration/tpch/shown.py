"""Everything that the graph shows of a shop, walked through as a client would: page by page, with nested edges."""

from collections.abc import Iterator
from typing import Any

import httpx

Json = dict[str, Any]

_ORDER_FIELDS = """
  key id version status placedAt total customer { key }
  lines { number quantity amount discount tax product { key sku title } }
  payments { key version status amount captured refunded authorizedAt }
  shipments { key version status carrier lineNumbers createdAt dispatchedAt deliveredAt }"""
_CUSTOMERS = f"""query($after: String) {{ customers(first: 10, after: $after) {{
  totalCount pageInfo {{ hasNextPage endCursor }}
  nodes {{ key id version name email segment nation since
    orders(first: 10) {{ totalCount pageInfo {{ hasNextPage endCursor }} nodes {{ {_ORDER_FIELDS} }} }} }} }} }}"""
_MORE_ORDERS = f"""query($id: ID!, $after: String) {{ customer(id: $id) {{
  orders(first: 10, after: $after) {{ pageInfo {{ hasNextPage endCursor }} nodes {{ {_ORDER_FIELDS} }} }} }} }}"""
_PRODUCTS = """query($after: String) { products(first: 60, after: $after) {
  totalCount pageInfo { hasNextPage endCursor }
  nodes { key id version sku title brand category price available } } }"""
_COUNTS = """{ customers { totalCount } products { totalCount } orders { totalCount }
  placed: orders(status: PLACED) { totalCount } confirmed: orders(status: CONFIRMED) { totalCount }
  cancelled: orders(status: CANCELLED) { totalCount } completed: orders(status: COMPLETED) { totalCount } }"""


class Graph:
    """Asks one gateway; fails on any error in an answer."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def ask(self, query: str, token: str | None = None, **variables: Any) -> Json:
        """The whole body of an answer without errors, read after `token`."""
        headers = {"Headrace-After": token} if token else {}
        reply = self._http.post("/graphql", json={"query": query, "variables": variables}, headers=headers)
        answer: Json = reply.json()
        assert reply.status_code == 200, answer
        assert "errors" not in answer, answer["errors"]
        return answer

    def customers(self) -> Iterator[Json]:
        """Every customer, in the order of the pages; `orders` is the list of all of its orders."""
        for customer in self._pages(_CUSTOMERS, "customers"):
            page = customer["orders"]
            total, orders = page["totalCount"], list(page["nodes"])
            while page["pageInfo"]["hasNextPage"]:
                asked = {"id": customer["id"], "after": page["pageInfo"]["endCursor"]}
                page = self.ask(_MORE_ORDERS, **asked)["data"]["customer"]["orders"]
                orders += page["nodes"]
            assert len(orders) == total, f"{customer['id']} has {total} orders, the pages have {len(orders)}"
            yield customer | {"orders": orders}

    def products(self) -> Iterator[Json]:
        """Every product, in the order of the pages."""
        return self._pages(_PRODUCTS, "products")

    def counts(self) -> dict[str, int]:
        """The totals of the connections."""
        return {name: found["totalCount"] for name, found in self.ask(_COUNTS)["data"].items()}

    def _pages(self, query: str, connection: str) -> Iterator[Json]:
        after: str | None = None
        while True:
            page = self.ask(query, after=after)["data"][connection]
            yield from page["nodes"]
            if not page["pageInfo"]["hasNextPage"]:
                return
            after = page["pageInfo"]["endCursor"]
