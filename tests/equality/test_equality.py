"""The same answers from three sides: the oracle, the plain executor, the engine. Volume is behind `make chaos ONLY=EQ`."""

import random
from collections import Counter
from typing import Any

import pytest
from graphql import parse, validate

from tests.chaos.simulated import simulate
from tests.equality import faults as wrong
from tests.equality.compare import Answer, differences, unlike
from tests.equality.faults import Fault, Faults
from tests.equality.generate import Generated, Generator
from tests.equality.oracle import Expected, Oracle, Region
from tests.equality.play import Case, learn_cursors, play_world, stage
from tests.equality.volume import LEAST_COMPILED
from tests.equality.world import Words, World, build
from tests.serving import COMPOSED
from tests.shop_contexts import IS_SERVED

pytestmark = pytest.mark.skipif(
    not IS_SERVED, reason="the oracle reads the committed SDL, which does not have the shop any more"
)

CASES = 505
WORLDS = (1, 2, 3, 4)


@pytest.mark.parametrize("seed", WORLDS)
def test_three_sides_give_one_answer(seed: int) -> None:
    tally, verdicts = simulate(play_world(seed, range(CASES), most=1), seed)
    assert not verdicts, f"\n{verdicts[0]}"
    assert tally.operations == CASES
    assert tally.with_errors > CASES / 8, "what goes wrong is seen"
    assert tally.trips > CASES / 2, "and what is read, too"
    assert tally.compiled / tally.compilable >= LEAST_COMPILED, tally


def test_what_is_generated_is_valid_and_has_everything_in_it() -> None:
    world = build(1)
    generator = Generator(COMPOSED.schema, Words(world).value)
    found: Counter[str] = Counter()
    for number in range(400):
        operation = generator.operation(random.Random(number))
        assert operation == generator.operation(random.Random(number))
        assert validate(COMPOSED.schema, parse(operation.text)) == [], operation.text
        found.update(mark for mark in EVERYTHING if mark in operation.text)
        found.update(f"{type(value).__name__} sent" for value in (operation.variables or {}).values())
        found.update(["named"] if operation.operation_name else [])
    missing = {*EVERYTHING, "str sent", "int sent", "bool sent", "list sent", "NoneType sent", "named"} - set(found)
    assert missing == set()


EVERYTHING = (
    "fragment F", "... on Node", "... {", "...F", "__dict__: ", "class: ", "__typename", "@skip(if: true)", "@include(if: $",
    "nodes(ids: ", "node(id: ", "orders(", "customers", "products", "activity", "lineage", "orderCount", "totalSpent",
    "lastOrderAt", "revenue(day: ", "payments", "shipments", "lineNumbers", "pageInfo", "totalCount", "cursor", "status: ",
    "first: ", "after: ", "last: ", "before: ", "null", ": [ID!]!", ": OrderStatus", ": Date", ": Int = ", ": Boolean",
)  # fmt: skip


# -- the harness can fail ---------------------------------------------------------------------------------------------

ORDERS = "{ orders(first: 2) { nodes { key total } } }"


def an_order(world: World) -> tuple[str, dict[str, Any]]:
    return next((key, view) for key, view in world.rows("orders") if view["lines"])


def expected(text: str, faults: Faults = wrong.NOTHING, world: World | None = None) -> Expected:
    return Oracle(world or build(1)).answer(text, None, None, faults)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(None, has_data=False),
        Answer({"orders": None}),
        Answer({"orders": {"nodes": []}}),
        Answer({"order": {"nodes": [{"total": 1, "key": 2}]}}),
    ],
)
def test_another_answer_is_a_difference(answer: Answer) -> None:
    assert differences(expected(ORDERS), answer)


def test_the_order_of_fields_and_the_kind_of_numbers_count() -> None:
    one = expected("{ orders(first: 1) { nodes { key version } } }").data
    [node] = one["orders"]["nodes"]
    turned = {"orders": {"nodes": [{"version": node["version"], "key": node["key"]}]}}
    floating = {"orders": {"nodes": [{"key": node["key"], "version": float(node["version"])}]}}
    found = Expected(one)
    assert differences(found, Answer(one)) == []
    assert differences(found, Answer(turned))
    assert differences(found, Answer(floating))


def error(code: str, *path: str | int, message: str = "m") -> dict[str, Any]:
    return {"message": message, "path": list(path), "extensions": {"code": code}}


def test_errors_are_told_and_no_others() -> None:
    world = build(1)
    key, _ = an_order(world)
    faults = Faults({("orders", key): Fault("changed", {"lines": 7})})
    found = expected(f'{{ order(id: "{key}") {{ status total }} }}', faults, world)
    status, total = error("UNREADABLE_DOCUMENT", "order", "status"), error("UNREADABLE_DOCUMENT", "order", "total")
    assert found.data == {"order": None}
    assert [region.path for region in found.regions] == [("order",)]
    for told in ([status], [total], [status, total]):
        assert differences(found, Answer({"order": None}, told)) == []
    for told in ([], [error("INTERNAL", "order", "status")], [status, error("INTERNAL", "order")], [status, status]):
        assert differences(found, Answer({"order": None}, told))


def test_errors_inside_of_a_null_need_not_be_told() -> None:
    outer, inner = (("a", "b"), "X"), (("a", "c", "d"), "Y")
    regions = [Region(("a", "c"), frozenset({inner})), Region(("a",), frozenset({outer}))]
    found = Expected({"a": None}, frozenset({outer, inner}), regions)
    assert differences(found, Answer({"a": None}, [error("X", "a", "b")])) == []
    assert differences(found, Answer({"a": None}, [error("Y", "a", "c", "d")])), "that is not what took it away"


def test_one_error_is_told_in_one_way() -> None:
    one, other = Answer({"a": None}, [error("X", "a")]), Answer({"a": None}, [error("X", "a", message="n")])
    assert unlike(one, one) == []
    assert unlike(one, other)


def test_a_case_that_differs_is_made_small() -> None:
    async def play() -> str:
        async with stage(1) as found:
            await learn_cursors(found.world, found.sides[0])
            key, view = an_order(found.world)
            view["total"] = "0.07"  # of which the store knows nothing
            text = f'query($flag: Boolean = true) {{ order(id: "{key}") {{ ...F status total @include(if: $flag) }} }}'
            text += " fragment F on Order { lines { number } key }"
            case = Case(Generated(text, {"flag": True}, None), wrong.draw(random.Random(4), found.world))
            found.cases = lambda number: [case]  # type: ignore[method-assign]
            return str(await found.play(7))

    told = simulate(play(), 1)
    assert "world 1, case 7" in told
    assert "0.07" in told
    assert "fragment" not in told
    assert "status" not in told
    assert "documents={}" in told
