"""The five contexts of the shop, in the order in which a purchase meets them."""

from typing import Any

from examples.shop import catalog, customers, orders, payments, shipping
from examples.shop.service.declare import Context

CONTEXTS: tuple[Context[Any], ...] = (
    customers.context,
    catalog.context,
    orders.context,
    payments.context,
    shipping.context,
)
