"""`quarantine list | show | retry | drop`: what each says, does, and leaves alone."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest

from projections import Event, Projection
from projections.errors import OperatorError, StoreUnavailableError
from projections.store.document import PARKED
from projections.timeline import Entry, Timeline
from tests.unit.projections.desk import Counter
from tests.unit.projections.samples import (
    CartView,
    Opened,
    Renamed,
    by_owner,
    cart_states,
    carts,
    evolve,
    record,
)


def opened(id: str = "c-1", **more: Any) -> Any:
    return record(id, 1, **more)


def renamed(version: int, *, id: str = "c-1", owner: str = "bob", offset: int = 0, data: Any = None) -> Any:
    return record(id, version, "other.team.Renamed", data or {"owner": owner}, offset=offset)


def bad(version: int, *, id: str = "c-1", offset: int = 0) -> Any:
    return renamed(version, id=id, offset=offset, data={"owner": None})


async def a_cart_behind_a_bad_record() -> Counter:
    """At version 1, with 2 unusable and 3 and 4 behind it."""
    counter = Counter(carts)
    await counter.feed(opened(), bad(2, offset=1), renamed(3, offset=2), renamed(4, owner="eve", offset=3))
    return counter


async def a_cart_with_a_gap() -> Counter:
    """At version 1, with 2 and 3 missing, 4 waiting, 5 missing, 6 waiting."""
    counter = Counter(carts)
    await counter.feed(opened(), renamed(4, offset=1), renamed(6, owner="eve", offset=2))
    return counter


def broken_headers(offset: int = 9, key: bytes = b"c-9") -> Any:
    found = record("c-9", "none", offset=offset)
    return type(found)(found.topic, 0, offset, key, found.value, found.headers, 1_000)


# -- list, show


async def test_nothing_set_aside() -> None:
    said = await Counter(carts).say("list")
    assert (said.code, said.out) == (0, ["nothing is set aside"])


async def test_list_tells_what_is_parked_and_what_is_loose() -> None:
    counter = await a_cart_behind_a_bad_record()
    await counter.feed(renamed(3, id="c-2", offset=4), broken_headers())
    listing = (await counter.say("list", "--json")).json
    first, second = listing["parked"]
    assert (first["id"], first["version"], first["depth"], first["firstVersion"]) == ("c-1", 1, 3, 2)
    assert (first["cause"], first["missingFrom"], first["coordinates"]) == ("body", None, "shop.carts/0/1")
    assert (second["id"], second["version"], second["cause"]) == ("c-2", 0, "gap")
    assert (second["missingFrom"], second["missingTo"], second["firstVersion"]) == (1, 2, 3)
    [loose] = listing["loose"]
    assert (loose["coordinates"], loose["key"], loose["cause"]) == ("shop.carts/0/9", "c-9", "version")
    [table] = (await counter.say("list", "--projection", "carts")).out
    assert "c-2" in table
    assert "1-2" in table
    assert "shop.carts/0/9" in table


async def test_list_looks_at_so_many_records_and_counts_the_others() -> None:
    counter = await a_cart_behind_a_bad_record()
    await counter.feed(renamed(3, id="c-2", offset=4), broken_headers())
    listing = (await counter.say("list", "--limit", "2", "--json")).json
    assert ([row["depth"] for row in listing["parked"]], listing["loose"], listing["more"]) == ([3], [], 3)
    [table] = (await counter.say("list", "--limit", "2")).out
    assert table.endswith("\n\n3 more records were not looked at: --limit")
    assert (await counter.say("list", "--limit", "5", "--json")).json["more"] == 0


@pytest.mark.parametrize("count", ["0", "-1", "x"])
async def test_a_limit_is_at_least_one(count: str) -> None:
    with pytest.raises(SystemExit):
        await Counter(carts).say("list", "--limit", count)


async def test_show_has_the_whole_record_and_all_behind_it() -> None:
    counter = await a_cart_behind_a_bad_record()
    shown = (await counter.say("show", "carts", "c-1")).json
    assert shown["parked"]["id"] == "c-1"
    assert [found["version"] for found in shown["records"]] == [2, 3, 4]
    first = shown["records"][0]
    assert first["coordinates"] == "shop.carts/0/1"
    assert first["key"] == {"text": "c-1"}
    assert first["value"] == {"text": '{"owner": null}'}
    assert ["ce_aggregateversion", {"text": "2"}] in first["headers"]
    assert first["cause"] == "body"
    assert "owner" in first["detail"]
    behind = (await counter.say("show", "carts", "shop.carts/0/2")).json
    assert [found["version"] for found in behind["records"]] == [3, 4]


async def test_show_of_bytes_that_are_no_text() -> None:
    counter = Counter(carts)
    await counter.feed(record("c-1", 1, data=b"\xff\x00"))
    [shown] = (await counter.say("show", "carts", "c-1")).json["records"]
    assert base64.b64decode(shown["value"]["base64"]) == b"\xff\x00"


async def test_show_finds_loose_records_by_coordinates_and_by_key() -> None:
    counter = Counter(carts)
    await counter.feed(broken_headers(8), broken_headers(9))
    assert [
        found["coordinates"] for found in (await counter.say("show", "carts", "shop.carts/0/9")).json["records"]
    ] == ["shop.carts/0/9"]
    assert len((await counter.say("show", "carts", "c-9")).json["records"]) == 2


@pytest.mark.parametrize("action", ["show", "retry", "drop"])
async def test_what_is_not_there_is_said_with_what_is(action: str) -> None:
    counter = await a_cart_behind_a_bad_record()
    with pytest.raises(OperatorError, match=r"there is no projection or timeline 'cart'; there are carts"):
        await counter.say(action, "cart", "c-1")
    with pytest.raises(OperatorError, match=r"carts has nothing set aside for 'c-7'; there are parked c-1"):
        await counter.say(action, "carts", "c-7")
    with pytest.raises(OperatorError, match="nothing is"):
        await Counter(carts).say(action, "carts", "c-7")


# -- retry


class Named(Event):
    event_type = "other.team.Renamed"
    owner: str | None


def evolve_nameless(view: CartView | None, event: Opened | Named) -> CartView | None:
    return evolve(view, event if isinstance(event, Opened) else Renamed(owner=event.owner or "nobody"))


mended_carts = Projection(
    name="carts", version=1, topics=["shop.carts"], aggregate="cart", evolve=evolve_nameless, indexes=[by_owner]
)


def mended(counter: Counter) -> Counter:
    """The same store under code that can use a name that is null."""
    return replace(counter, source=mended_carts)


async def test_retry_with_the_same_code_changes_nothing() -> None:
    counter = await a_cart_behind_a_bad_record()
    before = (await counter.say("show", "carts", "c-1")).json
    said = await counter.say("retry", "carts", "c-1")
    assert said.code == 3
    assert "still parked: version 2 cannot be used (body" in said.told[0]
    assert (await counter.say("show", "carts", "c-1")).json == before


async def test_retry_with_mended_code_drains_the_queue() -> None:
    counter = mended(await a_cart_behind_a_bad_record())
    said = await counter.say("retry", "carts", "c-1")
    assert (said.code, said.out) == (0, [])
    assert said.told == ["c-1: 3 records taken, now at version 4, not parked any more"]
    document = await counter.document("c-1")
    assert document is not None
    assert (document.version, document.flags & PARKED) == (4, 0)
    assert b'"owner":"eve"' in (document.view or b"")
    assert (await counter.say("list")).out == ["nothing is set aside"]


async def test_retry_all_does_what_it_can_and_says_what_it_could_not() -> None:
    counter = await a_cart_behind_a_bad_record()
    await counter.feed(renamed(3, id="c-2", offset=4), broken_headers())
    said = await mended(counter).say("retry", "carts", "--all")
    assert said.code == 3
    assert sorted(text.split(":")[0] for text in said.told) == ["c-1", "c-2", "shop.carts/0/9"]
    assert any("versions 1 to 2 are missing" in text for text in said.told)
    listing = (await counter.say("list", "--json")).json
    assert [row["id"] for row in listing["parked"]] == ["c-2"]


async def test_retry_wants_to_know_what() -> None:
    counter = await a_cart_behind_a_bad_record()
    with pytest.raises(OperatorError, match="--all"):
        await counter.say("retry", "carts")
    with pytest.raises(OperatorError, match="--all"):
        await counter.say("retry", "carts", "c-1", "--all")


async def test_retry_of_nothing() -> None:
    said = await Counter(carts).say("retry", "carts", "--all")
    assert (said.code, said.told) == (0, ["carts has nothing set aside"])


# -- drop


async def test_drop_of_a_bad_record_keeps_the_view_and_lets_the_queue_go_on() -> None:
    counter = await a_cart_behind_a_bad_record()
    said = await counter.say("drop", "carts", "c-1", "--yes")
    assert said.code == 0
    assert (said.json["id"], said.json["ignoredFrom"], said.json["ignoredTo"]) == ("c-1", 2, 2)
    [gone] = said.json["records"]
    assert (gone["version"], gone["value"]) == (2, {"text": '{"owner": null}'})
    assert said.told == ["version 2 given up; c-1: 2 records taken, now at version 4, not parked any more"]
    document = await counter.document("c-1")
    assert document is not None
    assert (document.version, document.flags) == (4, 0)
    assert b'"renames":2' in (document.view or b"")


async def test_drop_of_a_first_record_leaves_no_view() -> None:
    counter = Counter(carts)
    await counter.feed(record("c-1", 1, data={}))
    await counter.say("drop", "carts", "c-1", "--yes")
    document = await counter.document("c-1")
    assert document is not None
    assert (document.version, document.view, document.flags) == (1, None, 0)


async def test_drop_of_a_gap_counts_it_as_ignored_up_to_the_first_that_waits() -> None:
    counter = await a_cart_with_a_gap()
    said = await counter.say("drop", "carts", "c-1", "--yes")
    assert said.json["records"] == []
    assert (said.json["ignoredFrom"], said.json["ignoredTo"]) == (2, 3)
    assert "now at version 4, still parked: version 5 is missing; 1 record waiting" in said.told[0]
    document = await counter.document("c-1")
    assert document is not None
    assert document.version == 4


async def test_drop_of_all_that_is_missing() -> None:
    counter = await a_cart_with_a_gap()
    said = await counter.say("drop", "carts", "c-1", "--all-missing", "--yes")
    assert len(said.out) == 2
    assert said.told[-1].endswith("now at version 6, not parked any more")
    document = await counter.document("c-1")
    assert document is not None
    assert (document.version, document.flags) == (6, 0)


async def test_what_was_given_up_changes_nothing_when_it_comes_after_all() -> None:
    counter = await a_cart_with_a_gap()
    await counter.say("drop", "carts", "c-1", "--all-missing", "--yes")
    before = await counter.document("c-1")
    await counter.feed(renamed(2, owner="late", offset=7), renamed(5, owner="late", offset=8), bad(3, offset=9))
    assert await counter.document("c-1") == before
    assert (await counter.say("list")).out == ["nothing is set aside"]


async def test_a_gap_at_the_start_of_an_epoch_starts_anew() -> None:
    counter = Counter(carts)
    await counter.feed(opened(), record("c-1", 3, "other.team.Renamed", {"owner": "new"}, epoch=2, offset=1))
    [row] = (await counter.say("list", "--json")).json["parked"]
    assert (row["epoch"], row["firstEpoch"], row["missingFrom"], row["missingTo"]) == (0, 2, 1, 2)
    said = await counter.say("drop", "carts", "c-1", "--yes")
    assert said.told == [
        "versions 1 to 2 given up; c-1: 1 record taken, now at version 3 of epoch 2, not parked any more"
    ]
    document = await counter.document("c-1")
    assert document is not None
    assert (document.at, document.view, document.flags) == ((2, 3), None, 0)
    assert not any(counter.store.buckets[counter.bucket("c-1")].lists.values())


async def test_all_missing_stops_at_a_record_that_cannot_be_used() -> None:
    counter = Counter(carts)
    await counter.feed(opened(), bad(3, offset=1), renamed(5, offset=2))
    said = await counter.say("drop", "carts", "c-1", "--all-missing", "--yes")
    assert len(said.out) == 1
    assert "still parked: version 3 cannot be used" in said.told[-1]
    with pytest.raises(OperatorError, match="does not wait for a missing version"):
        await counter.say("drop", "carts", "c-1", "--all-missing", "--yes")


async def test_drop_of_a_waiting_record_by_coordinates_leaves_the_gap() -> None:
    """A publisher that lied about a version: the real ones still come."""
    counter = Counter(carts)
    await counter.feed(opened(), renamed(2_000_000_000, offset=1))
    with pytest.raises(OperatorError, match=r"drop it by its coordinates, shop.carts/0/1"):
        await counter.say("drop", "carts", "c-1", "--yes")
    said = await counter.say("drop", "carts", "shop.carts/0/1", "--yes")
    assert said.json["ignoredFrom"] is None
    assert said.told[0].startswith("shop.carts/0/1: removed; c-1: 0 records taken, now at version 1, not parked")
    await counter.feed(renamed(2, offset=2))
    document = await counter.document("c-1")
    assert document is not None
    assert (document.version, document.flags) == (2, 0)


async def test_drop_of_a_loose_record() -> None:
    counter = Counter(carts)
    await counter.feed(broken_headers(8), broken_headers(9))
    with pytest.raises(OperatorError, match=r"by their coordinates: shop.carts/0/8, shop.carts/0/9"):
        await counter.say("drop", "carts", "c-9", "--yes")
    said = await counter.say("drop", "carts", "shop.carts/0/8", "--yes")
    assert said.json["records"][0]["coordinates"] == "shop.carts/0/8"
    assert said.told == ["shop.carts/0/8: removed"]
    assert [row["coordinates"] for row in (await counter.say("list", "--json")).json["loose"]] == ["shop.carts/0/9"]


async def test_drop_on_a_state_topic_moves_the_version_over_it() -> None:
    counter = Counter(cart_states)
    topic = "shop.cart-states"
    good = record("c-1", 1, "shop.CartState", {"owner": "ann"}, topic=topic)
    wrong = record("c-1", 4, "shop.CartState", {"owner": 7}, topic=topic, offset=1)
    await counter.feed(good, wrong)
    [row] = (await counter.say("list", "--json")).json["parked"]
    assert (row["missingFrom"], row["cause"], row["firstVersion"]) == (None, "body", 4)
    await counter.say("drop", "cart_states", "c-1", "--yes")
    document = await counter.document("c-1")
    assert document is not None
    assert (document.version, document.flags) == (4, 0)
    assert b'"owner":"ann"' in (document.view or b"")


async def test_drop_asks_a_person_first() -> None:
    counter = await a_cart_behind_a_bad_record()
    counter.answers = [False]
    said = await counter.say("drop", "carts", "c-1")
    assert said.told == ["drop the record at shop.carts/0/1?", "nothing was dropped"]
    assert (await counter.say("list", "--json")).json["parked"]
    counter.answers = []
    assert (await counter.say("drop", "carts", "c-1", "--yes")).code == 0


async def test_a_no_after_a_yes_tells_that_something_is_gone() -> None:
    counter = await a_cart_with_a_gap()
    counter.answers = [True, False]
    said = await counter.say("drop", "carts", "c-1", "--all-missing")
    assert (len(said.out), said.told[-1]) == (2, "nothing more was dropped")
    document = await counter.document("c-1")
    assert document is not None
    assert document.version == 4


@pytest.mark.parametrize("words", [["c-1"], ["c-1", "--all-missing"], ["shop.carts/0/2"], ["shop.carts/0/9"]])
async def test_drop_is_refused_where_nobody_can_be_asked(words: list[str]) -> None:
    """A `--yes` that was forgotten in a script: nothing is printed that would say it is gone."""
    counter = await a_cart_with_a_gap()
    await counter.feed(broken_headers())
    before, document = (await counter.say("list", "--json")).json, await counter.document("c-1")
    written: list[str] = []
    with pytest.raises(OperatorError, match=r"nothing was dropped: .*--yes"):
        await counter.say("drop", "carts", *words, out=written)
    assert written == []
    assert ((await counter.say("list", "--json")).json, await counter.document("c-1")) == (before, document)


# -- beside a worker


async def test_what_a_worker_queues_meanwhile_is_not_left_behind() -> None:
    """A record that comes between reading the queue and writing: the change is refused and folded again."""
    counter = mended(await a_cart_behind_a_bad_record())
    apply = counter.store.apply
    came: list[int] = []

    async def late(change: Any) -> Any:
        if not came:
            came.append(1)
            counter.store.apply = apply  # type: ignore[method-assign]
            await replace(counter, source=carts).feed(renamed(5, owner="zoe", offset=7))
        return await apply(change)

    counter.store.apply = late  # type: ignore[method-assign]
    said = await counter.say("retry", "carts", "c-1")
    document = await counter.document("c-1")
    assert document is not None
    assert (said.code, document.version, document.flags) == (0, 5, 0)
    assert (await counter.say("list")).out == ["nothing is set aside"]


async def test_a_drop_is_not_done_when_what_blocks_has_changed() -> None:
    counter = await a_cart_with_a_gap()
    documents = counter.store.documents
    calls = 0

    async def late(bucket: Any, ids: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:  # planned with the first, done with the second
            counter.store.documents = documents  # type: ignore[method-assign]
            await counter.feed(renamed(2, offset=5))
        return await documents(bucket, ids)

    counter.store.documents = late  # type: ignore[method-assign]
    with pytest.raises(OperatorError, match="has changed meanwhile"):
        await counter.say("drop", "carts", "c-1", "--yes")
    document = await counter.document("c-1")
    assert document is not None
    assert document.version == 2


async def test_a_store_that_is_away_is_its_own_error() -> None:
    counter = await a_cart_behind_a_bad_record()
    counter.store.available = False
    for words in (["list"], ["show", "carts", "c-1"], ["retry", "carts", "--all"], ["drop", "carts", "c-1", "--yes"]):
        with pytest.raises(StoreUnavailableError):
            await counter.say(*words)


async def test_many_buckets_are_looked_through() -> None:
    counter = Counter(carts, buckets=4)
    await counter.store.claim_buckets("carts", 1, 4)
    await counter.feed(*(bad(1, id=f"c-{number}", offset=number) for number in range(8)))
    one_bucket = replace(counter, buckets=1)
    listing = (await one_bucket.say("list", "--json")).json
    assert {row["bucket"] for row in listing["parked"]} == {0, 1, 2, 3}
    assert (await one_bucket.say("show", "carts", "c-5")).json["parked"]["id"] == "c-5"


# -- timelines


def entry(event: Opened | Renamed, id: str) -> Entry | None:
    return Entry(key=event.owner, what=f"cart {id}")


def nameless(event: Named, id: str) -> Entry | None:
    return Entry(key=event.owner or "nobody", what=f"cart {id}")


cart_news = Timeline(name="cart_news", version=1, topics=["shop.carts"], entry=entry)


async def test_a_timelines_records_are_loose_and_taken_when_they_can_be() -> None:
    counter = Counter(cart_news)
    await counter.feed(bad(2, offset=1))
    [loose] = (await counter.say("list", "--json")).json["loose"]
    assert (loose["projection"], loose["coordinates"], loose["cause"]) == ("cart_news", "shop.carts/0/1", "body")
    said = await counter.say("retry", "cart_news", "--all")
    assert said.code == 3
    assert said.told[0].startswith("shop.carts/0/1: still cannot be used (body")

    counter.source = Timeline(name="cart_news", version=1, topics=["shop.carts"], entry=nameless)
    said = await counter.say("retry", "cart_news", "c-1")
    assert (said.code, said.told) == (0, ["shop.carts/0/1: taken"])
    assert list(counter.store.buckets[counter.bucket("c-1")].timelines) == ["nobody"]
    assert (await counter.say("list")).out == ["nothing is set aside"]


async def test_a_loose_record_that_is_of_no_concern_any_more_is_removed() -> None:
    counter = Counter(carts)
    await counter.feed(broken_headers())
    other = Projection(name="carts", version=1, topics=["shop.carts"], aggregate="basket", evolve=evolve)
    said = await replace(counter, source=other).say("retry", "carts", "--all")
    assert (said.code, said.told) == (0, ["shop.carts/0/9: of no concern to carts, removed"])
