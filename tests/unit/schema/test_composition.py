"""A definition that does not fit fails when the schema is composed, naming both places and the mend."""

from decimal import Decimal
from enum import Enum
from typing import Any

import pytest
import strawberry

from gateway.compose import compose
from projections import Event, Index, Part, Personal, Projection, View
from projections.errors import DefinitionError
from projections.store.memory import MemoryStore
from schema import (
    BoundedContext,
    Connection,
    Input,
    Ref,
    RowRule,
    command,
    computed,
    entity,
    extension,
    field,
    find,
    get,
    many,
    one,
    part,
)
from schema.errors import CompositionError
from schema.model import Graph, build_graph
from schema.ports import Principal
from tests.serving import gateway, put
from tests.shop_contexts import CONTEXTS, PROJECTIONS


class Colour(Enum):
    RED = "RED"


class Wheel(Part):
    size: int


class BikeState(Event):
    name: str
    maker_id: str
    price: Decimal | None
    colour: Colour
    wheels: list[Wheel]
    colours: list[Colour]


class BikeView(View):
    name: Personal[str]
    maker_id: str
    price: Decimal | None
    colour: Colour
    wheels: list[Wheel]
    colours: list[Colour]


def evolve_bike(view: BikeView | None, event: BikeState) -> BikeView:
    return BikeView(
        name=event.name,
        maker_id=event.maker_id,
        price=event.price,
        colour=event.colour,
        wheels=event.wheels,
        colours=event.colours,
    )


class MakerState(Event):
    name: str


class MakerView(View):
    name: str


def evolve_maker(view: MakerView | None, event: MakerState) -> MakerView:
    return MakerView(name=event.name)


by_maker = Index[BikeView]("by_maker", filters=("maker_id", "colour?"), sort="name")
by_name = Index[BikeView]("by_name", sort="name")
stray = Index[BikeView]("stray", filters=("maker_id",))
bike_docs = Projection(
    name="bikes",
    version=1,
    topics=["bikes"],
    aggregate="bike",
    state=True,
    evolve=evolve_bike,
    indexes=[by_maker, by_name],
)
maker_docs = Projection(name="makers", version=1, topics=["makers"], aggregate="maker", state=True, evolve=evolve_maker)
SERVED: tuple[Projection[Any, Any], ...] = (bike_docs, maker_docs)


@entity(maker_docs)
class Maker:
    name: str


makers = BoundedContext("makers", entities=[Maker])


def refuses(*contexts: BoundedContext, names: tuple[str, ...]) -> str:
    """Composing raises an error that names all of these and has a mend; returns its text."""
    with pytest.raises(CompositionError) as raised:
        build_graph(contexts, SERVED)
    text = str(raised.value)
    for name in names:
        assert name in text, f"{name!r} is not in:\n{text}"
    assert raised.value.mend
    return text


def bikes(cls: type[Any], **parts: Any) -> BoundedContext:
    return BoundedContext("bikes", entities=[entity(bike_docs)(cls)], **parts)


def test_a_field_that_is_not_stored() -> None:
    class Bike:
        weight: int

    refuses(bikes(Bike), names=("weight is not stored", "Bike.weight", "BikeView"))


def test_a_type_that_differs_from_the_views() -> None:
    class Bike:
        name: int

    refuses(bikes(Bike), names=("name is int here and str there", "Bike.name", "BikeView.name"))


def test_a_null_that_the_view_may_hold() -> None:
    class Bike:
        price: Decimal

    refuses(bikes(Bike), names=("Decimal here and Decimal | None there", "Bike.price"))


def test_an_enum_that_is_another_one() -> None:
    class Colour(Enum):
        RED = "RED"

    class Bike:
        colour: Colour

    Bike.__annotations__["colour"] = Colour
    refuses(bikes(Bike), names=("colour is Colour here and Colour there",))


def test_an_edge_along_a_field_that_is_not_there() -> None:
    class Bike:
        maker: Maker | None = one(maker_docs, via="owner_id")

    refuses(bikes(Bike), makers, names=("via 'owner_id'", "Bike.maker", "BikeView"))


def test_an_edge_to_a_context_that_is_not_composed() -> None:
    class Bike:
        maker: Maker | None = one(maker_docs, via="maker_id")

    refuses(bikes(Bike), names=("'makers'", "Bike.maker", "schema/catalog.py"))


def test_an_edge_annotated_as_something_else() -> None:
    class Bike:
        maker: str = one(maker_docs, via="maker_id")

    refuses(bikes(Bike), makers, names=("Bike.maker", "Maker", "annotate it as Maker | None"))


def test_an_index_that_the_projection_does_not_keep() -> None:
    class Bike:
        name: str

    @extension(Maker)
    class MakerBikes:
        bikes: list[Bike] = many(bike_docs, stray)

    MakerBikes.__annotations__["bikes"] = list[Bike]
    text = refuses(bikes(Bike, extensions=[MakerBikes]), makers, names=("'stray'", "'bikes'", "MakerBikes.bikes"))
    assert "by_maker" in text


def test_an_index_that_the_parents_key_cannot_read() -> None:
    class Bike:
        name: str

    @extension(Maker)
    class MakerBikes:
        bikes: list[Bike] = many(bike_docs, by_name)

    MakerBikes.__annotations__["bikes"] = list[Bike]
    refuses(bikes(Bike, extensions=[MakerBikes]), makers, names=("'by_name'", "MakerBikes.bikes"))


def test_an_unknown_filter_or_sort_of_an_index() -> None:
    for index, name in ((Index[BikeView]("x", filters=("weight?",)), "weight"), (Index[BikeView]("x", sort="-w"), "w")):
        with pytest.raises(DefinitionError) as raised:
            Projection(name="b", version=1, topics=["b"], aggregate="b", evolve=evolve_bike, indexes=[index])
        assert f"no field {name!r}" in str(raised.value)
        assert "'b'" in str(raised.value)
        assert "'x'" in str(raised.value)


def test_two_contexts_with_one_root_field() -> None:
    class Query:
        maker: Maker | None = get(maker_docs)

    class Other:
        maker: Maker | None = get(maker_docs)

    contexts = (
        BoundedContext("makers", entities=[Maker], query=Query),
        BoundedContext("others", query=Other),
    )
    refuses(*contexts, names=("root field 'maker'", "Query.maker", "Other.maker"))


def test_two_types_of_one_name() -> None:
    @entity(bike_docs)
    class Maker2:
        name: str

    Maker2.__name__ = "Maker"
    refuses(makers, BoundedContext("bikes", entities=[Maker2]), names=("two types are named Maker",))


def test_a_field_that_two_contexts_add() -> None:
    class Bike:
        name: str

    @extension(Maker)
    class Once:
        bikes: list[Bike] = many(bike_docs, by_maker)

    @extension(Maker)
    class Twice:
        bikes: list[Bike] = many(bike_docs, by_maker)

    for cls in (Once, Twice):
        cls.__annotations__["bikes"] = list[Bike]
    refuses(bikes(Bike, extensions=[Once, Twice]), makers, names=("Maker.bikes", "Once.bikes", "Twice.bikes"))


def test_a_stored_field_in_an_extension() -> None:
    class Bike:
        name: str

    @extension(Maker)
    class MakerName:
        nickname: str

    refuses(bikes(Bike, extensions=[MakerName]), makers, names=("nickname", "MakerName.nickname"))


def test_an_extension_of_a_context_that_is_not_composed() -> None:
    class Bike:
        name: str

    @extension(Maker)
    class MakerBikes:
        bikes: list[Bike] = many(bike_docs, by_maker)

    refuses(bikes(Bike, extensions=[MakerBikes]), names=("extends Maker", "MakerBikes", "schema/catalog.py"))


def test_a_projection_that_is_not_served() -> None:
    with pytest.raises(CompositionError, match=r"'makers' is not served[\s\S]*projections/catalog\.py"):
        build_graph([makers], [bike_docs])


def test_a_derived_field_that_is_declared() -> None:
    class Bike:
        version: int

    refuses(bikes(Bike), names=("'version' is derived", "Bike.version"))


def test_a_computed_field_that_needs_what_is_not_stored() -> None:
    class Bike:
        label: str = computed(str.upper, needs=["nickname"])

    refuses(bikes(Bike), names=("'nickname'", "Bike.label", "BikeView"))


def test_a_row_rule_on_a_field_that_is_not_there() -> None:
    @entity(bike_docs, rows=RowRule("tenant", claim="tenant"))
    class Bike:
        name: str

    refuses(BoundedContext("bikes", entities=[Bike]), names=("'tenant'", "Bike", "BikeView"))


class BuyInput(Input):
    maker: Ref[Maker]
    count: int


def test_a_path_that_the_input_does_not_fill() -> None:
    class Mutation:
        buy = command(BuyInput, to="makers", path="/makers/{bike}/buy", reads=Maker)

    context = BoundedContext("makers", entities=[Maker], mutation=Mutation)
    refuses(context, names=("'bike'", "Mutation.buy", "BuyInput"))


@pytest.mark.parametrize("path", ["makers", "/makers//x", "/../x?y=1", "/{maker", "http://elsewhere/x"])
def test_a_path_that_is_none(path: str) -> None:
    class Mutation:
        buy = command(BuyInput, to="makers", path=path, reads=Maker)

    refuses(
        BoundedContext("makers", entities=[Maker], mutation=Mutation), names=("is not a plain path", "Mutation.buy")
    )


def test_a_reference_to_a_context_that_is_not_composed() -> None:
    class Bike:
        name: str

    bike = entity(bike_docs)(Bike)

    class Mutation:
        buy = command(BuyInput, to="bikes", path="/bikes", reads=bike)

    context = BoundedContext("bikes", entities=[bike], mutation=Mutation)
    refuses(context, names=("refers to Maker", "BuyInput.maker", "schema/catalog.py"))


def test_a_command_to_another_service_than_the_owner_of_what_it_reads() -> None:
    class Mutation:
        buy = command(BuyInput, to="bikes", path="/makers/{maker}/buy", reads=Maker)

    context = BoundedContext("makers", entities=[Maker], mutation=Mutation)
    refuses(context, names=("goes to 'bikes'", "'makers' owns", "Mutation.buy"))


def test_one_input_for_two_commands() -> None:
    class Mutation:
        buy = command(BuyInput, to="makers", path="/makers", reads=Maker)
        sell = command(BuyInput, to="makers", path="/makers/{maker}", reads=Maker)

    refuses(BoundedContext("makers", entities=[Maker], mutation=Mutation), names=("two commands take BuyInput",))


def test_removing_a_context_that_others_build_on_names_who_does() -> None:
    rest = [context for context in CONTEXTS if context.name != "customers"]
    with pytest.raises(CompositionError) as raised:
        build_graph(rest, PROJECTIONS)
    assert "schema.contexts.orders" in str(raised.value)
    assert "Customer" in str(raised.value)


def test_removing_a_context_that_no_other_builds_on_leaves_the_rest() -> None:
    rest = [context for context in CONTEXTS if context.name != "shipping"]
    graph = build_graph(rest, [projection for projection in PROJECTIONS if projection.name != "shipments"])
    assert "shipments" not in graph.objects["Order"].fields
    assert "payments" in graph.objects["Order"].fields


def whole_contexts() -> list[BoundedContext]:
    @part(Wheel)
    class BikeWheel:
        size: int = field(
            description="In inches.", deprecation="measure it", tags=["inner"], scope="bikes:read", cost=3
        )

    class Bike:
        name: str
        price: Decimal | None
        colour: Colour
        colours: list[Colour]
        wheels: list[BikeWheel]
        shout: str = computed(str.upper, needs=["name"])

        @strawberry.field(description="With code.")  # type: ignore[untyped-decorator]
        def whisper(self, times: int = 1) -> str:
            return self.name.lower() * times

    Bike.__annotations__["wheels"] = list[BikeWheel]

    class Query:
        bike: Bike | None = get(bike_docs)
        bikes_of: Connection[Bike] = find(bike_docs, by_maker)

    marked = entity(bike_docs, rows=RowRule("maker_id", claim="maker"), tags=["public"])(Bike)
    Query.__annotations__ = {"bike": marked | None, "bikes_of": Connection[marked]}  # type: ignore[valid-type]
    return [BoundedContext("bikes", entities=[marked], query=Query), makers]


def whole_graph() -> Graph:
    return build_graph(whole_contexts(), SERVED)


@pytest.mark.parametrize("query", ['{ bike(id: "b-1") { shout whisper(times: 2) colours wheels { size } } }'])
async def test_computed_code_and_enum_lists_are_resolved(query: str) -> None:
    graph_contexts = whole_contexts()
    store = MemoryStore()
    view = BikeView(
        name="Roar", maker_id="m-1", price=None, colour=Colour.RED, wheels=[Wheel(size=28)], colours=[Colour.RED]
    )
    await put(store, bike_docs, "b-1", view)
    reader = Principal("somebody", frozenset({"bikes:read"}), {"maker": "m-1"})
    async with gateway(store, composed=compose(graph_contexts, SERVED), principal_of=lambda _: reader) as client:
        data = await client.data(query)
    assert data["bike"] == {"shout": "ROAR", "whisper": "roarroar", "colours": ["RED"], "wheels": [{"size": 28}]}


def test_metadata_is_recorded() -> None:
    graph = whole_graph()
    size = graph.objects["BikeWheel"].fields["size"].metadata
    assert (size.description, size.deprecation, size.tags, size.scope, size.cost) == (
        "In inches.",
        "measure it",
        ("inner",),
        "bikes:read",
        3,
    )
    bike = graph.objects["Bike"]
    assert bike.rows == RowRule("maker_id", claim="maker")
    assert bike.tags == ("public",)
    assert bike.fields["name"].personal, "Personal of the view's field is known to the graph"
    assert not bike.fields["price"].personal


def test_a_required_filter_of_a_list_is_a_required_argument() -> None:
    graph = whole_graph()
    assert graph.queries["bikes_of"].target == "Bike"


def test_composing_twice_leaks_nothing_and_the_order_of_contexts_changes_nothing() -> None:
    before = compose(CONTEXTS, PROJECTIONS).sdl()
    fewer = compose([c for c in CONTEXTS if c.name not in ("shipping", "payments", "activity")], PROJECTIONS[:3]).sdl()
    assert "shipments" not in fewer
    assert "Activity" not in fewer
    assert compose(tuple(reversed(CONTEXTS)), PROJECTIONS).sdl() == before
