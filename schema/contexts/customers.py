"""The graph of the customers context."""

from datetime import date

from projections.contexts.customers import by_segment, customer_docs
from schema import BoundedContext, Connection, Example, Input, Ref, command, entity, field, find, get


@entity(customer_docs, tags=["public"])
class Customer:
    """Somebody who orders."""

    name: str
    email: str | None = field(description="Where receipts go; null when none was given.")
    segment: str = field(description="The market segment, such as BUILDING.")
    nation: str
    since: date | None = field(description="The day of registration; null for customers from before it was recorded.")


class RegisterCustomerInput(Input):
    name: str
    email: str | None = None
    segment: str
    nation: str


class ChangeContactInput(Input):
    customer: Ref[Customer]
    name: str | None = None
    email: str | None = None


class Query:
    customer: Customer | None = get(customer_docs, description="One customer by id or key.")
    customers: Connection[Customer] = find(customer_docs, by_segment, description="Customers by name.")


class Mutation:
    register_customer = command(RegisterCustomerInput, to="customers", path="/customers", reads=Customer)
    change_contact = command(ChangeContactInput, to="customers", path="/customers/{customer}/contact", reads=Customer)


context = BoundedContext(
    "customers",
    entities=[Customer],
    query=Query,
    mutation=Mutation,
    examples=[
        Example(
            "Register a customer",
            """# The payload reads the customer back with the command's own token.
mutation Register($input: RegisterCustomerInput!) {
  registerCustomer(input: $input) {
    __typename
    ... on RegisterCustomerAccepted {
      receipt { commandId token versions { id version } }
      customer { id name email segment nation version }
    }
    ... on CommandRefused { code title detail fields { path message } }
    ... on OutcomeUnknown { commandId reason }
  }
}
""",
            {"input": {"name": "Ada Lovelace", "email": "ada@example.org", "segment": "BUILDING", "nation": "ENGLAND"}},
        )
    ],
)
