"""The catalog service: what is for sale, and at which price.

It publishes each product's full state on the compacted topic `shop.products`, and a tombstone when one is removed.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from msgspec.structs import replace
from sqlalchemy import Connection

from examples.shop.service.aggregates import holders
from examples.shop.service.declare import Change, Context, Creation, Event, Input, Tombstone, Topic
from examples.shop.service.errors import FieldProblem, RefusedError
from examples.shop.service.fields import Key, Money, Name, cents


class ProductState(Event):
    """A product, as published and as stored. `price` has two decimals."""

    sku: str
    title: str
    brand: str
    category: str
    price: Decimal
    available: bool


class ProductRemoved(Tombstone):
    """The product is no longer in the catalog; its sku may be used again."""


class ListProduct(Input):
    sku: Name
    title: Name
    brand: Name
    category: Name
    price: Money


class ChangePrice(Input):
    price: Money
    product: Key | None = None


class DiscontinueProduct(Input):
    product: Key | None = None


class RemoveProduct(Input):
    product: Key | None = None


def list_product(command: ListProduct, sku_holder: str | None, now: datetime) -> Sequence[Event]:
    """A sku is unique among the products of the catalog."""
    if sku_holder is not None:
        taken = FieldProblem("#/sku", f"is the sku of {sku_holder}")
        raise RefusedError("SKU_TAKEN", "Another product has this sku", [taken])
    return [
        ProductState(
            command.sku, command.title, command.brand, command.category, price=cents(command.price), available=True
        )
    ]


def change_price(product: ProductState, command: ChangePrice, now: datetime) -> Sequence[Event]:
    """A price is above zero (`Money` is), and only of a product that is for sale."""
    if not product.available:
        raise RefusedError("PRODUCT_DISCONTINUED", "A discontinued product has no price to change")
    changed = replace(product, price=cents(command.price))
    return [] if changed == product else [changed]


def discontinue(product: ProductState, command: DiscontinueProduct, now: datetime) -> Sequence[Event]:
    """Not twice."""
    if not product.available:
        raise RefusedError("PRODUCT_DISCONTINUED", "The product is already discontinued")
    return [replace(product, available=False)]


def remove(product: ProductState, command: RemoveProduct, now: datetime) -> Sequence[Event]:
    """Only what is no longer for sale may go."""
    if product.available:
        raise RefusedError("PRODUCT_AVAILABLE", "Discontinue the product before it is removed")
    return [ProductRemoved()]


def evolve(product: ProductState | None, event: ProductState | ProductRemoved) -> ProductState | None:
    """Each fact is the full state, or the end."""
    return None if isinstance(event, ProductRemoved) else event


def sku_claim(product: ProductState) -> frozenset[str]:
    """The name that makes a sku unique."""
    return frozenset({f"sku:{product.sku}"})


def sku_holder(connection: Connection, command: ListProduct) -> str | None:
    """The product that has this sku."""
    claim = f"sku:{command.sku}"
    return holders(connection, [claim]).get(claim)


context = Context(
    name="catalog",
    topic=Topic("shop.products", "product", compacted=True),
    id_prefix="p",
    state=ProductState,
    evolve=evolve,
    claims=sku_claim,
    commands=[
        Creation("/products", ListProduct, list_product, lookup=sku_holder),
        Change("/products/{product}/price", ChangePrice, change_price),
        Change("/products/{product}/discontinue", DiscontinueProduct, discontinue),
        Change("/products/{product}/remove", RemoveProduct, remove),
    ],
)
