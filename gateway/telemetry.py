"""Every metric of this floor: names settled here, before anything emits them, so that dashboards can be written against them.

Invariants: names, units and attributes only; no value of a client's ever is an attribute.
"""

from __future__ import annotations

from typing import Final

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
    TRIPS,
    TRIP_DURATION,
    DOCUMENTS,
    WAITS,
    WAIT_DURATION,
    COMMANDS,
    COMMAND_DURATION,
)
