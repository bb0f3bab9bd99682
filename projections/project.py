"""([outcome], current documents, what waits) -> ChangeSet: folds a batch of records into the new state of each aggregate.

Invariants: pure and total; what comes out depends on the versions of the records, not on how often or in which batches they came:
    state topic      any newer (epoch, version) is taken, whatever is older or equal is a duplicate
    domain events    the next version is folded, older or equal is a duplicate; behind a gap, or a record that cannot be used,
                     later ones wait by version until the missing one comes; a higher epoch starts anew with its version 1
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from projections.declare import Event, Projection, View
from projections.decode import Decoder
from projections.entries import Entries, Move, merged
from projections.parking import At, Queue, Versioned, poison
from projections.record import Decoded, Ignored, Outcome, Poison
from projections.store.change import Append, Change, Waiting
from projections.store.document import PARKED, Document
from projections.wire import Codec

Placed: TypeAlias = Decoded | Ignored | Poison
"""An outcome with a place in the history of its aggregate."""

_START: Final[At] = (0, 0)


@dataclass
class ChangeSet:
    """What a batch comes to in a bucket: the new state of each aggregate that moved or has more or less waiting behind it.

    `removed` and `added` are members by list, `deltas` what is added by number; `appends` are for timelines. `set_aside` are
    records of no aggregate; `parked` says of each record that waits from now on why it does. `released` counts those that no
    longer do. `wanted` are coordinates of entries that were UNREAD and are due: with any of them, nothing else of it counts.
    """

    changes: list[Change] = field(default_factory=list[Change])
    removed: dict[str, list[bytes]] = field(default_factory=dict[str, list[bytes]])
    added: dict[str, list[bytes]] = field(default_factory=dict[str, list[bytes]])
    deltas: dict[str, int] = field(default_factory=dict[str, int])
    appends: list[Append] = field(default_factory=list[Append])
    set_aside: list[Poison] = field(default_factory=list[Poison])
    parked: list[Poison] = field(default_factory=list[Poison])
    released: int = 0
    duplicates: int = 0
    wanted: list[str] = field(default_factory=list[str])

    @property
    def queued(self) -> int:
        """How many records wait from now on."""
        return len(self.parked)


class _Aggregate:
    """An aggregate while its records are folded: as it is stored, and as it is by now."""

    __slots__ = ("at", "body", "id", "is_read", "moves", "queue", "stored", "time_ms", "view")

    def __init__(self, id: str, stored: Document | None) -> None:
        self.id = id
        self.stored = stored
        self.queue: Queue | None = None
        self.view: View | None = None
        self.moves: list[Move] = []
        if stored is None:
            self.at, self.time_ms, self.body, self.is_read = _START, 0, None, True
        else:
            self.at, self.time_ms, self.body = (stored.epoch, stored.version), stored.time_ms, stored.view
            self.is_read = stored.view is None


class Projector:
    """Folds the outcomes of one projection."""

    def __init__(self, projection: Projection[Any, Any], decoder: Decoder | None = None) -> None:
        self._view = projection.view
        self._evolve = projection.evolve
        self._state = projection.state
        self._codec: Codec[View] = Codec(projection.view)
        self._entries = Entries(projection)
        self._decode = (decoder or Decoder(projection)).decode

    def close_off(self, numbers: Mapping[str, int]) -> None:
        """From now on parks what would add to a number (1) or take from it (-1)."""
        self._entries.close_off(numbers)

    def project(
        self,
        outcomes: Sequence[Outcome],
        documents: Mapping[str, Document | None],
        queues: Mapping[str, Sequence[Waiting]],
        now_ms: int,
    ) -> ChangeSet:
        """Folds outcomes, in log order, onto the documents of all aggregates that they name.

        `queues` has what waits behind those that are flagged PARKED; a missing one is empty. An `Ignored` that is due moves the
        version over a record that is not wanted any more.
        """
        result = ChangeSet()
        first: dict[str, Placed] = {}
        more: dict[str, list[Placed]] = {}
        for outcome in outcomes:
            if type(outcome) not in _PLACED:
                continue
            id = outcome.id  # type: ignore[union-attr]
            if id is None:
                result.set_aside.append(outcome)  # type: ignore[arg-type]  # only a Poison has no place
            elif first.setdefault(id, outcome) is not outcome:  # type: ignore[arg-type]
                more.setdefault(id, []).append(outcome)  # type: ignore[arg-type]
        for id, outcome in first.items():
            document = documents.get(id)
            if id in more or not self._fold_alone(outcome, document, result):
                aggregate = self._begin(id, document, queues.get(id))
                for one in (outcome, *more.get(id, ())):
                    if not self._take(one, aggregate):
                        result.duplicates += 1
                _tell(aggregate, now_ms, result)
        result.deltas = {name: delta for name, delta in result.deltas.items() if delta}
        return result

    def _fold_alone(self, outcome: Placed, stored: Document | None, result: ChangeSet) -> bool:
        """Folds the only record of an aggregate behind which nothing waits, if it is the next one and can be used, as nearly all
        are: two thirds of the time of the whole way, which says the same. False: it has to go that way, and nothing was done.
        """
        if type(outcome) is not Decoded:
            return False
        event, epoch, version, body = outcome.event, 0, 0, None
        if stored is not None:
            if stored.flags:
                return False
            epoch, version, body = stored.epoch, stored.version, stored.view
        if outcome.epoch != epoch or outcome.version != version + 1:
            return False
        try:
            old = None if body is None else self._codec.decode_stored(body)
            view = None if event is None else self._evolve(old, event)
            new = None if view is None else self._encode(view, old, event)  # type: ignore[arg-type]  # a view comes of an event
            move = self._entries.move(outcome.id, old, view) if self._entries else None
        except Exception:  # noqa: BLE001 - whatever it is, the whole way meets it again and tells it
            return False
        document = Document(epoch, outcome.version, outcome.time_ms, new)
        result.changes.append(Change(outcome.id, stored, document))
        if move is not None:
            _add(move, result)
        return True

    def _begin(self, id: str, document: Document | None, waiting: Sequence[Waiting] | None) -> _Aggregate:
        aggregate = _Aggregate(id, document)
        if waiting:
            aggregate.queue = Queue(waiting, self._decode)
            self._drain(aggregate, aggregate.queue)
        return aggregate

    def _take(self, outcome: Placed, aggregate: _Aggregate) -> bool:
        """Moves one aggregate on by one record, or parks that. False when it came before."""
        at = (outcome.epoch, outcome.version)
        if at <= aggregate.at:
            return False
        if isinstance(outcome, Poison):
            return self._queue(aggregate).park(at, outcome, None)
        if not self._is_due(at, aggregate):
            return self._queue(aggregate).park(at, _not_due(outcome, aggregate), outcome)
        fault = self._fold(outcome, aggregate)
        if fault is not None:
            return self._queue(aggregate).park(at, fault, outcome)
        if aggregate.queue is not None:
            aggregate.queue.release_through(at)
            self._drain(aggregate, aggregate.queue)
        return True

    def _queue(self, aggregate: _Aggregate) -> Queue:
        if aggregate.queue is None:
            aggregate.queue = Queue((), self._decode)
        return aggregate.queue

    def _drain(self, aggregate: _Aggregate, queue: Queue) -> None:
        """Folds what waits as far as it is due and can be used; on a state topic the newest, if it can."""
        for at in queue.places()[-1:] if self._state else queue.places():
            if self._is_due(at, aggregate):
                outcome = queue.usable(at)
                if outcome is not None and self._fold(outcome, aggregate) is None:
                    queue.release_through(at)

    def _is_due(self, at: At, aggregate: _Aggregate) -> bool:
        """Whether a newer version may be folded now."""
        if self._state:
            return True
        epoch, version = aggregate.at
        return at[1] == version + 1 if at[0] == epoch else at[1] == 1

    def _fold(self, outcome: Versioned, aggregate: _Aggregate) -> Poison | None:
        """Folds one record that is due. The aggregate stays as it is when the author's code fails."""
        starts_anew = not self._state and outcome.epoch > aggregate.at[0]
        if isinstance(outcome, Decoded) or (starts_anew and aggregate.body is not None):
            try:
                old = self._read(aggregate)
                view = body = None
                if isinstance(outcome, Decoded) and outcome.event is not None:
                    view = self._evolve(None if starts_anew else old, outcome.event)
                    body = None if view is None else self._encode(view, old, outcome.event)
                move = self._entries.move(aggregate.id, old, view) if self._entries else None
            except Exception as error:  # noqa: BLE001 - whatever the author's code raises, the record is at hand
                return poison(outcome, "evolve", f"{type(error).__name__}: {error}")
            aggregate.view, aggregate.body = view, body
            if move is not None:
                aggregate.moves.append(move)
        aggregate.at = (outcome.epoch, outcome.version)
        aggregate.time_ms = outcome.time_ms
        return None

    def _read(self, aggregate: _Aggregate) -> View | None:
        if not aggregate.is_read:
            try:
                aggregate.view = self._codec.decode_stored(aggregate.body or b"")
            except Exception as error:
                raise ValueError(f"the stored view cannot be read: {error}") from error
            aggregate.is_read = True
        return aggregate.view

    def _encode(self, view: View, old: View | None, event: Event) -> bytes:
        if type(view) is not self._view:
            raise TypeError(f"evolve returned {type(view).__name__}, not {self._view.__name__}")
        return self._codec.encode_next(view, old, event)


_PLACED: Final = frozenset({Decoded, Ignored, Poison})


def _not_due(outcome: Versioned, aggregate: _Aggregate) -> Poison:
    epoch, version = aggregate.at
    told = f"version {outcome.version} of epoch {outcome.epoch} after {version} of {epoch}"
    first = aggregate.queue.places()[:1] if aggregate.queue is not None else []
    is_behind = bool(first) and first[0] < (outcome.epoch, outcome.version)
    return poison(outcome, "behind" if is_behind else "gap", told)


def _tell(aggregate: _Aggregate, now_ms: int, result: ChangeSet) -> None:
    """Adds what became of an aggregate."""
    stored, queue = aggregate.stored, aggregate.queue
    was = stored.flags if stored else 0
    flags = was | PARKED if queue else was & ~PARKED
    queued: Sequence[Waiting] = ()
    released: Sequence[Waiting] = ()
    if queue is not None:
        result.wanted += queue.wanted()
    if queue is not None and queue.has_changed:
        queued, released = queue.queued(now_ms), queue.released()
        result.parked += queue.parked()
        result.released += len(released)
    elif aggregate.at == (stored.at if stored else _START) and flags == was:
        return
    document = Document(*aggregate.at, aggregate.time_ms, aggregate.body, flags)
    result.changes.append(Change(aggregate.id, stored, document, queued, released))
    if not aggregate.moves:
        return
    _add(merged(aggregate.moves), result)


def _add(move: Move, result: ChangeSet) -> None:
    for name, member in move.removed:
        result.removed.setdefault(name, []).append(member)
    for name, member in move.added:
        result.added.setdefault(name, []).append(member)
    for name, amount in move.amounts:
        result.deltas[name] = result.deltas.get(name, 0) + amount
