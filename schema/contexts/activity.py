"""The graph of the activity context: it adds to Customer what happened to them, in all contexts."""

from projections.contexts.activity import activity
from schema import Activity, BoundedContext, Connection, Example, extension, timeline
from schema.contexts.customers import Customer


@extension(Customer)
class CustomerActivity:
    activity: Connection[Activity] = timeline(
        activity, description="What happened to them and to their orders, newest first."
    )


context = BoundedContext(
    "activity",
    extensions=[CustomerActivity],
    examples=[
        Example(
            "What happened to a customer",
            """# Every entry says which event it is, and which record of which topic brought it.
query WhatHappened($customer: ID!) {
  customer(id: $customer) {
    name
    orderCount
    totalSpent
    lastOrderAt
    activity(first: 10) {
      totalCount
      nodes { when what type subject correlationId lineage { topic partition offset eventId } }
      pageInfo { hasNextPage endCursor }
    }
  }
}
""",
            {"customer": "Customer:..."},
        ),
    ],
)
