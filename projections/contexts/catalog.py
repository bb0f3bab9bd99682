"""Products, as the catalog service publishes them."""

from decimal import Decimal

from projections import Event, Index, Projection, View


class ProductState(Event):
    sku: str
    title: str
    brand: str
    category: str
    price: Decimal
    available: bool


class ProductView(View):
    sku: str
    title: str
    brand: str
    category: str
    price: Decimal
    available: bool


def evolve(view: ProductView | None, event: ProductState) -> ProductView:
    return ProductView(
        sku=event.sku,
        title=event.title,
        brand=event.brand,
        category=event.category,
        price=event.price,
        available=event.available,
    )


by_brand = Index[ProductView]("by_brand", filters=("brand?", "category?"), sort="title")
product_docs = Projection(
    name="products",
    version=1,
    topics=["shop.products"],
    aggregate="product",
    state=True,
    evolve=evolve,
    indexes=[by_brand],
)
