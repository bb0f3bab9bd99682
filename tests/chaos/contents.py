"""All that a set of read models holds, as plain values, and the comparison of what is there with what should be.

Invariants: pure; whatever the store keeps is either compared or listed as unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

MAX_DIFFERENCES: Final = 40


class Doc(NamedTuple):
    """A document; `view` is the decoded JSON, None when there is nothing to show."""

    epoch: int
    version: int
    view: dict[str, Any] | None
    is_parked: bool = False


class Happened(NamedTuple):
    """An entry of a timeline, without where it came from: of two copies in the log either may be the one that was taken."""

    event_id: str
    what: str
    at: str
    type: str
    subject: str


@dataclass
class Model:
    """What is stored of one projection or timeline, all its buckets together.

    Args:
        documents: by id.
        lists: ids in order, by the list's name without the bucket's prefix; of indexes, and of measures that are extremes.
        numbers: of measures that count or add up, by name.
        timelines: entries by key, oldest first.
        queues: coordinates by place, by id.
        quarantine: coordinates.
        positions: offset to read next by bucket number and `<topic>/<partition>`.
        built: numbers of the buckets that are whole.
        bucket_count: how many buckets the generation says that it has.
        unknown: keys that nobody can explain.
    """

    documents: dict[str, Doc] = field(default_factory=dict[str, Doc])
    lists: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    numbers: dict[str, int] = field(default_factory=dict[str, int])
    timelines: dict[str, list[Happened]] = field(default_factory=dict[str, list[Happened]])
    queues: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    quarantine: set[str] = field(default_factory=set[str])
    positions: dict[int, dict[str, int]] = field(default_factory=dict[int, dict[str, int]])
    built: set[int] = field(default_factory=set[int])
    bucket_count: int | None = None
    unknown: list[str] = field(default_factory=list[str])


@dataclass
class Expected:
    """What one projection or timeline should hold.

    Args:
        model: its `positions` and `queues`' coordinates are not looked at.
        copies: the coordinates that may stand for a record that waits, by id and place: any of its copies.
        ends: by `<topic>/<partition>` the offset after the last record.
    """

    model: Model
    copies: dict[tuple[str, str], set[str]] = field(default_factory=dict[tuple[str, str], set[str]])
    ends: dict[str, int] = field(default_factory=dict[str, int])


@dataclass
class Comparison:
    """How many things were compared, by kind, and what differs (at most MAX_DIFFERENCES are told, all are counted)."""

    counts: dict[str, int] = field(default_factory=dict[str, int])
    differences: list[str] = field(default_factory=list[str])
    differing: int = 0
    unmarked: int = 0

    @property
    def lacks_marks_alone(self) -> bool:
        """Whether nothing else differs than that buckets are not marked as built."""
        return 0 < self.differing == self.unmarked

    @property
    def is_equal(self) -> bool:
        return not self.differing

    def all(self, kind: str, stored: Mapping[Any, object], expected: Mapping[Any, object]) -> None:
        """Compares two mappings, one thing per key."""
        keys = stored.keys() | expected.keys()
        self.counts[kind] = self.counts.get(kind, 0) + len(keys)
        for key in keys:
            if stored.get(key) != expected.get(key):
                self.one(f"{kind} {key}: stored {stored.get(key)!r}, should be {expected.get(key)!r}")

    def one(self, difference: str) -> None:
        """A difference."""
        self.differing += 1
        if len(self.differences) < MAX_DIFFERENCES:
            self.differences.append(difference[:600])


def compare(
    stored: Mapping[str, Model], expected: Mapping[str, Expected], *, positions: bool = True, queues: bool = True
) -> Comparison:
    """Everything stored against everything expected, by the name of the projection.

    Without `positions` the models need not be caught up; without `queues` nothing is said about what is set aside.
    """
    found = Comparison()
    for name in stored.keys() - expected.keys():
        found.one(f"{name}: nobody knows this projection")
    for name, should in expected.items():
        model = stored.get(name, Model())
        found.all(f"{name} document", model.documents, should.model.documents)
        found.all(f"{name} list", model.lists, should.model.lists)
        found.all(f"{name} number", model.numbers, should.model.numbers)
        found.all(f"{name} timeline", model.timelines, should.model.timelines)
        for key in model.unknown:
            found.one(f"{name}: unknown key {key}")
        if queues:
            _compare_queues(found, name, model, should)
        if positions:
            for number, at in sorted(model.positions.items()):
                found.all(f"{name} position of bucket {number}", at, should.ends)
            if model.positions.keys() != model.built or not model.built:
                found.unmarked += 1
                found.one(f"{name}: built are {sorted(model.built)} of {sorted(model.positions)}")
            if model.bucket_count != len(model.positions):
                found.one(f"{name}: it says that it has {model.bucket_count} buckets of {len(model.positions)}")
    return found


def _compare_queues(found: Comparison, name: str, model: Model, should: Expected) -> None:
    places = {id: sorted(queue) for id, queue in model.queues.items()}
    found.all(f"{name} queue", places, {id: sorted(queue) for id, queue in should.model.queues.items()})
    waiting: set[str] = set()
    for id, queue in model.queues.items():
        waiting.update(queue.values())
        for place, coordinates in queue.items():
            if coordinates not in should.copies.get((id, place), ()):
                found.one(f"{name} queue {id}: {place} is {coordinates}, which is no copy of it")
    loose = model.quarantine - waiting
    found.all(f"{name} loose", dict.fromkeys(loose, True), dict.fromkeys(should.model.quarantine, True))
    for coordinates in waiting - model.quarantine:
        found.one(f"{name}: {coordinates} waits in a queue and is not in the quarantine")
