"""What a consumer does with records: the same few calls, whether it feeds a projection or a timeline.

Invariants: pure but for the clock, which is asked when a batch is projected and no time is given.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol, TypeAlias, cast

from projections.declare import Projection
from projections.decode import Decoder
from projections.happenings import HappeningDecoder, HappeningProjector
from projections.project import ChangeSet, Projector
from projections.record import Decoded, Ignored, Outcome, Poison, Record
from projections.store.change import Waiting
from projections.store.document import Document
from projections.timeline import Timeline

Definition: TypeAlias = Projection[Any, Any] | Timeline[Any]


class Runtime(Protocol):
    """A definition at work."""

    @property
    def timeline_bound(self) -> int:
        """How many entries of a timeline's key are kept; 0 for a projection."""
        ...

    def decode(self, record: Record) -> Outcome:
        """What a record is. Never raises."""
        ...

    def ids_to_read(self, outcomes: Sequence[Outcome]) -> list[str]:
        """The aggregates whose documents `project` needs, each once."""
        ...

    def project(
        self,
        outcomes: Sequence[Outcome],
        documents: Mapping[str, Document | None],
        queues: Mapping[str, Sequence[Waiting]],
        now_ms: int | None = None,
    ) -> ChangeSet:
        """What a batch comes to. `queues` has what waits behind the documents that are flagged PARKED. Never raises."""
        ...

    def close_off(self, numbers: Mapping[str, int]) -> None:
        """From now on parks what would add to a measure's number (1) or take from it (-1): the store has no room for more."""
        ...


class _ProjectionRuntime:
    timeline_bound = 0

    def __init__(self, projection: Projection[Any, Any]) -> None:
        decoder = Decoder(projection)
        self.decode = decoder.decode
        self._projector = Projector(projection, decoder)

    def ids_to_read(self, outcomes: Sequence[Outcome]) -> list[str]:
        ids: dict[str | None, None] = dict.fromkeys(
            [outcome.id for outcome in outcomes if type(outcome) in _PLACED]  # type: ignore[union-attr]
        )
        ids.pop(None, None)  # of a record of no aggregate
        return cast("list[str]", list(ids))

    def project(
        self,
        outcomes: Sequence[Outcome],
        documents: Mapping[str, Document | None],
        queues: Mapping[str, Sequence[Waiting]],
        now_ms: int | None = None,
    ) -> ChangeSet:
        return self._projector.project(outcomes, documents, queues, _now_ms() if now_ms is None else now_ms)

    def close_off(self, numbers: Mapping[str, int]) -> None:
        self._projector.close_off(numbers)


_PLACED: Final = frozenset({Decoded, Ignored, Poison})


class _TimelineRuntime:
    def __init__(self, timeline: Timeline[Any]) -> None:
        self.timeline_bound = timeline.bound
        self.decode = HappeningDecoder(timeline).decode
        self._projector = HappeningProjector()

    def ids_to_read(self, outcomes: Sequence[Outcome]) -> list[str]:
        return []

    def project(
        self,
        outcomes: Sequence[Outcome],
        documents: Mapping[str, Document | None],
        queues: Mapping[str, Sequence[Waiting]],
        now_ms: int | None = None,
    ) -> ChangeSet:
        return self._projector.project(outcomes)

    def close_off(self, numbers: Mapping[str, int]) -> None:
        """A timeline has no numbers."""


def runtime_of(definition: Definition) -> Runtime:
    """The runtime of a projection or a timeline."""
    return _TimelineRuntime(definition) if isinstance(definition, Timeline) else _ProjectionRuntime(definition)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
