"""The projections and timelines that are served, one line each."""

from typing import Any

from projections.contexts import activity, catalog, customers, orders, payments, shipping
from projections.declare import Projection
from projections.timeline import Timeline

PROJECTIONS: tuple[Projection[Any, Any] | Timeline[Any], ...] = (
    customers.customer_docs,
    catalog.product_docs,
    orders.order_docs,
    payments.payment_docs,
    shipping.shipment_docs,
    activity.activity,
)
