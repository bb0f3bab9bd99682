"""The benchmarks of the projector: their records, their yardsticks, how figures follow from rounds, and that they run."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from benchmarks import growth, projector_rate, row_size, visible
from benchmarks.measure import Pace
from benchmarks.sink import documents
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
    stamps = visible.Stamps({"a": 1.0, "b": 1.0}, {"a": 1.001, "b": 1.003}, {"a": 1.005, "b": 1.002})
    told = stamps.figures()
    assert told["own_share_p99_ms"] == pytest.approx(4)
    assert told["own_share_p50_ms"] == 0
    assert told["produce_visible_at_half_load_p99_ms"] == pytest.approx(5)


RUNS = {
    "projector_rate.rate": projector_rate.benchmark.bounds,
    "visible.own_share": ["own_share_p99_ms"],
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
