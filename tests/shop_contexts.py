"""The shop's own contexts and read models, as the catalogs name them when the shop is served.

Invariants: neither what an adopter adds to the catalogs nor what they take out of them makes a difference here, so that tests
that speak of the shop hold in an adopter's checkout too, as long as the shop's files are there. Tests of what is served (is the
SDL fresh, does `check` pass) take the catalogs themselves.
"""

from __future__ import annotations

from typing import Any, Final

from projections.contexts import activity, catalog, customers, orders, payments, shipping
from projections.declare import Projection
from projections.timeline import Timeline
from schema.catalog import CONTEXTS as SERVED
from schema.contexts import activity as activity_graph
from schema.contexts import catalog as catalog_graph
from schema.contexts import customers as customers_graph
from schema.contexts import orders as orders_graph
from schema.contexts import payments as payments_graph
from schema.contexts import shipping as shipping_graph
from schema.declare import BoundedContext

PROJECTIONS: Final[tuple[Projection[Any, Any] | Timeline[Any], ...]] = (
    customers.customer_docs,
    catalog.product_docs,
    orders.order_docs,
    payments.payment_docs,
    shipping.shipment_docs,
    activity.activity,
)
CONTEXTS: Final[tuple[BoundedContext, ...]] = (
    customers_graph.context,
    catalog_graph.context,
    orders_graph.context,
    payments_graph.context,
    shipping_graph.context,
    activity_graph.context,
)
NAMES: Final = tuple(context.name for context in CONTEXTS)
"""Of the contexts, and of the two files that each has."""
IS_SERVED: Final = any(context in SERVED for context in CONTEXTS)
"""False in a checkout whose catalogs name an adopter's contexts alone: there the committed SDL says nothing of the shop."""
