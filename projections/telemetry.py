"""Every metric that this floor emits, and the instruments for them.

Invariants: only OpenTelemetry's API is used here, the SDK is set up at an entry point; pure modules emit nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from opentelemetry.metrics import Counter, Histogram, Meter, get_meter

SCOPE: Final = "headrace.projections"


@dataclass(frozen=True)
class Metric:
    """A metric's name, unit (UCUM) and description, and the attributes that it carries."""

    name: str
    kind: Literal["counter", "histogram"]
    unit: str
    description: str
    attributes: tuple[str, ...] = ("projection",)


RECORDS: Final = Metric(
    "headrace.projector.records", "counter", "{record}", "Records read, by what they were", ("projection", "outcome")
)
APPLIED: Final = Metric("headrace.projector.applied", "counter", "{document}", "Documents written")
DUPLICATES: Final = Metric(
    "headrace.projector.duplicates", "counter", "{record}", "Records that came again and changed nothing"
)
SET_ASIDE: Final = Metric(
    "headrace.projector.set_aside", "counter", "{record}", "Records put into the quarantine", ("projection", "cause")
)
SETBACKS: Final = Metric(
    "headrace.projector.setbacks",
    "counter",
    "{setback}",
    "Times the store was not as it was left (FencedError, RegressedError, ConflictedError), and work went back to it",
    ("projection", "error"),
)
GONE: Final = Metric(
    "headrace.projector.gone",
    "counter",
    "{record}",
    "Offsets that the log had dropped before they were read (retention)",
    ("projection", "topic"),
)
VANISHED: Final = Metric(
    "headrace.projector.vanished",
    "counter",
    "{topic}",
    "Topics that were read once and are there no longer, each time that a worker finds one",
    ("projection", "topic"),
)
OUTAGES: Final = Metric(
    "headrace.projector.outages", "counter", "{outage}", "Times the store or the log failed", ("projection", "error")
)
APPLY_DURATION: Final = Metric("headrace.projector.apply.duration", "histogram", "s", "Time of one atomic change")

METRICS: Final = (RECORDS, APPLIED, DUPLICATES, SET_ASIDE, SETBACKS, GONE, VANISHED, OUTAGES, APPLY_DURATION)


class Instruments:
    """The instruments of one process."""

    def __init__(self, meter: Meter | None = None) -> None:
        meter = meter or get_meter(SCOPE)
        self.records = _counter(meter, RECORDS)
        self.applied = _counter(meter, APPLIED)
        self.duplicates = _counter(meter, DUPLICATES)
        self.set_aside = _counter(meter, SET_ASIDE)
        self.gone = _counter(meter, GONE)
        self.vanished = _counter(meter, VANISHED)
        self.setbacks = _counter(meter, SETBACKS)
        self.outages = _counter(meter, OUTAGES)
        self.apply_duration: Histogram = meter.create_histogram(
            APPLY_DURATION.name, APPLY_DURATION.unit, APPLY_DURATION.description
        )


def _counter(meter: Meter, metric: Metric) -> Counter:
    return meter.create_counter(metric.name, metric.unit, metric.description)
