"""The graph of the catalog context."""

from decimal import Decimal

from projections.contexts.catalog import by_brand, product_docs
from schema import BoundedContext, Connection, Input, Ref, command, entity, field, find, get


@entity(product_docs, tags=["public"])
class Product:
    """Something that can be ordered."""

    sku: str = field(description="The stock keeping unit, unique in the catalog.")
    title: str
    brand: str
    category: str
    price: Decimal = field(description="The unit price now.")
    available: bool = field(description="Whether it can be ordered; false once discontinued.")


class ListProductInput(Input):
    sku: str
    title: str
    brand: str
    category: str
    price: Decimal


class ChangePriceInput(Input):
    product: Ref[Product]
    price: Decimal


class DiscontinueProductInput(Input):
    product: Ref[Product]


class Query:
    product: Product | None = get(product_docs, description="One product by id or key.")
    products: Connection[Product] = find(product_docs, by_brand, description="Products by title.")


class Mutation:
    list_product = command(ListProductInput, to="catalog", path="/products", reads=Product)
    change_price = command(ChangePriceInput, to="catalog", path="/products/{product}/price", reads=Product)
    discontinue_product = command(
        DiscontinueProductInput, to="catalog", path="/products/{product}/discontinue", reads=Product
    )


context = BoundedContext("catalog", entities=[Product], query=Query, mutation=Mutation)
