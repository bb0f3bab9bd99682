"""([outcome], current documents) -> ChangeSet: folds a batch of records into the new state of each aggregate.

Invariants: pure and total; what comes out depends on the versions of the records, not on how often or in which batches they came:
    state topic      any newer (epoch, version) is taken, whatever is older or equal is a duplicate
    domain events    the next version is folded, older or equal is a duplicate, a gap is set aside; a higher epoch starts anew
                     with its version 1
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from projections.declare import Projection, View
from projections.record import Decoded, Ignored, Outcome, Poison
from projections.store.document import Document
from projections.store.keys import Entry, index_entries
from projections.store.port import Change
from projections.wire import Codec

Versioned: TypeAlias = Decoded | Ignored

_NOWHERE: Final[frozenset[Entry]] = frozenset()


@dataclass
class ChangeSet:
    """What a batch comes to: one change per aggregate that moved, and the records that could not be used, in log order."""

    changes: list[Change] = field(default_factory=list[Change])
    set_aside: list[Poison] = field(default_factory=list[Poison])
    duplicates: int = 0


@dataclass
class _Aggregate:
    """An aggregate while its records are folded: as it is stored, and as it is by now."""

    stored: Document | None
    stored_entries: frozenset[Entry]
    document: Document | None
    view: View | None
    entries: frozenset[Entry]


class Projector:
    """Folds the outcomes of one projection."""

    def __init__(self, projection: Projection[Any, Any]) -> None:
        self._projection = projection
        self._codec: Codec[View] = Codec(projection.view)

    def project(self, outcomes: Sequence[Outcome], documents: Mapping[str, Document | None]) -> ChangeSet:
        """Folds outcomes, in log order, onto the documents of all aggregates that they name."""
        result = ChangeSet()
        known: dict[str, _Aggregate] = {}
        for outcome in outcomes:
            if isinstance(outcome, Poison):
                result.set_aside.append(outcome)
            elif isinstance(outcome, Decoded | Ignored):
                fault = self._take(outcome, known, documents, result)
                if fault is not None:
                    result.set_aside.append(fault)
        for id, aggregate in known.items():
            change = _change(id, aggregate)
            if change is not None:
                result.changes.append(change)
        return result

    def _take(
        self,
        outcome: Versioned,
        known: dict[str, _Aggregate],
        documents: Mapping[str, Document | None],
        result: ChangeSet,
    ) -> Poison | None:
        """Moves one aggregate on by one record. Returns why it cannot."""
        aggregate = known.get(outcome.id)
        if aggregate is None:
            document = documents[outcome.id]
            try:
                aggregate = self._read(outcome.id, document)
            except Exception as error:  # noqa: BLE001 - a stored view of another shape: told, not raised
                return Poison("evolve", f"the stored view cannot be read: {_told(error)}", outcome.record)
            known[outcome.id] = aggregate
        at = aggregate.document.at if aggregate.document else (0, 0)
        if (outcome.epoch, outcome.version) <= at:
            result.duplicates += 1
            return None
        if not self._projection.state and not _follows(outcome, at):
            return Poison(
                "gap", f"version {outcome.version} of epoch {outcome.epoch} after {at[1]} of {at[0]}", outcome.record
            )
        return self._fold(outcome, aggregate)

    def _read(self, id: str, document: Document | None) -> _Aggregate:
        if document is None or document.view is None:
            return _Aggregate(document, _NOWHERE, document, None, _NOWHERE)
        view = self._codec.decode(document.view)
        entries = frozenset(index_entries(self._projection.indexes, id, view))
        return _Aggregate(document, entries, document, view, entries)

    def _fold(self, outcome: Versioned, aggregate: _Aggregate) -> Poison | None:
        """Folds one record that is due. The aggregate stays as it is when the author's code fails."""
        view, entries = aggregate.view, aggregate.entries
        body = aggregate.document.view if aggregate.document else None
        if aggregate.document and outcome.epoch > aggregate.document.epoch and not self._projection.state:
            view, entries, body = None, _NOWHERE, None
        if isinstance(outcome, Decoded):
            try:
                view = None if outcome.event is None else self._projection.evolve(view, outcome.event)
                body = None if view is None else self._encode(view)
                entries = frozenset(index_entries(self._projection.indexes, outcome.id, view))
            except Exception as error:  # noqa: BLE001 - whatever the author's code raises, the record is at hand
                return Poison("evolve", _told(error), outcome.record)
        aggregate.view, aggregate.entries = view, entries
        aggregate.document = Document(outcome.epoch, outcome.version, outcome.time_ms, body)
        return None

    def _encode(self, view: View) -> bytes:
        if type(view) is not self._projection.view:
            raise TypeError(f"evolve returned {type(view).__name__}, not {self._projection.view.__name__}")
        return self._codec.encode(view)


def _change(id: str, aggregate: _Aggregate) -> Change | None:
    if aggregate.document is None or aggregate.document is aggregate.stored:
        return None
    return Change(
        id=id,
        base=aggregate.stored.at if aggregate.stored else None,
        document=aggregate.document,
        removed=aggregate.stored_entries - aggregate.entries,
        added=aggregate.entries - aggregate.stored_entries,
    )


def _follows(outcome: Versioned, at: tuple[int, int]) -> bool:
    """Whether a record is the next one of a history that stands at `at`."""
    epoch, version = at
    if outcome.epoch == epoch:
        return outcome.version == version + 1
    return outcome.version == 1


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
