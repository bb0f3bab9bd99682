"""The bounded contexts that are composed, one line each."""

from schema.contexts import activity, catalog, customers, orders, payments, shipping
from schema.declare import BoundedContext

CONTEXTS: tuple[BoundedContext, ...] = (
    customers.context,
    catalog.context,
    orders.context,
    payments.context,
    shipping.context,
    activity.context,
)
