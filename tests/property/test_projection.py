"""Whatever is duplicated, replayed, reordered, broken and mended, or cut into batches: what is stored is what a plain fold says.

The oracle folds each aggregate's history with the author's `evolve` alone; it shares neither decoding nor projecting nor a store.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from projections import Entry, Event, Index, Measure, Projection, Timeline, View
from projections.entries import Entries, index_entries
from projections.log.port import Partition
from projections.quarantine import read_entry, set_aside
from projections.record import Record
from projections.runtime import runtime_of
from projections.store import keys
from projections.store.change import Advance, Applied, BucketChange
from projections.store.document import PARKED
from projections.store.keys import Bucket, bucket_of, queue_place
from projections.store.memory import MemoryStore
from tests.slices import slices
from tests.unit.projections.samples import OPENED, CartView, Closed, Opened, Renamed, evolve, headers
from tests.unit.projections.samples import carts as plain_carts

IDS = ("a", "b", "c", "d/e:f")
PARTITIONS = 2
TIME = "2024-05-01T12:00:00Z"


class OwnerState(Event):
    owner: str


class OwnerView(View):
    owner: str
    initial: str | None


def own(view: OwnerView | None, event: OwnerState) -> OwnerView | None:
    return OwnerView(owner=event.owner, initial=event.owner[:1] or None)


owners = Projection(
    name="owners",
    version=1,
    topics=["shop.carts"],
    aggregate="cart",
    state=True,
    evolve=own,
    indexes=[Index[OwnerView]("by_initial", filters=("initial",), sort="owner"), Index[OwnerView]("all")],
    measures=[Measure[OwnerView]("owners", "count", by="initial")],
)


def initial(view: CartView) -> str | None:
    return view.owner[:1] or None


def is_renamed(view: CartView) -> bool:
    return view.renames > 0


carts = replace(
    plain_carts,
    measures=[
        Measure("carts", "count", by="owner"),
        Measure("renamed", "count", by=initial, where=is_renamed),
        Measure("renames", "total", of="renames", by=initial),
        Measure("most_renames", "largest", of="renames", by=initial),
    ],
)


@dataclass(frozen=True)
class Fact:
    """One version of an aggregate: the event's name and data (None: a tombstone)."""

    epoch: int
    version: int
    kind: str
    data: Any


def publish(id: str, fact: Fact) -> Record:
    value = None if fact.data is None else json.dumps(fact.data).encode()
    attributes = headers(id, fact.version, fact.kind, epoch=fact.epoch, time=TIME)
    return Record("shop.carts", bucket_of(id, PARTITIONS), 0, id.encode(), value, tuple(attributes.items()), 0)


owner_names = st.text("ab\0é", max_size=3)
cart_facts: st.SearchStrategy[tuple[str, Any]] = st.one_of(
    st.builds(lambda owner: ("Opened", {**OPENED, "owner": owner}), owner_names),
    st.builds(lambda owner: ("other.team.Renamed", {"owner": owner}), owner_names),
    st.just(("Closed", {})),
    st.just(("Unheard", {"of": 1})),
)
owner_facts: st.SearchStrategy[tuple[str, Any]] = st.one_of(
    st.builds(lambda owner: ("OwnerState", {"owner": owner}), owner_names),
    st.just(("OwnerRemoved", None)),
    st.just(("Hint", {})),
)


@st.composite
def histories(
    draw: st.DrawFn, facts: st.SearchStrategy[tuple[str, Any]], *, epochs: bool = True
) -> dict[str, list[Fact]]:
    """Per aggregate what happened to it, in order; a restored owner goes on in a higher epoch from version 1."""
    found: dict[str, list[Fact]] = {}
    for id in draw(st.lists(st.sampled_from(IDS), unique=True, min_size=1)):
        epoch, version, history = draw(st.integers(0, int(epochs))), 0, []
        for kind, data in draw(st.lists(facts, min_size=1, max_size=6)):
            if epochs and draw(st.integers(0, 9)) == 0:
                epoch, version = epoch + 1, 0
            version += 1
            history.append(Fact(epoch, version, kind, data))
        found[id] = history
    return found


@st.composite
def logs(draw: st.DrawFn, published: dict[str, list[Fact]], *, in_order: bool) -> list[Record]:
    """A log of these histories: aggregates interleaved, facts repeated, those of one aggregate in order (or not)."""
    queues: dict[str, list[Fact]] = {}
    for id, history in published.items():
        if not in_order:
            queues[id] = draw(st.permutations(history)) + draw(st.lists(st.sampled_from(history), max_size=4))
            continue
        sent: list[Fact] = []
        done = 0
        while done < len(history):
            start = draw(st.integers(0, done))  # a relay that was restarted sends again what it had sent
            done = draw(st.integers(done + 1, len(history)))
            sent += history[start:done]
        queues[id] = sent
    ends = [0] * PARTITIONS
    log: list[Record] = []
    while queues:
        id = draw(st.sampled_from(sorted(queues)))
        record = publish(id, queues[id].pop(0))
        log.append(msgspec.structs.replace(record, offset=ends[record.partition]))
        ends[record.partition] += 1
        if not queues[id]:
            del queues[id]
    return log


class Stored(NamedTuple):
    """What a store came to, over all its buckets."""

    documents: dict[str, tuple[tuple[int, int], Any]]
    lists: set[keys.Entry]
    numbers: dict[str, int]


class Pipeline:
    """decode, project and apply over a store in memory, in batches and from positions that a test chooses."""

    def __init__(self, definition: Projection[Any, Any] | Timeline[Any], buckets: int) -> None:
        self.store = MemoryStore()
        self.buckets = [Bucket(definition.name, 1, number) for number in range(buckets)]
        self._runtime = runtime_of(definition)

    async def take(self, records: Sequence[Record]) -> None:
        outcomes = [self._runtime.decode(record) for record in records]
        for part in slices(outcomes, len(self.buckets)):
            for number, share in part.by_bucket.items():
                bucket = self.buckets[number]
                ids = self._runtime.ids_to_read(share)
                documents = dict(zip(ids, await self.store.documents(bucket, ids), strict=True))
                parked = [id for id, document in documents.items() if document and document.flags & PARKED]
                queues = dict(zip(parked, await self.store.queued(bucket, parked), strict=True))
                result = self._runtime.project(share, documents, queues, 0)
                state = self.store.buckets[bucket]
                assert all(state.lists[name].issuperset(members) for name, members in result.removed.items())
                assert all(state.lists[name].isdisjoint(members) for name, members in result.added.items())
                change = BucketChange(
                    bucket,
                    changes=result.changes,
                    set_aside=[set_aside(poison, 0) for poison in result.set_aside],
                    positions={at: Advance(state.positions.get(at, 0), end) for at, end in part.next.items()},
                    removed=result.removed,
                    added=result.added,
                    deltas=result.deltas,
                    appends=result.appends,
                    timeline_bound=self._runtime.timeline_bound,
                )
                outcome = await self.store.apply(change)
                assert isinstance(outcome, Applied)
                assert outcome.queued == result.queued

    def stored(self) -> Stored:
        found = Stored({}, set(), {})
        numbers: Counter[str] = Counter()
        for number, bucket in enumerate(self.buckets):
            state = self.store.buckets[bucket]
            for id, document in state.documents.items():
                assert bucket_of(id, len(self.buckets)) == number
                assert bool(document.flags & PARKED) == bool(state.queue(id))
                found.documents[id] = (document.at, None if document.view is None else json.loads(document.view))
            found.lists.update(keys.Entry(name, entry) for name, listed in state.lists.items() for entry in listed)
            numbers.update(state.numbers)
        found.numbers.update(numbers)
        return found

    def waiting(self) -> dict[str, list[str]]:
        """Places that wait, by aggregate; asserts that what waits is the record of that place, and that nothing is loose."""
        found: dict[str, list[str]] = {}
        for bucket in self.buckets:
            state = self.store.buckets[bucket]
            for id in state.queues:
                entries = [(item.place, read_entry(item.entry)) for item in state.queue(id)]
                assert all(
                    entry.id == id and place == queue_place(entry.epoch or 0, entry.version or 0)
                    for place, entry in entries
                )
                found[id] = [place for place, _ in entries]
            assert len(state.quarantine) == sum(map(len, state.queues.values()))
        return found


EVENTS = {"Opened": Opened, "other.team.Renamed": Renamed, "Closed": Closed, "OwnerState": OwnerState}


def folded(projection: Projection[Any, Any], history: Sequence[Fact]) -> Any:
    """The view of a history."""
    view: Any = None
    epoch = 0
    for fact in history:
        if fact.epoch > epoch and not projection.state:
            view = None
        epoch = fact.epoch
        if fact.data is None:
            view = None
        elif fact.kind in EVENTS:
            event = msgspec.convert(fact.data, EVENTS[fact.kind])
            view = evolve(view, event) if projection is carts else own(view, event)
    return view


def oracle(projection: Projection[Any, Any], published: Mapping[str, Sequence[Fact]]) -> Stored:
    found = Stored({}, set(), {})
    numbers: Counter[str] = Counter()
    entries = Entries(projection)
    for id, history in published.items():
        view = folded(projection, history)
        at = (history[-1].epoch, history[-1].version) if history else (0, 0)
        found.documents[id] = (at, None if view is None else json.loads(msgspec.json.encode(view)))
        found.lists.update(index_entries(projection, id, view))
        numbers.update(entries.numbers(view))
    found.numbers.update({name: number for name, number in numbers.items() if number})
    return found


async def consumed(pipeline: Pipeline, log: Sequence[Record], data: st.DataObject) -> None:
    """Reads the log in batches of any size; now and then it goes back to an earlier place, as after a failover."""
    at, replays = 0, 0
    while at < len(log):
        size = data.draw(st.integers(1, len(log)), label="batch")
        await pipeline.take(log[at : at + size])
        at += size
        if replays < 3 and data.draw(st.integers(0, 2), label="replay") == 0:
            replays += 1
            at = data.draw(st.integers(0, min(at, len(log))), label="from")


def numbered(log: Sequence[Record]) -> list[Record]:
    """The records at the offsets of their partitions."""
    ends: Counter[int] = Counter()
    found: list[Record] = []
    for record in log:
        found.append(msgspec.structs.replace(record, offset=ends[record.partition]))
        ends[record.partition] += 1
    return found


def broken(id: str, fact: Fact) -> Record:
    return msgspec.structs.replace(publish(id, fact), value=b"{")


buckets_drawn = st.sampled_from([1, 2, 5])


@settings(max_examples=60, deadline=None)
@given(published=histories(cart_facts), buckets=buckets_drawn, data=st.data())
def test_folds_of_domain_events(published: dict[str, list[Fact]], buckets: int, data: st.DataObject) -> None:
    log = data.draw(logs(published, in_order=True), label="log")
    pipeline = Pipeline(carts, buckets)
    asyncio.run(consumed(pipeline, log, data))
    assert pipeline.stored() == oracle(carts, published)
    assert pipeline.waiting() == {}


@settings(max_examples=60, deadline=None)
@given(published=histories(cart_facts), buckets=buckets_drawn, data=st.data())
def test_folds_heal_any_disorder_once_every_version_came_in_a_good_form(
    published: dict[str, list[Fact]], buckets: int, data: st.DataObject
) -> None:
    """Gaps that are filled late, broken records that are published again, duplicates, in any order."""
    good = [publish(id, fact) for id, history in published.items() for fact in history]
    of_events = [(id, fact) for id, history in published.items() for fact in history if fact.kind in EVENTS]
    bad = data.draw(st.lists(st.sampled_from(of_events), max_size=6), label="bad") if of_events else []
    again = data.draw(st.lists(st.sampled_from(good), max_size=6), label="again")
    log = numbered(data.draw(st.permutations([*good, *again, *(broken(id, fact) for id, fact in bad)]), label="log"))
    pipeline = Pipeline(carts, buckets)
    asyncio.run(consumed(pipeline, log, data))
    assert pipeline.stored() == oracle(carts, published)
    assert pipeline.waiting() == {}


RAISING = Fact(0, 1, "Broken", {"how": "raise"})


@settings(max_examples=60, deadline=None)
@given(published=histories(cart_facts, epochs=False), buckets=buckets_drawn, data=st.data())
def test_what_is_missing_or_bad_holds_up_its_own_aggregate_alone(
    published: dict[str, list[Fact]], buckets: int, data: st.DataObject
) -> None:
    """Of each aggregate all is applied up to the first version that is not there in a good form; the rest waits, once each."""
    log: list[Record] = []
    whole: dict[str, list[Fact]] = {}
    waiting: dict[str, list[str]] = {}
    for id, history in published.items():
        bound = 0
        for fact in history:
            form = data.draw(st.sampled_from(["good", "good", "good", "body", "evolve", "missing"]), label="form")
            if form == "body" and fact.kind in EVENTS:
                log.append(broken(id, fact))
            elif form == "evolve":
                log.append(publish(id, replace(RAISING, version=fact.version)))
            elif form != "missing":
                form = "good"
                log.append(publish(id, fact))
            if form == "good" and bound == fact.version - 1:
                bound = fact.version
            elif form != "missing":
                waiting.setdefault(id, []).append(queue_place(0, fact.version))
        if bound or id in waiting:
            whole[id] = history[:bound]
    again = data.draw(st.lists(st.sampled_from(log), max_size=6), label="again") if log else []
    pipeline = Pipeline(carts, buckets)
    ordered = numbered(data.draw(st.permutations([*log, *again]), label="log"))
    asyncio.run(consumed(pipeline, ordered, data))
    assert pipeline.stored() == oracle(carts, whole)
    assert pipeline.waiting() == waiting


@settings(max_examples=60, deadline=None)
@given(published=histories(owner_facts), buckets=buckets_drawn, data=st.data())
def test_state_topics_in_order(published: dict[str, list[Fact]], buckets: int, data: st.DataObject) -> None:
    log = data.draw(logs(published, in_order=True), label="log")
    pipeline = Pipeline(owners, buckets)
    asyncio.run(consumed(pipeline, log, data))
    assert pipeline.stored() == oracle(owners, published)


states = st.one_of(
    st.builds(lambda owner: ("OwnerState", {"owner": owner}), owner_names), st.just(("OwnerRemoved", None))
)


@settings(max_examples=60, deadline=None)
@given(published=histories(states), buckets=buckets_drawn, data=st.data())
def test_state_topics_heal_any_disorder(published: dict[str, list[Fact]], buckets: int, data: st.DataObject) -> None:
    """Compaction drops versions, restarted relays repeat them, some come broken; late older ones bring no deleted row back."""
    log = data.draw(logs(published, in_order=False), label="log")
    of_events = [(id, fact) for id, history in published.items() for fact in history if fact.data is not None]
    bad = data.draw(st.lists(st.sampled_from(of_events), max_size=4), label="bad") if of_events else []
    log = numbered(data.draw(st.permutations([*log, *(broken(id, fact) for id, fact in bad)]), label="mixed"))
    pipeline = Pipeline(owners, buckets)
    asyncio.run(consumed(pipeline, log, data))
    assert pipeline.stored() == oracle(owners, published)
    assert pipeline.waiting() == {}


def in_timeline(event: Opened | Renamed, id: str) -> Entry | None:
    return Entry(key=event.owner[:1], what=type(event).__name__) if event.owner else None


@settings(max_examples=60, deadline=None)
@given(published=histories(cart_facts), buckets=buckets_drawn, bound=st.integers(1, 20), data=st.data())
def test_timelines_are_the_newest_of_the_set_of_events(
    published: dict[str, list[Fact]], buckets: int, bound: int, data: st.DataObject
) -> None:
    timeline = Timeline(name="activity", version=1, topics=["shop.carts"], entry=in_timeline, bound=bound)
    log = data.draw(logs(published, in_order=False), label="log")
    pipeline = Pipeline(timeline, buckets)
    asyncio.run(consumed(pipeline, log, data))
    expected: dict[str, set[tuple[datetime, str]]] = {}
    for id, history in published.items():
        for fact in history:
            key = fact.data.get("owner", "")[:1]
            if key and key.isprintable():
                expected.setdefault(key, set()).add((datetime.fromisoformat(TIME), f"/carts {id}-{fact.version}"))
    found = {
        key: {(msgspec.json.decode(item.entry)["at"], item.event_id) for item in entries.values()}
        for bucket in pipeline.buckets
        for key, entries in pipeline.store.buckets[bucket].timelines.items()
    }
    assert found == {
        key: {(TIME, event_id) for _, event_id in sorted(events)[-bound:]} for key, events in expected.items()
    }


def test_positions_end_where_the_log_ends() -> None:
    log = [msgspec.structs.replace(publish("a", Fact(0, n + 1, "Opened", OPENED)), offset=n) for n in range(3)]
    pipeline = Pipeline(carts, 1)
    asyncio.run(pipeline.take(log))
    assert pipeline.store.buckets[pipeline.buckets[0]].positions == {
        Partition("shop.carts", bucket_of("a", PARTITIONS)): 3
    }
