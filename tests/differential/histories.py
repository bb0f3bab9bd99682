"""Generated histories of one bucket: changes that fit what is stored, and changes that do not.

A step is drawn before anything is stored, so it says how it relates to what will be: `resolve` makes the BucketChange of it, by
the model's state at that point.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hypothesis import strategies as st

from projections.log.port import Partition
from projections.store.change import Advance, Append, BucketChange, Change, Fence, SetAside, Waiting
from projections.store.document import PARKED, Document
from projections.store.keys import Bucket, queue_place
from projections.store.model import BucketState

IDS = ("a", "b:{x}", "é/ü")
PARTITIONS = (Partition("orders", 0), Partition("orders", 1), Partition("o/é", 0))
TOP = 2**31 - 1
FAR = 2**63 - 1
QUARANTINE_MAX, QUEUE_MAX = 4, 2

places = st.builds(queue_place, st.sampled_from([0, 1]), st.integers(1, 4))
coordinates = st.builds("orders/0/{}".format, st.integers(0, 6))
entries = st.sampled_from([b"{}", b'{"cause":"gap"}', '{"text":"é"}'.encode()])
waitings = st.builds(Waiting, places, coordinates, entries)
documents = st.builds(
    Document,
    st.sampled_from([0, 0, 0, 1, TOP]),
    st.sampled_from([0, 1, 2, 3, 9, 10, 255, 256, 65_536, TOP]),
    st.sampled_from([0, 1_700_000_000_000, 2**53]),
    st.sampled_from([None, b"{}", b'{"a":1}', '{"b":"é"}'.encode()]),
    st.sampled_from([0, 0, PARKED]),
)
owners = st.sampled_from(["", "a", "B", "aa", "a b", "a-b", "é", "z\n"])
fences = st.builds(Fence, st.sampled_from([1, 9, 10, 2**52]), owners)
names = st.sampled_from(["i:all", "i:by:*", "i:by:é", "m:least:x"])
members = st.lists(st.sampled_from([b"0\0a", b"1x\0a", b"1x\0b", b"1\xc3\xa9\0a"]), max_size=3, unique=True)
deltas = st.one_of(
    st.integers(-3, 3),
    st.integers(-3, 3),
    st.sampled_from([FAR, -FAR, -FAR - 1, FAR + 1, FAR - 999_999_999, 10**9, -(10**9), 999_999_999, 10**18]),
)
events = st.integers(0, 6)


@dataclass(frozen=True)
class Step:
    """How a change relates to what is stored when its turn comes."""

    ids: list[str]
    drawn: list[Document]
    fits: list[bool]
    """Per id: whether its base is what is stored, and its document the next version of it."""
    queued: list[list[Waiting]]
    releases: list[int]
    """Per id: how many of what waits are released; -1 for one that does not wait."""
    partitions: list[Partition]
    is_in_step: bool
    """Whether the expected positions are those stored."""
    offset: int
    identity: str | None
    set_aside: list[SetAside]
    cleared: list[str]
    removed: dict[str, list[bytes]]
    added: dict[str, list[bytes]]
    deltas: dict[str, int]
    appends: list[Append]
    bound: int
    fence: Fence | None
    holds: bool
    """Whether the fence is the largest that is stored for its partitions, if there is one."""
    caught_up: list[Partition]
    all_partitions: list[Partition]

    def resolve(self, bucket: Bucket, state: BucketState) -> BucketChange:
        """The change, now that the state is known."""
        return BucketChange(
            bucket,
            list(self._changes(state)),
            self.set_aside,
            cleared=self.cleared,
            positions={at: self._advance(state.positions.get(at, 0)) for at in self.partitions},
            removed=self.removed,
            added=self.added,
            deltas=self.deltas,
            appends=self.appends,
            timeline_bound=self.bound,
            fence=self._fence(state),
            caught_up=self.caught_up,
            partitions=self.all_partitions,
        )

    def _fence(self, state: BucketState) -> Fence | None:
        stored = [state.fences[at] for at in (*self.partitions, *self.caught_up) if at in state.fences]
        return max(stored) if self.fence is not None and self.holds and stored else self.fence

    def _advance(self, stored: int) -> Advance:
        return Advance(stored if self.is_in_step else stored + 1, self.offset, self.identity)

    def _changes(self, state: BucketState) -> Iterable[Change]:
        for id, drawn, fits, queued, releases in zip(
            self.ids, self.drawn, self.fits, self.queued, self.releases, strict=True
        ):
            stored = state.documents.get(id)
            base, document = (stored, drawn) if fits else (drawn, drawn._replace(version=min(drawn.version + 1, TOP)))
            if fits and stored is not None:
                document = drawn._replace(epoch=stored.epoch, version=min(stored.version + drawn.version % 2, TOP))
            held = state.queue(id)
            released = held[:releases] if releases >= 0 else [Waiting(queue_place(0, 9), "orders/0/9", b"{}")]
            yield Change(id, base, document, queued, released)


@st.composite
def steps(draw: st.DrawFn) -> Step:
    """One step; most of them fit."""
    often = st.sampled_from([True] * 9 + [False])
    few: st.SearchStrategy[list[Waiting]] = st.one_of(st.just([]), st.just([]), st.lists(waitings, max_size=3))
    ids = draw(st.lists(st.sampled_from(IDS), max_size=2, unique=draw(often)))
    count = len(ids)
    is_plain = draw(st.booleans())
    return Step(
        ids=ids,
        drawn=draw(st.lists(documents, min_size=count, max_size=count)),
        fits=draw(st.lists(often, min_size=count, max_size=count)),
        queued=draw(st.lists(few, min_size=count, max_size=count)),
        releases=draw(st.lists(st.sampled_from([0, 0, 0, 1, 1, 2, 2, 3, 3, -1]), min_size=count, max_size=count)),
        partitions=draw(st.lists(st.sampled_from(PARTITIONS), max_size=2, unique=True)),
        is_in_step=draw(often),
        offset=draw(st.sampled_from([0, 1, 2**53, FAR])),
        identity=draw(st.sampled_from([None, "log-1", "log é"])),
        set_aside=draw(st.lists(st.builds(SetAside, coordinates, entries), max_size=2)),
        cleared=draw(st.lists(coordinates, max_size=2)),
        removed=draw(st.dictionaries(names, members, max_size=2)),
        added=draw(st.dictionaries(names, members, max_size=2)),
        deltas=draw(st.dictionaries(st.sampled_from(["m:count:x", "m:sum:é"]), deltas, max_size=2)),
        appends=[] if is_plain else draw(st.lists(_appends(), max_size=4)),
        bound=draw(st.sampled_from([1, 3, 3, 3, 3, 3, 0])),
        fence=draw(st.one_of(st.none(), st.none(), st.none(), fences)),
        holds=draw(often),
        caught_up=draw(st.lists(st.sampled_from(PARTITIONS), max_size=2, unique=True)),
        all_partitions=draw(st.sampled_from([[], list(PARTITIONS), list(PARTITIONS[:2])])),
    )


def _appends() -> st.SearchStrategy[Append]:
    return st.builds(
        lambda key, event: Append(key, f"e{event}", b"1%04d\0e%d" % (event, event), b'{"at":%d}' % event),
        st.sampled_from(["c", "é"]),
        events,
    )


@dataclass(frozen=True)
class Raise:
    """A fence is raised."""

    partitions: list[Partition]
    owner: str
    now_ms: int


@dataclass(frozen=True)
class Again:
    """The last change is sent again, as after an answer that was lost."""


raises = st.builds(
    Raise,
    st.lists(st.sampled_from(PARTITIONS), min_size=1, max_size=3, unique=True),
    owners,
    st.sampled_from([0, 9, 12, 2**52 - 5]),
)
histories = st.lists(st.one_of(steps(), steps(), steps(), raises, st.just(Again())), min_size=5, max_size=14)
