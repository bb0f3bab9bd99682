"""The benchmarks of the projector: their records, their yardsticks, how figures follow from rounds, and that they run."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from benchmarks import growth, projector_rate, row_size
from benchmarks.measure import Pace
from benchmarks.own_share import Round, Stamps
from benchmarks.sink import documents
from benchmarks.stages import Stages
from benchmarks.stored import PROJECTIONS
from benchmarks.workload import EVENT_BYTES, ids, order_events, runs, stored_events
from projections.record import Decoded, Record
from projections.runtime import runtime_of
from projections.store.document import pack

ROOT = Path(__file__).parents[3]


def decoded(name: str, entries: object) -> list[Decoded]:
    runtime = runtime_of(PROJECTIONS[name])
    records = [Record("t", 0, at, key, value, tuple(headers), 0) for at, (key, value, headers) in enumerate(entries)]  # type: ignore[arg-type, var-annotated]
    outcomes = [runtime.decode(record) for record in records]
    assert all(isinstance(outcome, Decoded) and outcome.event is not None for outcome in outcomes)
    return outcomes  # type: ignore[return-value]


@pytest.mark.parametrize("name", ["plain", "indexed", "measured", "few", "many"])
def test_events_are_400_bytes_of_as_many_aggregates(name: str) -> None:
    entries = list(stored_events(ids(50, first=7), 3))
    assert {len(entry.value) for entry in entries} == {EVENT_BYTES}
    assert len({entry.value for entry in entries}) == 50
    found = decoded(name, entries)
    assert [(outcome.id, outcome.version) for outcome in found] == [(f"o-{number:08d}", 3) for number in range(7, 57)]


def test_what_is_stored_of_an_event_is_what_the_blind_set_writes() -> None:
    found = decoded("plain", stored_events(ids(3), 1))
    result = runtime_of(PROJECTIONS["plain"]).project(found, {}, {})
    for (key, stored), change in zip(documents(3), result.changes, strict=True):
        assert key.endswith(f":d:{change.id}")
        assert stored == pack(change.document._replace(time_ms=0))


def test_versions_go_up_by_one() -> None:
    assert [(one.id, one.version) for one in decoded("plain", runs(ids(2), 2))] == [
        ("o-00000000", 1),
        ("o-00000000", 2),
        ("o-00000001", 1),
        ("o-00000001", 2),
    ]
    orders = decoded("orders", order_events(ids(4)))
    assert [(one.id, one.version) for one in orders] == [(id, version) for version in (1, 2, 3) for id in ids(4)]


def test_ratios_are_of_one_round_and_figures_are_medians() -> None:
    def pace(per_s: float) -> Pace:
        return Pace(per_s, {"projector": 20.0, "valkey": 5.0})

    sides = ("projector", "naive_sink", "consume_and_drop", "updates", "coalesced", "indexed", "measured", "orders")
    found = {side: [pace(per_s) for per_s in (50_000.0, 10_000.0, 30_000.0)] for side in sides}
    found["blind_set"] = [Pace(per_s, {"set": 25.0}) for per_s in (25_000.0, 20_000.0, 20_000.0)]
    told = projector_rate.figures(found)
    assert told["ratio_to_blind_set"] == 1.5
    assert told["events_per_s_where_a_core_does_45k_sets"] == 67_500
    assert told["cpu_ratio_to_blind_set"] == 1.25
    assert told["projector_per_s"] == 30_000
    assert told["projector_valkey_cpu_us_per_event"] == 5


def test_the_share_is_between_arrival_and_notice() -> None:
    stamps = Stamps(
        sent={"a": 1.0, "b": 1.0},
        arrived={"a": 1.001, "b": 1.003},
        fetched={"a": 1.002, "b": 1.001},
        visible={"a": 1.005, "b": 1.002},
    )
    told = stamps.shares_ms()
    assert told["own_share"] == pytest.approx([4, 0])
    assert told["own_fetch"] == pytest.approx([1, 0])
    assert told["own_behind_fetch"] == pytest.approx([3, 1])
    assert told["produce_visible_at_half_load"] == pytest.approx([5, 2])
    assert told["produce_consume_at_half_load"] == pytest.approx([1, 3])


def test_times_of_a_round_are_found_by_partition_and_offset() -> None:
    found = Round(Stamps(), [["a", "b"], [], ["c"]], [1, 5, 0], 0.0, {})
    assert found.by_id([[0.0, 1.0, 2.0, 9.0], [], [3.0]]) == {"a": 1.0, "b": 2.0, "c": 3.0}


def test_stages_are_told_for_the_records_of_a_round() -> None:
    stages = Stages(
        fetched=[(1.0, 2, {0: 1, 1: 1}), (2.0, 2, {1: 3})],
        asked=[(1.001, 2), (2.001, 1), (2.002, 1)],
        changed=[(1.002, 2), (2.004, 2)],
        answered=[(1.003, 2), (2.008, 2)],
    )
    assert stages.fetched_s(2) == [[1.0], [1.0, 2.0, 2.0]]
    told = stages.shares_ms(skipped=2)
    assert told["own_decode"] == pytest.approx([1, 2])
    assert told["own_fold"] == pytest.approx([3, 2])
    assert told["own_apply"] == pytest.approx([4, 4])
    assert stages.shares_ms(skipped=4) == {}
    stages.answered.pop()
    assert stages.shares_ms(skipped=0) == {}


RUNS = {
    "projector_rate.rate": projector_rate.benchmark.bounds,
    "own_share.own_share": ["own_share_p99_ms", "own_fetch_p99_ms", "own_apply_p99_ms", "sustained_events_per_s"],
    "row_size.bytes_per_row": row_size.benchmark.bounds,
    "growth.growth": growth.benchmark.bounds,
}
"""What measures, and what it has to measure; all at once, each in a process of its own: much of it waits for a group to form."""


async def test_they_run() -> None:
    """With so little to do that the figures mean nothing: they are there, and are numbers."""

    async def run(name: str) -> dict[str, float]:
        module, function = name.split(".")
        program = f"import json, uvloop; from benchmarks.{module} import QUICK, {function}\n"
        program += f"print(json.dumps(uvloop.run({function}(QUICK)), allow_nan=False))"
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, cwd=ROOT, stdout=asyncio.subprocess.PIPE
        )
        try:
            async with asyncio.timeout(60):
                said, _ = await child.communicate()
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        assert child.returncode == 0, name
        figures: dict[str, float] = json.loads(said)
        return figures

    async with asyncio.TaskGroup() as group:
        running = {name: group.create_task(run(name)) for name in RUNS}
    for name, task in running.items():
        assert set(RUNS[name]) <= task.result().keys(), name
        assert min(task.result().values()) >= 0, (name, task.result())
