"""Folding: which records move an aggregate, what comes of it, and what is set aside."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from projections.decode import Decoder
from projections.project import ChangeSet, Projector
from projections.record import Record
from projections.store.document import PARKED, Document
from projections.store.keys import Entry, index_list, member, sort_text
from projections.wire import Codec
from tests.unit.projections.samples import OPENED, CartView, cart_states, carts, record

Documents = dict[str, Document | None]
TIME_MS = 1_714_564_800_123


def fold(records: Sequence[Record], documents: Documents | None = None, projection: Any = carts) -> ChangeSet:
    decode = Decoder(projection).decode
    ids = {item.key.decode(): None for item in records if item.key}
    return Projector(projection).project([decode(item) for item in records], {**ids, **(documents or {})}, {}, 0)


def stored(version: int, view: bytes | None, epoch: int = 0) -> Document:
    return Document(epoch, version, 0, view)


def renamed(version: int, owner: str = "bob", **more: Any) -> Record:
    return record(version=version, kind="other.team.Renamed", data={"owner": owner}, **more)


def only(result: ChangeSet) -> tuple[tuple[int, int], dict[str, Any] | None]:
    """(epoch, version) and view of the one change."""
    [change] = result.changes
    view = change.document.view
    return change.document.at, json.loads(view) if view else None


def causes(result: ChangeSet) -> list[tuple[str, int]]:
    return [(poison.cause, poison.record.offset) for poison in (*result.parked, *result.set_aside)]


def lists(found: Mapping[str, Sequence[bytes]]) -> set[Entry]:
    assert all(len(set(members)) == len(members) > 0 for members in found.values())
    return {Entry(name, member) for name, members in found.items() for member in members}


def cart(owner: str = "ann", renames: int = 0) -> bytes:
    return json.dumps({**OPENED, "owner": owner, "renames": renames}).encode()


def entries(owner: str) -> set[Entry]:
    at = Codec(CartView).decode(cart()).at
    return {Entry(index_list("by_owner", (value,)), member(at, "c-1")) for value in ("*", owner)}


def test_a_batch_of_one_aggregate_is_one_change() -> None:
    result = fold([record(version=1), renamed(2), renamed(3, "cleo")])
    [change] = result.changes
    assert change.id == "c-1"
    assert change.base is None
    assert change.document[:3] == (0, 3, TIME_MS)
    assert only(result) == ((0, 3), {**OPENED, "owner": "cleo", "renames": 2})
    assert (lists(result.removed), lists(result.added)) == (set(), entries("cleo"))
    assert (result.set_aside, result.parked, result.duplicates) == ([], [], 0)


def test_folds_onto_what_is_stored() -> None:
    base = stored(4, cart("ann", 2))
    result = fold([renamed(5, "bob")], {"c-1": base})
    [change] = result.changes
    assert change.base is base
    assert only(result) == ((0, 5), {**OPENED, "owner": "bob", "renames": 3})
    assert lists(result.removed) == entries("ann") - entries("bob")
    assert lists(result.added) == entries("bob") - entries("ann")


def test_times_and_decimals_are_stored_in_their_wire_form() -> None:
    data = {**OPENED, "at": "2024-05-01T14:00:00+02:00", "items": [{"sku": "s", "price": "1.5E+2"}]}
    at, view = only(fold([record(data=data)]))
    assert at == (0, 1)
    assert view == {**OPENED, "items": [{"sku": "s", "price": "150"}], "renames": 0}


@pytest.mark.parametrize("version", [1, 4])
def test_older_or_equal_is_a_duplicate(version: int) -> None:
    result = fold([renamed(version)], {"c-1": stored(4, cart())})
    assert (result.changes, result.set_aside, result.duplicates) == ([], [], 1)


def test_duplicates_within_a_batch_change_nothing() -> None:
    once = fold([record(version=1), renamed(2)])
    twice = fold([record(version=1), record(version=1), renamed(2), record(version=1), renamed(2)])
    assert twice.changes == once.changes
    assert twice.duplicates == 3


def test_a_gap_parks_its_aggregate_and_no_other() -> None:
    result = fold([record(version=1), renamed(3, offset=5), renamed(4, offset=6), record(id="c-2", version=1)])
    assert [(change.id, change.document.at, change.document.flags) for change in result.changes] == [
        ("c-1", (0, 1), PARKED),
        ("c-2", (0, 1), 0),
    ]
    assert causes(result) == [("gap", 5), ("behind", 6)]


def test_a_first_record_that_is_not_the_first_is_a_gap() -> None:
    result = fold([renamed(2)])
    assert causes(result) == [("gap", 0)]
    [change] = result.changes
    assert (change.base, change.document) == (None, Document(0, 0, 0, None, PARKED))


def test_an_ignored_record_moves_the_version_and_keeps_the_view() -> None:
    weighed = record(version=2, kind="shop.carts.Weighed", data=b"")
    result = fold([weighed, renamed(3)], {"c-1": stored(1, cart())})
    assert only(result) == ((0, 3), {**OPENED, "owner": "bob", "renames": 1})
    alone = fold([weighed], {"c-1": stored(1, cart())})
    assert only(alone) == ((0, 2), {**OPENED, "renames": 0})
    assert (alone.removed, alone.added) == ({}, {})


def test_only_ignored_records_leave_a_header_alone() -> None:
    result = fold([record(version=1, kind="shop.carts.Weighed", data=b"")])
    assert only(result) == ((0, 1), None)


def test_an_ignored_record_does_not_jump_over_a_missing_one() -> None:
    assert causes(fold([record(version=3, kind="shop.carts.Weighed")], {"c-1": stored(1, cart())})) == [("gap", 0)]


def test_deleting_keeps_the_header_and_removes_the_entries() -> None:
    result = fold([record(version=2, kind="shop.carts.Closed", data={})], {"c-1": stored(1, cart())})
    assert only(result) == ((0, 2), None)
    assert (lists(result.removed), result.added) == (entries("ann"), {})
    again = fold([record(version=3)], {"c-1": stored(2, None)})
    assert only(again) == ((0, 3), {**OPENED, "renames": 0})


def test_a_higher_epoch_starts_anew_with_its_first_version() -> None:
    documents: Documents = {"c-1": stored(9, cart("ann", 5))}
    assert only(fold([record(version=1, epoch=1)], documents)) == ((1, 1), {**OPENED, "renames": 0})
    assert only(fold([renamed(1, epoch=1)], documents)) == ((1, 1), None)
    assert causes(fold([renamed(10, epoch=1)], documents)) == [("gap", 0)]
    assert fold([renamed(10, epoch=0)], {"c-1": stored(1, cart(), epoch=1)}).duplicates == 1


def test_an_ignored_record_of_a_higher_epoch_hides_the_old_view() -> None:
    result = fold([record(version=1, epoch=1, kind="shop.carts.Weighed")], {"c-1": stored(9, cart())})
    assert only(result) == ((1, 1), None)
    assert lists(result.removed) == entries("ann")


@pytest.mark.parametrize("how", ["raise", "naive"])
def test_a_failing_evolve_leaves_the_document_at_its_old_version(how: str) -> None:
    broken = record(version=2, kind="x.Broken", data={"how": how}, offset=7)
    result = fold([broken, renamed(3, offset=8), record(id="c-2", offset=9)], {"c-1": stored(1, cart())})
    assert [(change.id, change.document.at) for change in result.changes] == [("c-1", (0, 1)), ("c-2", (0, 1))]
    assert causes(result) == [("evolve", 7), ("behind", 8)]
    assert (result.removed, lists(result.added)) == ({}, lists(fold([record(id="c-2")]).added))


def test_a_stored_view_of_another_shape_parks_the_aggregate() -> None:
    body = b'{"other":"shape"}'
    result = fold([renamed(2), renamed(3, offset=1)], {"c-1": stored(1, body)})
    assert result.changes[0].document == Document(0, 1, 0, body, PARKED)
    assert causes(result) == [("evolve", 0), ("behind", 1)]


def test_what_cannot_be_decoded_parks_its_aggregate() -> None:
    result = fold([record(data=b"{", offset=3), renamed(2, offset=4)])
    assert causes(result) == [("body", 3), ("behind", 4)]


def test_a_record_of_no_known_place_is_set_aside_alone() -> None:
    result = fold([record(version="x", offset=3), record(version=1, offset=4)])
    assert [poison.record.offset for poison in result.set_aside] == [3]
    assert only(result)[0] == (0, 1)
    assert result.changes[0].document.flags == 0


def test_megabytes_are_folded_like_any_other() -> None:
    owner = "a" * 1_000_000
    at, view = only(fold([record(data={**OPENED, "owner": owner})]))
    assert (at, view and view["owner"]) == ((0, 1), owner)


def test_an_event_of_a_deleted_aggregate_changes_nothing_but_the_version() -> None:
    result = fold([renamed(3)], {"c-1": stored(2, None)})
    assert only(result) == ((0, 3), None)
    assert (result.removed, result.added) == ({}, {})


def test_another_aggregate_and_a_heartbeat_change_nothing() -> None:
    beat = Record(
        "shop.carts", 0, 1, None, None, (("ce_type", b"headrace.heartbeat"), ("ce_time", b"2024-01-01T00:00:00Z")), 0
    )
    assert fold([beat, record(aggregate="basket")]) == ChangeSet()


def state(version: int, owner: str | None = "ann", **more: Any) -> Record:
    data = None if owner is None else {"owner": owner}
    return record(version=version, kind="shop.CartState", data=data, **more)


def test_a_state_topic_takes_whatever_is_newer() -> None:
    result = fold([state(3), state(2, "old"), state(9, "new"), state(1, epoch=1, owner="anew")], projection=cart_states)
    assert only(result) == ((1, 1), {"owner": "anew", "seen": 3})
    assert result.duplicates == 1
    assert result.set_aside == []


def test_a_tombstone_deletes_and_later_state_brings_back() -> None:
    documents: Documents = {"c-1": stored(3, b'{"owner":"ann","seen":1}')}
    deleted = fold([state(4, None)], documents, cart_states)
    assert only(deleted) == ((0, 4), None)
    assert lists(deleted.removed) == {Entry(index_list("by_owner", ("ann",)), member(None, "c-1"))}
    assert only(fold([state(5, None), state(7)], documents, cart_states)) == ((0, 7), {"owner": "ann", "seen": 1})
    assert fold([state(3, None)], documents, cart_states).duplicates == 1


def test_an_ignored_state_record_moves_the_version_over_gaps() -> None:
    result = fold([record(version=8, kind="x.Hint")], {"c-1": stored(3, b'{"owner":"ann","seen":1}')}, cart_states)
    assert only(result) == ((0, 8), {"owner": "ann", "seen": 1})


def test_the_sort_of_entries_follows_the_view() -> None:
    result = fold([record()])
    view = Codec(CartView).decode(result.changes[0].document.view or b"")
    assert {entry.member for entry in lists(result.added)} == {sort_text(view.at) + b"\0c-1"}
