"""Whatever is duplicated, replayed, interleaved or cut into batches: documents and indexes are those of a plain fold.

The oracle folds each aggregate's history with the author's `evolve` alone; it shares neither decoding nor projecting nor a store.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from projections import Event, Index, Projection, View
from projections.batch import slices
from projections.decode import Decoder
from projections.log.port import Partition
from projections.project import Projector
from projections.quarantine import set_aside
from projections.record import Decoded, Ignored, Record
from projections.store.change import Advance, Applied, BucketChange
from projections.store.keys import Bucket, Entry, bucket_of, index_entries
from projections.store.memory import MemoryStore
from tests.unit.projections.samples import OPENED, Closed, Opened, Renamed, carts, evolve, headers

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
def histories(draw: st.DrawFn, facts: st.SearchStrategy[tuple[str, Any]]) -> dict[str, list[Fact]]:
    """Per aggregate what happened to it, in order; a restored owner goes on in a higher epoch from version 1."""
    found: dict[str, list[Fact]] = {}
    for id in draw(st.lists(st.sampled_from(IDS), unique=True, min_size=1)):
        epoch, version, history = draw(st.integers(0, 1)), 0, []
        for kind, data in draw(st.lists(facts, min_size=1, max_size=6)):
            if draw(st.integers(0, 9)) == 0:
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


class Pipeline:
    """decode, project and apply over a store in memory, in batches and from positions that a test chooses."""

    def __init__(self, projection: Projection[Any, Any], buckets: int) -> None:
        self.store = MemoryStore()
        self.buckets = [Bucket(projection.name, 1, number) for number in range(buckets)]
        self._decoder, self._projector = Decoder(projection), Projector(projection)

    async def take(self, records: Sequence[Record]) -> None:
        outcomes = [self._decoder.decode(record) for record in records]
        for part in slices(outcomes, len(self.buckets)):
            for number, share in part.by_bucket.items():
                bucket = self.buckets[number]
                ids = list({outcome.id for outcome in share if isinstance(outcome, Decoded | Ignored)})
                documents = dict(zip(ids, await self.store.documents(bucket, ids), strict=True))
                result = self._projector.project(share, documents)
                stored = await self.store.positions(bucket)
                positions = {at: Advance(stored.get(at, 0), offset) for at, offset in part.next.items()}
                aside = [set_aside(poison, 0) for poison in result.set_aside]
                assert isinstance(
                    await self.store.apply(BucketChange(bucket, result.changes, aside, positions)), Applied
                )

    def stored(self) -> tuple[dict[str, tuple[tuple[int, int], Any]], set[Entry]]:
        """Every (epoch, version) and view by id, and every index entry."""
        documents: dict[str, tuple[tuple[int, int], Any]] = {}
        entries: set[Entry] = set()
        for number, bucket in enumerate(self.buckets):
            state = self.store.buckets[bucket]
            assert state.quarantine == {}
            for id, document in state.documents.items():
                assert bucket_of(id, len(self.buckets)) == number
                documents[id] = (document.at, None if document.view is None else json.loads(document.view))
            entries |= {
                Entry(name, values, entry) for (name, values), listed in state.lists.items() for entry in listed
            }
        return documents, entries


def oracle(
    projection: Projection[Any, Any], published: dict[str, list[Fact]]
) -> tuple[dict[str, tuple[tuple[int, int], Any]], set[Entry]]:
    documents: dict[str, tuple[tuple[int, int], Any]] = {}
    entries: set[Entry] = set()
    kinds = {"Opened": Opened, "other.team.Renamed": Renamed, "Closed": Closed, "OwnerState": OwnerState}
    for id, history in published.items():
        view: Any = None
        epoch = history[0].epoch
        for fact in history:
            if fact.epoch > epoch and not projection.state:
                view = None
            epoch = fact.epoch
            if fact.data is None:
                view = None
            elif fact.kind in kinds:
                event = msgspec.convert(fact.data, kinds[fact.kind])
                view = evolve(view, event) if projection is carts else own(view, event)
        plain = None if view is None else json.loads(msgspec.json.encode(view))
        documents[id] = ((history[-1].epoch, history[-1].version), plain)
        entries |= index_entries(projection.indexes, id, view)
    return documents, entries


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


@settings(max_examples=150, deadline=None)
@given(published=histories(cart_facts), buckets=st.sampled_from([1, 2, 5]), data=st.data())
def test_folds_of_domain_events(published: dict[str, list[Fact]], buckets: int, data: st.DataObject) -> None:
    log = data.draw(logs(published, in_order=True), label="log")
    pipeline = Pipeline(carts, buckets)
    asyncio.run(consumed(pipeline, log, data))
    assert pipeline.stored() == oracle(carts, published)


@settings(max_examples=150, deadline=None)
@given(published=histories(owner_facts), buckets=st.sampled_from([1, 2, 5]), data=st.data())
def test_state_topics_in_order(published: dict[str, list[Fact]], buckets: int, data: st.DataObject) -> None:
    log = data.draw(logs(published, in_order=True), label="log")
    pipeline = Pipeline(owners, buckets)
    asyncio.run(consumed(pipeline, log, data))
    assert pipeline.stored() == oracle(owners, published)


@settings(max_examples=100, deadline=None)
@given(published=histories(st.builds(lambda owner: ("OwnerState", {"owner": owner}), owner_names)), data=st.data())
def test_state_topics_heal_any_disorder(published: dict[str, list[Fact]], data: st.DataObject) -> None:
    """Compaction drops versions and restarted relays repeat them; the newest state wins."""
    log = data.draw(logs(published, in_order=False), label="log")
    pipeline = Pipeline(owners, 2)
    asyncio.run(consumed(pipeline, log, data))
    assert pipeline.stored() == oracle(owners, published)


def test_positions_end_where_the_log_ends() -> None:
    log = [msgspec.structs.replace(publish("a", Fact(0, n + 1, "Opened", OPENED)), offset=n) for n in range(3)]
    pipeline = Pipeline(carts, 1)
    asyncio.run(pipeline.take(log))
    assert pipeline.store.buckets[pipeline.buckets[0]].positions == {
        Partition("shop.carts", bucket_of("a", PARTITIONS)): 3
    }
