"""A graph of odd types, to compare the executors by what the shop does not have.

Invariants: names of fields are those that an engine might use itself; what is computed may fail, or be what it must not be; one
field has Python code, so that what selects it is not compiled.
"""

from __future__ import annotations

import json
import random
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Final

import msgspec
import strawberry

from gateway.compose import compose
from projections.declare import Event, Part, Projection, View
from projections.index import Index
from projections.measure import Measure
from projections.store.memory import MemoryStore
from projections.wire import Codec
from schema import (
    BoundedContext,
    Connection,
    computed,
    entity,
    field,
    find,
    get,
    many,
    measure,
    one,
    part,
)
from tests.equality.world import BUCKETS, Stored, World
from tests.serving import mark_built, put


class Mood(Enum):
    GOOD = "GOOD"
    BAD = "BAD"


class Knob(Part):
    f0: int
    other: str | None = None


class Lid(Part):
    data: str
    knob: Knob | None
    knobs: list[Knob | None] | None = None


class OddView(View):
    f0: str
    d0: float
    p0: float | None
    is_on: bool
    was_on: bool | None
    count: int
    least: int | None
    day: date
    at: datetime | None
    price: Decimal | None
    mood: Mood
    moods: list[Mood | None] | None
    texts: list[str | None]
    flags: list[bool] = msgspec.field(default_factory=list)
    sizes: list[Decimal] | None = None
    lid: Lid
    lids: list[Lid] = msgspec.field(default_factory=list)
    spare: Lid | None = None
    twin_id: str | None = None
    owner_id: str


class OddChanged(Event):
    f0: str


def evolve(view: OddView | None, event: OddChanged) -> OddView | None:
    return view


def decade(view: OddView) -> int:
    return view.count // 10


by_mood = Index[OddView]("by_mood", filters=("mood", "is_on?", "day?"), sort="-count")
by_owner = Index[OddView]("by_owner", filters=("owner_id", "was_on?", "least?"), sort="price")
by_twin = Index[OddView]("by_twin", filters=("twin_id",))
every = Index[OddView]("every", filters=("f0?",), sort="day")
how_many_kept = Measure[OddView]("how_many", "count", by="owner_id")
how_much_kept = Measure[OddView]("how_much", "total", of="price", by="owner_id", places=3)
counted_kept = Measure[OddView]("counted", "total", of="count", by="mood")
smallest_kept = Measure[OddView]("smallest", "least", of="price", by="owner_id", places=4)
first_day_kept = Measure[OddView]("first_day", "least", of="day", by="is_on")
latest_kept = Measure[OddView]("latest", "largest", of="at", by="owner_id")
most_kept = Measure[OddView]("most", "largest", of="count", by=decade)
odd_docs = Projection(
    name="odds",
    version=1,
    topics=["odds"],
    aggregate="odd",
    evolve=evolve,
    indexes=[by_mood, by_owner, by_twin, every],
    measures=[how_many_kept, how_much_kept, counted_kept, smallest_kept, first_day_kept, latest_kept, most_kept],
)


def half(count: int) -> int:
    """Fails for 13."""
    return count // 2 // (1 if count != 13 else 0)


def wrongly_none(price: Decimal | None, is_on: bool) -> Decimal:
    """None where none may be, whenever the price is."""
    return price if is_on else None  # type: ignore[return-value]


@part(Knob)
class OddKnob:
    f0: int
    other: str | None


@part(Lid)
class OddLid:
    data: str
    knob: OddKnob | None
    knobs: list[OddKnob | None] | None


@entity(odd_docs)
class Odd:
    f0: str = field(description="A name.")
    d0: float
    p0: float | None
    is_on: bool
    was_on: bool | None
    count: int
    least: int | None
    day: date
    at: datetime | None
    price: Decimal | None
    mood: Mood
    moods: list[Mood | None] | None
    texts: list[str | None]
    flags: list[bool]
    sizes: list[Decimal] | None
    lid: OddLid
    lids: list[OddLid]
    spare: OddLid | None
    half: int = computed(half, needs=("count",))
    wrongly: Decimal = computed(wrongly_none, needs=("price", "is_on"))
    maybe: Decimal | None = computed(wrongly_none, needs=("price", "is_on"))
    names: list[str] = computed(lambda f0, texts: [f0, *(text for text in texts if text)], needs=("f0", "texts"))
    opposite: Mood = computed(lambda mood: Mood.BAD if mood is Mood.GOOD else Mood.GOOD, needs=("mood",))
    tomorrow: date = computed(lambda day: day.replace(year=day.year + 1), needs=("day",))
    twin_upper: str | None = computed(lambda twin_id: twin_id and twin_id.upper(), needs=("twin_id",))
    twin: Odd | None = one(odd_docs, via="twin_id")
    owned: Connection[Odd] = many(odd_docs, by_owner)
    twins: list[Odd] = many(odd_docs, by_twin, limit=3)
    how_many: int = measure(odd_docs, how_many_kept)
    how_much: Decimal = measure(odd_docs, how_much_kept)
    smallest: Decimal | None = measure(odd_docs, smallest_kept)
    latest: datetime | None = measure(odd_docs, latest_kept)

    @strawberry.field
    def shout(self) -> str:
        return self.f0.upper()


class Query:
    odd: Odd | None = get(odd_docs)
    odds: Connection[Odd] = find(odd_docs, every)
    of_mood: Connection[Odd] = find(odd_docs, by_mood)
    counted: int = measure(odd_docs, counted_kept)
    counted_exactly: Decimal = measure(odd_docs, counted_kept)
    first_day: date | None = measure(odd_docs, first_day_kept)
    most: int | None = measure(odd_docs, most_kept)


COMPOSED: Final = compose([BoundedContext("odd", entities=[Odd], query=Query)], [odd_docs])


def build(seed: int) -> World:
    """Odd things of a seed."""
    world, rng = World(seed), random.Random(f"odd {seed}")
    for number in range(16):
        world.documents["odds", f"x{number}"] = Stored(rng.randint(1, 9), _view(rng) if number != 5 else None)
    return world


async def fill(store: MemoryStore, world: World) -> None:
    """Puts them into a store."""
    await mark_built(store, [odd_docs], buckets=BUCKETS)
    codec = Codec(OddView)
    for (_, key), (version, view) in world.documents.items():
        typed = None if view is None else codec.decode(json.dumps(view).encode())
        await put(store, odd_docs, key, typed, version, BUCKETS)


def word(rng: random.Random, parent: str, name: str, argument: str) -> Any:
    """A value for an argument."""
    if argument == "id" or argument == "ids":
        return rng.choice([f"x{rng.randrange(18)}", f"Odd:x{rng.randrange(18)}", "Odd:x1", "Odd:x2", "odd:x", "", 7])
    if argument in ("first", "last"):
        return rng.choice([0, 1, 2, 3, 9, 101 if rng.random() < 0.1 else 4])
    if argument in ("after", "before"):
        return "no cursor"
    choices = {
        "f0": _TEXTS,
        "isOn": (True, False),
        "wasOn": (True, False),
        "day": _DAYS,
        "least": (-1, 0, 7),
        "decade": (0, 1, 5),
    }
    return rng.choice(choices[argument])


_TEXTS: Final = ("a", "é", "", "🛒")
_DAYS: Final = ("2026-01-01", "2024-03-29", "0001-01-01", "9998-12-31")
_PRICES: Final = (None, "0.001", "-3", "12.300", "0", "123456789012.5")


def _view(rng: random.Random) -> dict[str, Any]:
    return {
        "f0": rng.choice(_TEXTS),
        "d0": rng.choice([0.5, -1.25, 3.0, 1e300, 0.1]),
        "p0": rng.choice([None, 2.5]),
        "isOn": rng.random() < 0.6,
        "wasOn": rng.choice([None, True, False]),
        "count": rng.choice([0, 1, 13, 57, 2**31 - 1, -5]),
        "least": rng.choice([None, -1, 0, 7]),
        "day": rng.choice(_DAYS),
        "at": rng.choice([None, "2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000001Z"]),
        "price": rng.choice(_PRICES),
        "mood": rng.choice(["GOOD", "BAD"]),
        "moods": rng.choice([None, [], ["GOOD", None]]),
        "texts": rng.choice([[], ["a", None, "b"]]),
        "flags": [True, False],
        "sizes": rng.choice([None, ["1", "2.50"]]),
        "lid": _lid(rng),
        "lids": [_lid(rng) for _ in range(rng.randrange(3))],
        "spare": rng.choice([None, _lid(rng)]),
        "twinId": rng.choice([None, "x0", f"x{rng.randrange(18)}"]),
        "ownerId": f"x{rng.randrange(4)}",
    }


def _lid(rng: random.Random) -> dict[str, Any]:
    knob = {"f0": rng.randrange(9), "other": rng.choice([None, "o"])}
    return {"data": "d", "knob": rng.choice([None, knob]), "knobs": rng.choice([None, [knob, None]])}
