"""The harness itself: one seed is one history and one schedule, the oracle judges, and no difference goes unseen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from copy import deepcopy

import pytest

from tests.chaos.__main__ import chosen, main
from tests.chaos.contents import Doc, Expected, Model, compare
from tests.chaos.figures import FIGURES
from tests.chaos.history import KNOWN, LOOSE, Shape, generate
from tests.chaos.oracle import ACTIVITY, ORDERS, PRODUCTS, Logged, expected
from tests.chaos.schedule import KILL, Figures, plan

SHAPE = Shape(seed=5, events=600, orders=20, products=5, partitions=2, broken=30)


def logged() -> list[Logged]:
    ends: Counter[tuple[str, int]] = Counter()
    found = []
    for message in generate(SHAPE).messages:
        at = (message.topic, message.partition)
        found.append(Logged(message, ends[at]))
        ends[at] += 1
    return found


def equal() -> tuple[dict[str, Model], dict[str, Expected]]:
    """What should be, and a store that has just that."""
    should = expected(logged(), SHAPE.partitions)
    stored = {}
    for name, wanted in should.items():
        model = stored[name] = deepcopy(wanted.model)
        model.queues = {
            id: {place: min(wanted.copies[id, place]) for place in queue} for id, queue in model.queues.items()
        }
        model.quarantine |= {at for queue in model.queues.values() for at in queue.values()}
        model.positions, model.built, model.bucket_count = {0: dict(wanted.ends)}, {0}, 1
    return stored, should


def test_a_seed_is_one_history() -> None:
    assert generate(SHAPE) == generate(SHAPE)
    other = Shape(seed=6, events=600, orders=20, products=5, partitions=2)
    assert generate(other).messages != generate(SHAPE).messages


def test_a_history_has_everything_in_it() -> None:
    history = generate(Shape(seed=5, events=5000, orders=100, products=20, partitions=2, broken=200))
    marks = Counter(message.fact.mark for message in history.messages if message.fact)
    assert len(marks) == 5000
    assert max(marks.values()) > 1
    assert {message.broken for message in history.messages} == {None, *KNOWN, *LOOSE}
    assert len(history.repairs) == 200
    facts = [message.fact for message in history.messages if message.fact]
    assert any(fact.epoch for fact in facts)
    assert any(fact.data is None for fact in facts)
    assert any(message.fact is None for message in history.messages)


def test_a_seed_is_one_schedule_with_the_faults_that_were_asked_for() -> None:
    figures = Figures(kills=50, rebalances=10, stalls=5, failovers=3, empties=1, brokers=2)
    faults = plan(7, figures, 100_000)
    assert faults == plan(7, figures, 100_000)
    assert faults != plan(8, figures, 100_000)
    assert sum(fault.count for fault in faults if fault.kind == KILL) == 50
    assert Counter(fault.kind for fault in faults if fault.kind != KILL) == {
        "join": 5,
        "leave": 5,
        "stall": 3,
        "pause before the fence": 2,
        "failover": 3,
        "empty": 1,
        "broker": 2,
    }
    assert [fault.place for fault in faults] == sorted(fault.place for fault in faults)


def test_the_oracle_finds_nothing_wrong_with_what_should_be() -> None:
    stored, should = equal()
    found = compare(stored, should)
    assert found.is_equal, found.differences
    assert found.counts[f"{ORDERS} document"] == 20
    assert found.counts[f"{ORDERS} queue"] > 0
    assert found.counts[f"{ACTIVITY} timeline"] > 0


def spoil_document(model: Model) -> None:
    model.documents["o-1"] = model.documents["o-1"]._replace(version=99)


def add_document(model: Model) -> None:
    model.documents["o-new"] = Doc(0, 1, None)


def swap_list(model: Model) -> None:
    next(ids for ids in model.lists.values() if len(ids) > 1).reverse()


def add_to_number(model: Model) -> None:
    name = next(iter(model.numbers))
    model.numbers[name] += 1


def forget_waiting(model: Model) -> None:
    next(queue for queue in model.queues.values() if queue).popitem()


def forget_set_aside(model: Model) -> None:
    waiting = {at for queue in model.queues.values() for at in queue.values()}
    model.quarantine.remove(min(model.quarantine - waiting))


def move_position(model: Model) -> None:
    at = next(iter(model.positions[0]))
    model.positions[0][at] -= 1


def forget_mark(model: Model) -> None:
    model.built.clear()


def forget_count(model: Model) -> None:
    model.bucket_count = None


def add_key(model: Model) -> None:
    model.unknown.append("hr:{chaos_orders:1:0}:x")


@pytest.mark.parametrize(
    "spoil",
    [
        spoil_document,
        add_document,
        swap_list,
        add_to_number,
        forget_waiting,
        forget_set_aside,
        move_position,
        forget_mark,
        forget_count,
        add_key,
    ],
)
def test_no_difference_goes_unseen(spoil: Callable[[Model], None]) -> None:
    stored, should = equal()
    spoil(stored[ORDERS])
    assert not compare(stored, should).is_equal


def test_a_missing_event_of_a_timeline_is_seen() -> None:
    stored, should = equal()
    next(iter(stored[ACTIVITY].timelines.values())).pop()
    assert not compare(stored, should).is_equal


def test_a_projection_that_is_missing_or_unknown_is_seen() -> None:
    stored, should = equal()
    products = stored.pop(PRODUCTS)
    assert not compare(stored, should).is_equal
    assert not compare({**stored, PRODUCTS: products, "other": products}, should).is_equal


def test_figures_are_chosen_by_name_and_an_unknown_one_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert chosen(None) == chosen("") == list(FIGURES)
    assert chosen("r2, d6,D6") == ["R2", "D6"]
    assert main({"ONLY": "D5,nope"}) == main({"ONLY": ","}) == 2
    assert f"no such figure: nope; there are {', '.join(FIGURES)}" in capsys.readouterr().err


def test_a_size_that_is_no_number_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main({"ONLY": "D5", "EVENTS": "many"}) == 2
    assert capsys.readouterr() == ("", "EVENTS is a whole number, not 'many'\n")
