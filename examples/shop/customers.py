"""The customers service: who buys. It publishes each customer's full state on the compacted topic `shop.customers`."""

from collections.abc import Sequence
from datetime import date, datetime

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from examples.shop.service.declare import Change, Context, Creation, Event, Input, Topic, nothing
from examples.shop.service.fields import Email, Key, Name


class CustomerState(Event):
    """A customer, as published and as stored."""

    name: str
    email: str | None
    segment: str
    nation: str
    since: date | None


class RegisterCustomer(Input):
    name: Name
    segment: Name
    nation: Name
    email: Email | None = None


class ChangeContact(Input):
    """What is left out stays as it is; `email: null` clears it."""

    customer: Key | None = None
    name: Name | UnsetType = UNSET
    email: Email | UnsetType | None = UNSET


def register(command: RegisterCustomer, known: None, now: datetime) -> Sequence[Event]:
    """Anybody may become a customer."""
    return [CustomerState(command.name, command.email, command.segment, command.nation, since=now.date())]


def change_contact(customer: CustomerState, command: ChangeContact, now: datetime) -> Sequence[Event]:
    """A contact may always be changed; saying what is already so changes nothing."""
    changed = replace(
        customer,
        name=customer.name if command.name is UNSET else command.name,
        email=customer.email if command.email is UNSET else command.email,
    )
    return [] if changed == customer else [changed]


def evolve(customer: CustomerState | None, event: CustomerState) -> CustomerState | None:
    """Each fact is the full state."""
    return event


context = Context(
    name="customers",
    topic=Topic("shop.customers", "customer", compacted=True),
    id_prefix="c",
    state=CustomerState,
    evolve=evolve,
    commands=[
        Creation("/customers", RegisterCustomer, register, lookup=nothing),
        Change("/customers/{customer}/contact", ChangeContact, change_contact),
    ],
)
