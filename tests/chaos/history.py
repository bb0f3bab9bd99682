"""Seed -> what is published: facts about orders and products, interleaved, repeated, held back, some of them broken.

Invariants: pure; the same `Shape` gives the same messages on any machine. Facts are numbered by `mark` in the order in which they
happened; every fact is published in a good form sooner or later, a broken one by `History.repairs`.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zlib import adler32

from tests.chaos.models import ORDERS_TOPIC, PRODUCTS_TOPIC

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
KNOWN: Final = ("body", "garbage", "wire", "tombstone", "evolve", "type")
"""Ways to break a record that leave its place in the history of its aggregate readable: it parks the aggregate."""
LOOSE: Final = ("subject", "version 0", "version 2^31", "key")
"""Ways that do not: the record is set aside alone, the gap that it leaves parks the aggregate."""


@dataclass(frozen=True)
class Shape:
    """How much, and how badly.

    Args:
        events: facts; `orders` and `products` are among how many aggregates they are spread.
        again_percent: facts published twice. `replays`: stretches published again, of up to `stretch` messages.
        held_percent: facts that are published up to `stretch` messages too late.
        broken: facts whose record is broken.
    """

    seed: int
    events: int
    orders: int
    products: int
    partitions: int = 4
    again_percent: float = 5.0
    replays: int = 5
    stretch: int = 100
    held_percent: float = 0.5
    broken: int = 0


@dataclass(frozen=True)
class Fact:
    """One version of an aggregate. `data` None: a tombstone; `kind` "Viewed": a type that no projection names."""

    mark: int
    topic: str
    id: str
    epoch: int
    version: int
    kind: str
    data: dict[str, Any] | None

    @property
    def at(self) -> tuple[int, int]:
        return (self.epoch, self.version)

    @property
    def event_id(self) -> str:
        return f"e-{self.mark}"

    @property
    def time(self) -> str:
        return moment(self.mark)


@dataclass(frozen=True)
class Message:
    """A record to be published. `broken` names how it was spoilt. No fact: a heartbeat, or a record of another aggregate type."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    fact: Fact | None = None
    broken: str | None = None


@dataclass
class History:
    """All that is published, in order, and the good forms of what was broken in it."""

    shape: Shape
    messages: list[Message] = field(default_factory=list[Message])
    repairs: list[Message] = field(default_factory=list[Message])


def moment(mark: int) -> str:
    """The time of a fact: one second after the one before it."""
    return (START + timedelta(seconds=mark)).strftime("%Y-%m-%dT%H:%M:%SZ")


def generate(shape: Shape) -> History:
    """The history of a seed."""
    dice = random.Random(shape.seed)
    facts = _Owner(shape, dice).facts()
    history = History(shape)
    renewed = {(fact.topic, fact.id) for fact in facts if fact.epoch}
    latest = {fact.id: fact.mark for fact in facts if fact.topic == PRODUCTS_TOPIC}
    # A broken state is only looked for when nothing newer heals it; no faults where the owner starts anew: the oracle stays simple.
    steady = [
        fact
        for fact in facts
        if (fact.topic, fact.id) not in renewed and (fact.topic == ORDERS_TOPIC or latest[fact.id] == fact.mark)
    ]
    broken = {fact.mark for fact in dice.sample(steady, min(shape.broken, len(steady)))}
    placed: list[tuple[float, Message]] = []
    for place, fact in enumerate(facts):
        message = message_of(fact, shape.partitions)
        if fact.mark in broken:
            history.repairs.append(message)
            message = spoilt(message, dice)
        late = 0.0
        if (fact.topic, fact.id) not in renewed and dice.random() * 100 < shape.held_percent:
            late = dice.uniform(1, shape.stretch)
        placed.append((place + late, message))
        if dice.random() * 100 < shape.again_percent:
            placed.append((place + late + dice.expovariate(1 / shape.stretch) + 0.5, message))
    placed.sort(key=lambda row: row[0])
    messages = [message for _, message in placed]
    for _ in range(shape.replays):
        start = dice.randrange(len(messages))
        stretch = messages[start : start + dice.randint(1, shape.stretch)]
        at = dice.randint(start + len(stretch), len(messages))
        messages[at:at] = stretch
    for _ in range(shape.events // 500 + 1):
        messages.insert(dice.randint(0, len(messages)), _stranger(dice, shape))
    history.messages = messages
    return history


class _Owner:
    """What happens to the aggregates."""

    def __init__(self, shape: Shape, dice: random.Random) -> None:
        self._shape = shape
        self._dice = dice
        self._versions: Counter[str] = Counter()
        self._epochs: Counter[str] = Counter()
        self._customers = max(2, shape.orders // 8)

    def facts(self) -> list[Fact]:
        return [self._fact(mark) for mark in range(self._shape.events)]

    def _fact(self, mark: int) -> Fact:
        dice = self._dice
        if self._shape.products and dice.random() < 0.25:
            id = f"p-{dice.randrange(self._shape.products)}"
            return self._next(mark, PRODUCTS_TOPIC, id, *self._product(mark))
        number = dice.randrange(self._shape.orders)
        return self._next(mark, ORDERS_TOPIC, f"o-{number}", *self._order(mark, number))

    def _next(self, mark: int, topic: str, id: str, kind: str, data: dict[str, Any] | None) -> Fact:
        if self._versions[id] and self._dice.random() < 0.002:
            self._epochs[id] += 1
            self._versions[id] = 0
        self._versions[id] += 1
        return Fact(mark, topic, id, self._epochs[id], self._versions[id], kind, data)

    def _order(self, mark: int, number: int) -> tuple[str, dict[str, Any]]:
        first = not self._versions[f"o-{number}"]
        kind = "Placed" if first else self._dice.choices(_ORDER_KINDS, _ORDER_WEIGHTS)[0]
        data: dict[str, Any] = {"mark": mark, "customerId": f"c-{number % self._customers}"}
        if kind in ("Placed", "Added"):
            data["amount"] = f"{self._dice.randint(0, 99_999) / 100:.2f}"
        if kind == "Placed":
            data["customerId"] = f"c-{self._dice.randrange(self._customers)}"
            data["placedAt"] = moment(mark * 60)
        return kind, data

    def _product(self, mark: int) -> tuple[str, dict[str, Any] | None]:
        if self._dice.random() < 0.12:
            return "Withdrawn", None
        category = self._dice.choice(("tea", "tin", "tool & die", "töpfe"))
        price = f"{self._dice.randint(1, 99_999) / 100:.2f}"
        return "Product", {"mark": mark, "category": category, "price": price, "stock": self._dice.randint(-5, 500)}


_ORDER_KINDS: Final = ("Placed", "Added", "Confirmed", "Removed", "Viewed")
_ORDER_WEIGHTS: Final = (5, 55, 20, 8, 12)


def partition_of(id: str, partitions: int) -> int:
    """Where an aggregate's records are; has nothing to do with buckets."""
    return adler32(id.encode()) % partitions


def message_of(fact: Fact, partitions: int) -> Message:
    """A fact as its owner publishes it."""
    aggregate = "order" if fact.topic == ORDERS_TOPIC else "product"
    headers = {
        "ce_id": fact.event_id,
        "ce_source": "chaos",
        "ce_type": f"chaos.{fact.kind}",
        "ce_subject": f"{aggregate}/{fact.id}",
        "ce_time": fact.time,
        "ce_aggregateversion": str(fact.version),
    }
    if fact.epoch:
        headers["ce_aggregateepoch"] = str(fact.epoch)
    value = None if fact.data is None else json.dumps(fact.data).encode()
    return Message(
        fact.topic,
        partition_of(fact.id, partitions),
        fact.id.encode(),
        value,
        tuple((name, text.encode()) for name, text in headers.items()),
        fact,
    )


def spoilt(message: Message, dice: random.Random) -> Message:
    """The same record, broken in one of the ways that its topic and its type know."""
    fact = message.fact
    assert fact
    if fact.kind in ("Viewed", "Withdrawn"):  # nobody reads their data
        ways: tuple[str, ...] = LOOSE
    elif fact.topic == PRODUCTS_TOPIC:
        ways = ("body", "garbage", "evolve", "type", *LOOSE)
    else:
        ways = (*(way for way in KNOWN if way != "wire" or fact.kind == "Placed"), *LOOSE)
    way = dice.choice(ways)
    data = dict(fact.data or {})
    headers = dict(message.headers)
    key, value = message.key, message.value
    match way:
        case "body":
            value = json.dumps({**data, "mark": "seven"}).encode()
        case "garbage":
            value = b"\xff\x00{" * dice.choice((1, 40, 20_000))
        case "wire":
            value = json.dumps({**data, "placedAt": "2026-01-01T00:00:00"}).encode()
        case "tombstone":
            value = None
        case "evolve":
            value = json.dumps({**data, "mark": -1}).encode()
        case "type":
            del headers["ce_type"]
        case "subject":
            headers["ce_subject"] = fact.id.encode()
        case "version 0":
            headers["ce_aggregateversion"] = b"0"
        case "version 2^31":
            headers["ce_aggregateversion"] = b"2147483648"
        case _:
            key = b"another"
    return replace(message, key=key, value=value, headers=tuple(headers.items()), broken=way)


def _stranger(dice: random.Random, shape: Shape) -> Message:
    """A heartbeat, or a record of an aggregate type that shares the topic."""
    headers = {"ce_id": "h", "ce_source": "chaos", "ce_type": "headrace.heartbeat", "ce_time": moment(shape.events)}
    if dice.random() < 0.5:
        headers |= {"ce_type": "chaos.Billed", "ce_subject": "invoice/o-1", "ce_aggregateversion": "7"}
    packed = tuple((name, text.encode()) for name, text in headers.items())
    return Message(ORDERS_TOPIC, dice.randrange(shape.partitions), b"o-1", b"{}", packed)
