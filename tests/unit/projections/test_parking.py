"""What waits behind an aggregate, in which order it is let go, and what the store is told of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from projections.decode import Decoder
from projections.project import ChangeSet, Projector
from projections.quarantine import read_entry
from projections.record import Ignored, Outcome, Record
from projections.store.change import Change, Waiting
from projections.store.document import PARKED, Document
from projections.store.keys import queue_place
from tests.unit.projections.samples import (
    Broken,
    CartView,
    Closed,
    Opened,
    Renamed,
    cart_states,
    carts,
    evolve,
    record,
)


def opened(version: int = 1, **more: Any) -> Record:
    return record(version=version, offset=more.pop("offset", version), **more)


def renamed(version: int, owner: str = "bob", **more: Any) -> Record:
    data = more.pop("data", {"owner": owner})
    return record(version=version, kind="other.team.Renamed", data=data, offset=more.pop("offset", version), **more)


def broken(version: int, **more: Any) -> Record:
    return renamed(version, data=b"{", **more)


def state(version: int, owner: str | None = "ann", **more: Any) -> Record:
    data = more.pop("data", None if owner is None else {"owner": owner})
    return record(version=version, kind="CartState", data=data, offset=more.pop("offset", version), **more)


def mended(view: CartView | None, event: Opened | Renamed | Broken | Closed) -> CartView | None:
    return view if isinstance(event, Broken) else evolve(view, event)


class Aggregate:
    """One aggregate as a store would keep it, fed batch by batch."""

    def __init__(self, projection: Any = carts) -> None:
        self.decode = Decoder(projection).decode
        self.projector = Projector(projection)
        self.document: Document | None = None
        self.waiting: dict[str, Waiting] = {}

    def take(self, *records: Record | Outcome) -> ChangeSet:
        outcomes = [self.decode(item) if isinstance(item, Record) else item for item in records]
        queue = sorted(self.waiting.values())
        assert bool(queue) == bool(self.document and self.document.flags & PARKED)
        result = self.projector.project(outcomes, {"c-1": self.document}, {"c-1": queue} if queue else {}, 7_000)
        for change in result.changes:
            self.keep(change)
        return result

    def keep(self, change: Change) -> None:
        assert change.base == self.document
        self.document = change.document
        for item in change.released:
            assert self.waiting.pop(item.place) == item
        for item in change.queued:
            assert item.place not in self.waiting
            self.waiting[item.place] = item

    @property
    def at(self) -> tuple[int, int]:
        assert self.document is not None
        return self.document.at

    @property
    def owner(self) -> str | None:
        assert self.document is not None
        return json.loads(self.document.view)["owner"] if self.document.view else None

    @property
    def causes(self) -> dict[str, str]:
        return {place: read_entry(item.entry).cause for place, item in sorted(self.waiting.items())}


def test_what_waits_is_kept_whole_with_its_place() -> None:
    cart = Aggregate()
    source = renamed(3, "bob", epoch=1)
    cart.take(source)
    [kept] = cart.waiting.values()
    assert (kept.place, kept.coordinates) == (queue_place(1, 3), "shop.carts/0/3")
    entry = read_entry(kept.entry)
    assert (entry.cause, entry.id, entry.epoch, entry.version) == ("gap", "c-1", 1, 3)
    assert entry.event_time_ms == 1_714_564_800_123
    assert entry.record() == source
    assert cart.document == Document(0, 0, 0, None, PARKED)


def test_the_missing_record_drains_the_queue_in_version_order() -> None:
    cart = Aggregate()
    cart.take(opened(1), renamed(4, "four"), renamed(3, "three"))
    assert (cart.at, cart.owner) == ((0, 1), "ann")
    assert cart.causes == {queue_place(0, 3): "gap", queue_place(0, 4): "gap"}
    result = cart.take(renamed(2, "two"))
    assert (cart.at, cart.owner, cart.waiting) == ((0, 4), "four", {})
    assert cart.document is not None
    assert (cart.document.flags, result.released, result.queued) == (0, 2, 0)


def test_the_drain_stops_at_the_next_gap() -> None:
    cart = Aggregate()
    cart.take(opened(1), renamed(3), renamed(5))
    cart.take(renamed(2))
    assert cart.at == (0, 3)
    assert list(cart.waiting) == [queue_place(0, 5)]
    assert cart.document is not None
    assert cart.document.flags == PARKED


def test_a_bad_record_is_mended_by_a_good_one_of_its_version() -> None:
    cart = Aggregate()
    cart.take(opened(1), broken(2), renamed(3, "three"))
    assert cart.causes == {queue_place(0, 2): "body", queue_place(0, 3): "behind"}
    cart.take(renamed(2, "two", offset=9))
    assert (cart.at, cart.owner, cart.waiting) == ((0, 3), "three", {})


def test_a_bad_record_is_mended_before_it_is_due() -> None:
    cart = Aggregate()
    cart.take(opened(1), broken(3, offset=5))
    result = cart.take(renamed(3, "three", offset=6))
    assert (result.queued, result.duplicates) == (1, 0)
    assert cart.waiting[queue_place(0, 3)].coordinates == "shop.carts/0/6"
    cart.take(renamed(2, offset=7))
    assert (cart.at, cart.owner) == ((0, 3), "three")


@pytest.mark.parametrize("again", [renamed(3, "other", offset=8), broken(3, offset=8)])
def test_a_version_that_waits_already_is_a_duplicate(again: Record) -> None:
    cart = Aggregate()
    cart.take(opened(1), renamed(3, "three"))
    before = dict(cart.waiting)
    result = cart.take(again)
    assert (result.changes, result.duplicates, result.queued) == ([], 1, 0)
    assert cart.waiting == before


def test_a_bad_one_that_comes_again_is_a_duplicate() -> None:
    cart = Aggregate()
    cart.take(opened(1), broken(2))
    assert cart.take(broken(2), broken(2, offset=9)).duplicates == 2
    assert cart.waiting[queue_place(0, 2)].coordinates == "shop.carts/0/2"


@pytest.mark.parametrize("again", [broken(1), opened(1), renamed(2), broken(2)])
def test_what_the_document_has_is_a_duplicate_whatever_its_shape(again: Record) -> None:
    cart = Aggregate()
    cart.take(opened(1), renamed(2))
    result = cart.take(again)
    assert (result.changes, result.duplicates, result.parked) == ([], 1, [])


def test_what_comes_and_goes_within_a_batch_is_never_told() -> None:
    cart = Aggregate()
    result = cart.take(renamed(2, "two"), broken(1), opened(1, offset=9))
    assert (cart.at, cart.owner) == ((0, 2), "two")
    assert (result.queued, result.released, result.parked) == (0, 0, [])
    [change] = result.changes
    assert (*change.queued, *change.released) == ()


def test_ignored_records_wait_and_drain_like_others() -> None:
    cart = Aggregate()
    weighed = record(version=3, kind="shop.carts.Weighed", data=b"", offset=3)
    cart.take(opened(1), weighed, renamed(4, "four"))
    cart.take(renamed(2))
    assert (cart.at, cart.owner, cart.waiting) == ((0, 4), "four", {})


def test_a_tombstone_among_domain_events_parks() -> None:
    cart = Aggregate()
    cart.take(opened(1), record(version=2, data=None, offset=2), renamed(3))
    assert cart.causes == {queue_place(0, 2): "tombstone", queue_place(0, 3): "behind"}


def test_a_time_that_is_none_parks_at_its_version() -> None:
    cart = Aggregate()
    cart.take(opened(1), renamed(2, time="yesterday"))
    assert cart.causes == {queue_place(0, 2): "headers"}


def test_a_higher_epoch_starts_anew_and_lets_go_of_the_old_one() -> None:
    cart = Aggregate()
    cart.take(opened(1), broken(2), renamed(3))
    result = cart.take(opened(1, epoch=1, offset=9), renamed(2, "anew", epoch=1, offset=10))
    assert (cart.at, cart.owner, cart.waiting) == ((1, 2), "anew", {})
    assert result.released == 2


def test_a_higher_epoch_that_came_early_drains_once_its_first_version_is_there() -> None:
    cart = Aggregate()
    cart.take(opened(1), broken(2), renamed(2, "late", epoch=1, offset=8))
    cart.take(opened(1, epoch=1, offset=9))
    assert (cart.at, cart.owner, cart.waiting) == ((1, 2), "late", {})


def test_an_evolve_that_was_mended_since_drains_when_the_aggregate_is_touched_next() -> None:
    cart = Aggregate()
    cart.take(opened(1), record(version=2, kind="x.Broken", data={"how": "raise"}, offset=2), renamed(3, "three"))
    assert cart.causes == {queue_place(0, 2): "evolve", queue_place(0, 3): "behind"}
    cart.projector = Projector(replace(carts, evolve=mended))
    cart.take(renamed(4, "four"))
    assert (cart.at, cart.owner, cart.waiting) == ((0, 4), "four", {})


def test_counting_a_version_as_ignored_lets_the_rest_go_on() -> None:
    """How an operator drops a record, or passes over one that never comes."""
    cart = Aggregate()
    cart.take(opened(1), broken(2), renamed(3, "three"))
    dropped = renamed(2)
    cart.take(Ignored("c-1", 0, 2, 0, dropped))
    assert (cart.at, cart.owner, cart.waiting) == ((0, 3), "three", {})
    assert cart.take(broken(2)).duplicates == 1


def test_newer_good_state_unparks() -> None:
    cart = Aggregate(cart_states)
    cart.take(state(1, "one"), state(4, data=b"{"), state(2, "two"))
    assert (cart.at, cart.owner, cart.causes) == ((0, 2), "two", {queue_place(0, 4): "body"})
    cart.take(state(3, "three"))
    assert cart.document is not None
    assert (cart.at, cart.document.flags) == ((0, 3), PARKED)
    cart.take(state(9, "nine"))
    assert cart.document is not None
    assert (cart.at, cart.owner, cart.waiting, cart.document.flags) == ((0, 9), "nine", {}, 0)


def test_the_same_version_of_a_state_in_a_good_form_unparks() -> None:
    cart = Aggregate(cart_states)
    cart.take(state(4, data=b"{"))
    assert cart.document == Document(0, 0, 0, None, PARKED)
    cart.take(state(4, "four", offset=9))
    assert (cart.at, cart.owner, cart.waiting) == ((0, 4), "four", {})


def test_bad_state_behind_newer_good_state_is_a_duplicate() -> None:
    cart = Aggregate(cart_states)
    cart.take(state(4, "four"))
    assert cart.take(state(3, data=b"{"), state(4, data=b"{")).duplicates == 2
    assert cart.waiting == {}


def test_a_late_older_state_does_not_bring_a_deleted_row_back() -> None:
    cart = Aggregate(cart_states)
    cart.take(state(1, "one"), state(3, None))
    assert cart.take(state(2, "two")).duplicates == 1
    assert (cart.at, cart.owner) == ((0, 3), None)


def test_an_entry_that_cannot_be_read_any_more_waits_on() -> None:
    cart = Aggregate()
    cart.take(opened(1), renamed(3))
    cart.waiting = {place: item._replace(entry=b"{") for place, item in cart.waiting.items()}
    cart.take(renamed(2))
    assert (cart.at, list(cart.waiting)) == ((0, 2), [queue_place(0, 3)])
    cart.take(renamed(3, "again", offset=9))
    assert (cart.at, cart.owner, cart.waiting) == ((0, 3), "again", {})


def test_an_entry_that_is_of_another_version_by_now_waits_on() -> None:
    """Such as when a projection has got another `version_of` since."""
    cart = Aggregate()
    cart.take(opened(1), renamed(3))
    other = Aggregate()
    other.take(renamed(9))
    [entry] = [item.entry for item in other.waiting.values()]
    cart.waiting = {place: item._replace(entry=entry) for place, item in cart.waiting.items()}
    cart.take(renamed(2))
    assert (cart.at, list(cart.waiting)) == ((0, 2), [queue_place(0, 3)])


def test_a_long_queue_is_let_go_in_one() -> None:
    cart = Aggregate()
    cart.take(opened(1), *(renamed(version, f"n{version}") for version in range(3, 1_003)))
    assert len(cart.waiting) == 1_000
    result = cart.take(renamed(2))
    assert (cart.at, cart.owner, cart.waiting, result.released) == ((0, 1_002), "n1002", {}, 1_000)


def tell(found: Mapping[str, Sequence[bytes]]) -> int:
    return sum(map(len, found.values()))


def test_lists_follow_the_drain() -> None:
    cart = Aggregate()
    first = cart.take(opened(1), renamed(3, "three"))
    assert (tell(first.added), tell(first.removed)) == (2, 0)
    second = cart.take(renamed(2, "two"))
    assert set(second.removed) == {"i:by_owner:ann"}
    assert set(second.added) == {"i:by_owner:three"}
