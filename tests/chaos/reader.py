"""Reads through a gateway with tokens while the store fails over, and holds every `satisfied: true` against what was published.

Invariants: a token asks for a version that was published, whether the read model has it yet or not; what an answer shows is true
when the fold of the published history has just that at some version that the token allows. Bounded in count.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from gateway.consistency.requirements import Aggregate, Required, Requirements
from gateway.consistency.token import TokenCodec
from projections.store.redis import RedisStore
from tests.chaos.graph import COMPOSED, CONTEXT
from tests.chaos.history import Message
from tests.chaos.models import ORDERS_TOPIC, order_docs
from tests.chaos.oracle import View, evolved
from tests.serving import Client, gateway, settings

READERS: Final = 4
MAX_READS: Final = 20_000
PAUSE_UP_TO_S: Final = 0.02
"""Between two reads of a reader: the workers are what is tested, and have the same cores."""
WAITS_MS: Final = (0, 50, 250, 1000)
PAGE: Final = 100
LATEST_SHARE: Final = 0.7
"""Of reads that ask for the latest version; the others take any."""
LIST_SHARE: Final = 0.3
KEPT: Final = 20
"""Lies that are told in full."""

ONE: Final = """query One($id: ID!) { order(id: $id) { key version customerId folded trail } }"""
LIST: Final = f"""query List($customer: ID!) {{
  orders(customerId: $customer, first: {PAGE}) {{ nodes {{ key version customerId folded trail }} pageInfo {{ hasNextPage }} }}
}}"""

At = tuple[int, int]


class Published:
    """What each order is at each version, from messages whose facts are all usable."""

    def __init__(self, messages: Iterable[Message]) -> None:
        facts = {
            (message.fact.id, message.fact.at): message.fact
            for message in messages
            if message.fact and message.topic == ORDERS_TOPIC
        }
        self.states: dict[str, dict[At, View | None]] = defaultdict(dict)
        for (id, at), fact in sorted(facts.items(), key=lambda row: row[0]):
            states, (epoch, version) = self.states[id], at
            if version == 1 or (epoch, version - 1) in states:  # behind a version that is missing nothing is folded
                states[at] = evolved(states.get((epoch, version - 1)), fact)

    def allows(self, id: str, at: At, shown: Mapping[str, Any] | None) -> bool:
        """Whether an order was `shown` (None: not there) at that version or a later one."""
        return any(_is(known, view, shown) for known, view in self.states[id].items() if known >= at)

    def is_elsewhere(self, id: str, at: At, customer: str) -> bool:
        """Whether it was not an order of that customer at that version or a later one."""
        later = (view for known, view in self.states[id].items() if known >= at)
        return any(view is None or view["customerId"] != customer for view in later)


def _is(at: At, view: View | None, shown: Mapping[str, Any] | None) -> bool:
    if view is None or shown is None:
        return view is shown
    return at[1] == shown["version"] and all(view[name] == shown[name] for name in ("customerId", "folded", "trail"))


@dataclass
class Reads:
    """What came of the reads. `refused`: the gateway said what is wrong, and nothing of the order."""

    reads: int = 0
    satisfied: int = 0
    unsatisfied: int = 0
    refused: int = 0
    lies: int = 0
    told: list[str] = field(default_factory=list[str])

    @property
    def is_met(self) -> bool:
        """Whether there was no lie, and a chance of one: some reads were satisfied, and some had to be told that they were not."""
        return not self.lies and self.satisfied > 0 and self.unsatisfied > 0

    def figures(self) -> dict[str, int]:
        """The counts."""
        return {name: number for name, number in asdict(self).items() if name != "told"}


class Reader:
    """Readers that go on until they are told to stop; made by `reading`."""

    def __init__(self, client: Client, codec: TokenCodec, messages: Iterable[Message], seed: int) -> None:
        self.found = Reads()
        self._client = client
        self._codec = codec
        self._published = Published(messages)
        self._orders = [id for id, states in self._published.states.items() if states]
        self._dice = random.Random(seed)

    async def read(self) -> None:
        """One after another, at most MAX_READS of all readers together."""
        while self.found.reads < MAX_READS:
            await self.read_once()
            await asyncio.sleep(self._dice.uniform(0, PAUSE_UP_TO_S))

    async def read_once(self) -> None:
        """One order, or the list that it should be in, under a token for one of its latest versions."""
        id = self._dice.choice(self._orders)
        states = self._published.states[id]
        at = max(states) if self._dice.random() < LATEST_SHARE else self._dice.choice(list(states))
        view, customer = states[at], None
        if view is not None and self._dice.random() < LIST_SHARE:
            customer = view["customerId"]
        answer = await self._ask(id, at, customer)
        self.found.reads += 1
        if "errors" in answer:
            self.found.refused += 1
        elif not answer["extensions"]["consistency"]["satisfied"]:
            self.found.unsatisfied += 1
        else:
            self.found.satisfied += 1
            if not is_true(self._published, id, at, customer, answer["data"]):
                self.found.lies += 1
                self.found.told += [f"{id} at {at}: {answer}"] if len(self.found.told) < KEPT else []

    async def _ask(self, id: str, at: At, customer: str | None) -> dict[str, Any]:
        wanted = Aggregate(CONTEXT, order_docs.aggregate, id)
        token = self._codec.mint(Requirements({wanted: Required(*at, int(time.time()))}))
        policy = {"after": token, "maxWaitMs": self._dice.choice(WAITS_MS)}
        query, variables = (ONE, {"id": id}) if customer is None else (LIST, {"customer": customer})
        return await self._client.ask(query, variables, extensions={"consistency": policy})


def is_true(published: Published, id: str, at: At, customer: str | None, data: Mapping[str, Any]) -> bool:
    """Whether an answer without errors shows an order, alone or in the list of a customer, at least as new as asked for."""
    if customer is None:
        return published.allows(id, at, data["order"])
    assert not data["orders"]["pageInfo"]["hasNextPage"], f"{customer} has more than {PAGE} orders"
    rows = [row for row in data["orders"]["nodes"] if row["key"] == id]
    return published.allows(id, at, rows[0]) if rows else published.is_elsewhere(id, at, customer)


@asynccontextmanager
async def reading(url: str, buckets: int, messages: Iterable[Message], seed: int) -> AsyncGenerator[Reader]:
    """READERS of them through a gateway of their own over HTTP, while it is entered. Raises AssertionError."""
    codec = TokenCodec(settings().token_keys, settings().token_audience)
    store = RedisStore(url)
    try:
        async with (
            gateway(store, composed=COMPOSED, HEADRACE_BUCKETS=str(buckets)) as client,
            asyncio.TaskGroup() as group,
        ):
            reader = Reader(client, codec, messages, seed)
            readers = [group.create_task(reader.read()) for _ in range(READERS)]
            yield reader
            for task in readers:
                task.cancel()
    finally:
        await store.close()
