"""Every metric of this floor: names settled here, before anything emits them, so that dashboards can be written against them.

Invariants: names, units and attributes only; no value of a client's ever is an attribute.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from opentelemetry.metrics import CallbackOptions, Observation, get_meter

from projections.telemetry import Metric

SCOPE: Final = "headrace.gateway"

OPERATIONS: Final = Metric(
    "headrace.gateway.operations",
    "counter",
    "{operation}",
    "Operations answered, by type and first error code",
    ("type", "code"),
)
OPERATION_DURATION: Final = Metric(
    "headrace.gateway.operation.duration",
    "histogram",
    "s",
    "Time from the request's last byte to the answer",
    ("type",),
)
EXECUTIONS: Final = Metric(
    "headrace.gateway.executions",
    "counter",
    "{operation}",
    "Queries by who answered them: compiled, plain, or broken (a plan that met what it cannot answer, and then plain); and how "
    "many of those compiled were shared with another of the same tick",
    ("road",),
)
TRIPS: Final = Metric("headrace.gateway.store.trips", "counter", "{trip}", "Round trips to the store", ("outcome",))
TRIP_DURATION: Final = Metric("headrace.gateway.store.trip.duration", "histogram", "s", "Time of one round trip", ())
DOCUMENTS: Final = Metric(
    "headrace.gateway.store.documents", "counter", "{document}", "Documents read", ("projection",)
)
WAITS: Final = Metric(
    "headrace.gateway.waits",
    "counter",
    "{wait}",
    "Reads that waited for a token, by how it ended",
    ("projection", "outcome"),
)
WAIT_DURATION: Final = Metric(
    "headrace.gateway.wait.duration", "histogram", "s", "Time waited for a token", ("projection",)
)
COMMANDS: Final = Metric(
    "headrace.gateway.commands",
    "counter",
    "{command}",
    "Commands forwarded, by what became of them",
    ("service", "outcome"),
)
COMMAND_DURATION: Final = Metric(
    "headrace.gateway.command.duration", "histogram", "s", "Time of one forwarded command", ("service",)
)

METRICS: Final = (
    OPERATIONS,
    OPERATION_DURATION,
    EXECUTIONS,
    TRIPS,
    TRIP_DURATION,
    DOCUMENTS,
    WAITS,
    WAIT_DURATION,
    COMMANDS,
    COMMAND_DURATION,
)


def observe_executions(counts: Mapping[str, int]) -> None:
    """Has EXECUTIONS read off counts that are kept anyway: to record each would cost a request 11 us."""

    def read(_: CallbackOptions) -> Iterable[Observation]:
        return [Observation(count, {"road": road}) for road, count in counts.items()]

    get_meter(SCOPE).create_observable_counter(EXECUTIONS.name, [read], EXECUTIONS.unit, EXECUTIONS.description)
