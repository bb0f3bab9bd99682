"""The projections that are served, one line each."""

from typing import Any

from projections.contexts import catalog, customers, orders, payments, shipping
from projections.declare import Projection

PROJECTIONS: tuple[Projection[Any, Any], ...] = (
    customers.customer_docs,
    catalog.product_docs,
    orders.order_docs,
    payments.payment_docs,
    shipping.shipment_docs,
)
