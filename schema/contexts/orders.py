"""The graph of the orders context; it adds a customer's orders, and what they come to, to Customer."""

from datetime import datetime
from decimal import Decimal

from projections.contexts.catalog import product_docs
from projections.contexts.customers import customer_docs
from projections.contexts.orders import (
    Line,
    OrderStatus,
    by_customer,
    by_status,
    last_order_at,
    order_count,
    order_docs,
    revenue_by_day,
    total_spent,
)
from schema import (
    BoundedContext,
    Connection,
    Example,
    Input,
    Ref,
    command,
    entity,
    extension,
    field,
    find,
    get,
    many,
    measure,
    one,
    part,
)
from schema.contexts.catalog import Product
from schema.contexts.customers import Customer


@part(Line)
class OrderLine:
    """One product in an order."""

    number: int = field(description="Counts from 1 within the order.")
    product: Product | None = one(product_docs, via="product_id")
    quantity: Decimal
    amount: Decimal = field(description="Quantity x unit price when placed, before discount and tax.")
    discount: Decimal = field(description="A share of the amount: 0.05 is 5 %.")
    tax: Decimal = field(description="A share of the discounted amount.")


@entity(order_docs)
class Order:
    """What a customer ordered, and how far it has come."""

    status: OrderStatus
    placed_at: datetime
    total: Decimal = field(description="Sum of amount x (1 - discount) x (1 + tax) over the lines, to the cent.")
    lines: list[OrderLine]
    customer: Customer | None = one(customer_docs, via="customer_id")


@extension(Customer)
class CustomerOrders:
    orders: Connection[Order] = many(order_docs, by_customer, description="Newest first.")
    order_count: int = measure(order_docs, order_count, description="All orders, cancelled ones too.")
    total_spent: Decimal = measure(order_docs, total_spent, description="The totals of all orders but cancelled ones.")
    last_order_at: datetime | None = measure(order_docs, last_order_at, description="Null before the first order.")


class PlaceOrderLine(Input):
    product: Ref[Product]
    quantity: Decimal


class PlaceOrderInput(Input):
    customer: Ref[Customer]
    lines: list[PlaceOrderLine]


class ConfirmOrderInput(Input):
    order: Ref[Order]


class CancelOrderInput(Input):
    order: Ref[Order]
    reason: str | None = None


class Query:
    order: Order | None = get(order_docs, description="One order by id or key.")
    orders: Connection[Order] = find(order_docs, by_status, description="Newest first.")
    revenue: Decimal = measure(
        order_docs, revenue_by_day, description="The totals of a day's orders, in UTC, cancelled ones left out."
    )


class Mutation:
    place_order = command(PlaceOrderInput, to="orders", path="/orders", reads=Order)
    confirm_order = command(ConfirmOrderInput, to="orders", path="/orders/{order}/confirm", reads=Order)
    cancel_order = command(CancelOrderInput, to="orders", path="/orders/{order}/cancel", reads=Order)


context = BoundedContext(
    "orders",
    entities=[Order],
    query=Query,
    mutation=Mutation,
    extensions=[CustomerOrders],
    examples=[
        Example(
            "Latest orders",
            """# Five bounded contexts in one answer; every level of the tree is one trip to the store.
query LatestOrders {
  orders(first: 5) {
    totalCount
    nodes {
      id
      status
      placedAt
      total
      customer { name segment }
      lines { number quantity amount product { title price } }
      payments { status amount captured }
      shipments { status carrier lineNumbers deliveredAt }
    }
    pageInfo { hasNextPage endCursor }
  }
}
""",
        ),
        Example(
            "Confirm an order",
            """# Put the id of a PLACED order into the variables. A refusal is an answer, not an error.
mutation ConfirmOrder($input: ConfirmOrderInput!) {
  confirmOrder(input: $input) {
    __typename
    ... on ConfirmOrderAccepted { receipt { token versions { id version } } order { id status version } }
    ... on CommandRefused { code title detail fields { path message } }
    ... on VersionConflict { expectedVersion currentVersion current { id } }
    ... on OutcomeUnknown { commandId reason }
  }
}
""",
            {"input": {"order": "Order:..."}},
        ),
    ],
)
