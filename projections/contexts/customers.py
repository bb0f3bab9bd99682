"""Customers, as the customers service publishes them."""

from datetime import date

from projections import Event, Index, Personal, Projection, View


class CustomerState(Event):
    name: Personal[str]
    email: Personal[str | None]
    segment: str
    nation: str
    since: date | None


class CustomerView(View):
    name: Personal[str]
    email: Personal[str | None]
    segment: str
    nation: str
    since: date | None


def evolve(view: CustomerView | None, event: CustomerState) -> CustomerView:
    return CustomerView(
        name=event.name, email=event.email, segment=event.segment, nation=event.nation, since=event.since
    )


by_segment = Index[CustomerView]("by_segment", filters=("segment?",), sort="name")
customer_docs = Projection(
    name="customers",
    version=1,
    topics=["shop.customers"],
    aggregate="customer",
    state=True,
    evolve=evolve,
    indexes=[by_segment],
)
