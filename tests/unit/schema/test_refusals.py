"""More declarations that do not fit: names, limits, paths, examples."""

from collections.abc import Callable
from enum import Enum
from typing import Any

import pytest
import strawberry

from gateway.compose import compose
from projections import Event, Index, Projection, View
from schema import (
    BoundedContext,
    Connection,
    Example,
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
from schema.model import build_graph
from tests.unit.schema.test_composition import Wheel, bike_docs


class Size(Enum):
    S = "S"


class ShoeState(Event):
    name: str
    first: str
    maker_id: str


class ShoeView(View):
    name: str
    first: str
    maker_id: str


def evolve(view: ShoeView | None, event: ShoeState) -> ShoeView:
    return ShoeView(name=event.name, first=event.first, maker_id=event.maker_id)


by_maker = Index[ShoeView]("by_maker", filters=("maker_id",))
by_first = Index[ShoeView]("by_first", filters=("first?",))


def docs(name: str, topic: str = "shoes") -> Projection[ShoeView, ShoeState]:
    return Projection(
        name=name,
        version=1,
        topics=[topic],
        aggregate="shoe",
        state=True,
        evolve=evolve,
        indexes=[by_maker, by_first],
    )


shoe_docs = docs("shoes")
other_docs = docs("others", "others")


@entity(shoe_docs)
class Shoe:
    name: str


def refuses(*contexts: BoundedContext, names: tuple[str, ...]) -> None:
    with pytest.raises(CompositionError) as raised:
        build_graph(contexts, [shoe_docs, other_docs])
    for name in names:
        assert name in str(raised.value), str(raised.value)


def context(*entities: type[Any], **parts: Any) -> BoundedContext:
    return BoundedContext("shoes", entities=[Shoe, *entities], **parts)


def test_an_edge_without_an_annotation_does_not_vanish() -> None:
    @entity(other_docs)
    class Other:
        boss = one(shoe_docs, via="maker_id")

    refuses(context(Other), names=("boss has no annotation", "Other.boss"))


def test_an_edge_to_what_may_not_have_come_yet_is_nullable() -> None:
    @entity(other_docs)
    class Other:
        boss: Shoe = one(shoe_docs, via="maker_id")

    refuses(context(Other), names=("Other.boss", "Shoe | None"))


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_a_list_that_nobody_could_read(limit: int) -> None:
    @extension(Shoe)
    class Copies:
        copies: list[Shoe] = many(shoe_docs, by_maker, limit=limit)

    refuses(context(extensions=[Copies]), names=(f"a limit of {limit} rows", "Copies.copies"))


def test_a_filter_named_as_relays_own_argument() -> None:
    class Query:
        shoes: Connection[Shoe] = find(shoe_docs, by_first)

    refuses(context(query=Query), names=("'first'", "Query.shoes"))


def test_two_fields_that_are_one_in_the_graph() -> None:
    @entity(other_docs)
    class Other:
        maker_id: str
        makerId: str  # noqa: N815 - on purpose

    refuses(context(Other), names=("two fields are named makerId",))


@pytest.mark.parametrize("name", ["Receipt", "PageInfo", "ID", "ShoeConnection", "Query"])
def test_types_that_composition_makes_are_taken(name: str) -> None:
    cls: type[Any] = entity(other_docs)(type(name, (), {"__annotations__": {"name": str}, "__module__": __name__}))
    refuses(context(cls), names=(f"two types are named {name}",))


def test_one_aggregate_has_one_owner() -> None:
    again = docs("again")

    @entity(again)
    class Again:
        name: str

    contexts = [context(), BoundedContext("reporting", entities=[Again])]
    with pytest.raises(CompositionError, match="owner="):
        build_graph(contexts, [shoe_docs, again])

    @entity(again, owner="shoes")
    class Owned:
        name: str

    graph = build_graph([context(), BoundedContext("reporting", entities=[Owned])], [shoe_docs, again])
    assert graph.objects["Owned"].owner == "shoes"


class Loop(Input):
    shoe: Ref[Shoe]
    inner: "Loop | None" = None


def test_an_input_that_holds_itself() -> None:
    class Mutation:
        loop = command(Loop, to="shoes", path="/shoes/{shoe}", reads=Shoe)

    refuses(context(mutation=Mutation), names=("Loop holds itself",))


class Maybe(Input):
    shoe: Ref[Shoe] | None


@pytest.mark.parametrize("path", ["/shoes/{shoe}", "/shoes/../x", "/./x"])
def test_paths_that_could_leave_their_place(path: str) -> None:
    class Mutation:
        wear = command(Maybe, to="shoes", path=path, reads=Shoe)

    refuses(context(mutation=Mutation), names=("Mutation.wear",))


class Fit(Input):
    shoe: Ref[Shoe]
    size: Size


def other_size() -> type[Input]:
    class Size(Enum):
        XL = "XL"

    class Refit(Input):
        shoe: Ref[Shoe]
        size: Size

    Refit.__annotations__["size"] = Size
    Refit.__annotations__["shoe"] = Ref[Shoe]
    return Refit


def test_two_enums_of_one_name_in_two_inputs() -> None:
    class Mutation:
        fit = command(Fit, to="shoes", path="/shoes/{shoe}/fit", reads=Shoe)
        refit = command(other_size(), to="shoes", path="/shoes/{shoe}/refit", reads=Shoe)

    refuses(context(mutation=Mutation), names=("two enums are named Size",))


def test_code_without_a_return_annotation() -> None:
    @entity(other_docs)
    class Other:
        @strawberry.field
        def shout(self):  # type: ignore[no-untyped-def]
            return "x"

    with pytest.raises(CompositionError, match="no return annotation"):
        compose([context(Other, query=type("Q", (), {}))], [shoe_docs, other_docs])


def test_an_example_that_does_not_fit_is_left_out() -> None:
    class Query:
        shoe: Shoe | None = get(shoe_docs)

    examples = [Example("good", '{ shoe(id: "s") { name } }'), Example("bad", "{ nope }"), Example("worse", "{")]
    composed = compose([context(query=Query, examples=examples)], [shoe_docs, other_docs])
    assert [example.title for example in composed.examples()] == ["good"]


def test_a_nested_object_shown_by_its_read_model_class() -> None:
    @entity(bike_docs)
    class Bike:
        wheels: list[Wheel]

    with pytest.raises(CompositionError, match="belongs to the read model") as raised:
        build_graph([BoundedContext("bikes", entities=[Bike])], [bike_docs])
    assert "@part(Wheel)" in str(raised.value)


def test_two_parts_of_one_name() -> None:
    def shown(module: str) -> type[Any]:
        cls = type("BikeWheel", (), {"__annotations__": {"size": int}, "__module__": module})
        return part(Wheel)(cls)

    here: Any = shown("here")
    there: Any = shown("there")
    first: Any = entity(bike_docs)(
        type("Bike", (), {"__annotations__": {"wheels": list[here]}, "__module__": __name__})
    )

    again_docs = Projection(
        name="bikes2", version=1, topics=["b2"], aggregate="bike2", state=True, evolve=bike_docs.evolve
    )
    second: Any = entity(again_docs)(
        type("Bike2", (), {"__annotations__": {"wheels": list[there]}, "__module__": __name__})
    )
    with pytest.raises(CompositionError, match="two types are named BikeWheel"):
        build_graph([BoundedContext("bikes", entities=[first, second])], [bike_docs, again_docs])


class KeyedView(View):
    key: str


class KeyedState(Event):
    key: str


def evolve_keyed(view: KeyedView | None, event: KeyedState) -> KeyedView:
    return KeyedView(key=event.key)


def test_a_view_that_stores_what_is_derived() -> None:
    keyed = Projection(name="keyed", version=1, topics=["k"], aggregate="k", state=True, evolve=evolve_keyed)

    @entity(keyed)
    class Keyed:
        pass

    with pytest.raises(CompositionError, match="stores 'key'"):
        build_graph([BoundedContext("keyed", entities=[Keyed])], [keyed])


SAID: list[tuple[dict[str, Any], str]] = [
    ({"tags": "inner"}, "tags are the text 'inner', not a list"),
    ({"tags": [""]}, "'' is no tag"),
    ({"tags": ["inner", " "]}, "' ' is no tag"),
    ({"scope": ""}, "'' is no scope"),
    ({"cost": -1}, "-1 is no cost"),
    ({"cost": 1.5}, "1.5 is no cost"),
    ({"cost": True}, "True is no cost"),
]


@pytest.mark.parametrize(("said", "fault"), SAID)
def test_tags_scopes_and_costs_that_are_none(said: dict[str, Any], fault: str) -> None:
    @entity(other_docs)
    class Stored:
        name: str = field(**said)

    @entity(other_docs)
    class Derived:
        loud: str = computed(str.upper, needs=["name"], **said)

    @entity(other_docs)
    class Edges:
        boss: Shoe | None = one(shoe_docs, via="maker_id", **said)

    refuses(context(Stored), names=(fault, "Stored.name"))
    refuses(context(Derived), names=(fault, "Derived.loud"))
    refuses(context(Edges), names=(fault, "Edges.boss"))


def test_scopes_of_root_fields_and_commands_are_names() -> None:
    class Query:
        shoe: Shoe | None = get(shoe_docs, scope="")

    class Lace(Input):
        shoe: Ref[Shoe]

    class Mutation:
        lace = command(Lace, to="shoes", path="/shoes/{shoe}/lace", reads=Shoe, cost=-1)

    refuses(context(query=Query), names=("'' is no scope", "Query.shoe"))
    refuses(context(mutation=Mutation), names=("-1 is no cost", "Mutation.lace"))


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ({"tags": "inner"}, "tags are the text 'inner'"),
        ({"rows": RowRule("", claim="tenant")}, "field '' and claim 'tenant'"),
        ({"rows": RowRule("maker_id", claim="")}, "field 'maker_id' and claim ''"),
    ],
)
def test_tags_and_row_rules_of_an_entity_that_are_none(said: dict[str, Any], fault: str) -> None:
    @entity(other_docs, **said)
    class Other:
        name: str

    refuses(context(Other), names=(fault, "Other"))


def two(name: str, maker: str) -> str:
    return name + maker


def by_keyword(*, name: str) -> str:
    return name


@pytest.mark.parametrize(
    ("fn", "needs", "fault"),
    [
        (two, ["name"], "two(name: 'str', maker: 'str') -> 'str' cannot take the values of 1 fields"),
        (str.upper, ["name", "maker_id"], "too many positional arguments"),
        (by_keyword, ["name"], "by_keyword("),
        ("upper", ["name"], "'upper' is not a function"),
    ],
)
def test_a_function_that_cannot_take_what_it_needs(fn: Callable[..., str], needs: list[str], fault: str) -> None:
    @entity(other_docs)
    class Other:
        label: str = computed(fn, needs=needs)

    refuses(context(Other), names=(fault.replace("'str'", "str"), "Other.label", "needs"))


def test_computed_fields_have_scopes_and_tags_as_others_do() -> None:
    @entity(other_docs)
    class Other:
        both: str = computed(
            two, needs=["name", "maker_id"], scope="names:read", tags=["inner"], cost=0, deprecation="no"
        )

    metadata = build_graph([context(Other)], [shoe_docs, other_docs]).objects["Other"].fields["both"].metadata
    assert (metadata.scope, metadata.tags, metadata.cost, metadata.deprecation) == ("names:read", ("inner",), 0, "no")
