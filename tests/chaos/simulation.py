"""One seed of chaos in memory: the real consumers over `MemoryBroker` and `MemoryStore`, in simulated time.

Invariants: everything follows from the seed; after every change that a store takes, the watch looks whether a position is ahead of
the data and whether an older fence changed anything; at the end everything stored equals the fold of everything published.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

from projections import batch
from projections.consume import COMMIT_S, Consumer
from projections.log.memory import MemoryBroker, MemoryLog
from projections.log.port import Partition
from projections.store.memory import MemoryStore
from projections.telemetry import Instruments
from tests.chaos.contents import Comparison, compare
from tests.chaos.faulty import Chances, FaultyStore, Process, StoppableLog
from tests.chaos.history import Message, Shape, generate
from tests.chaos.models import ALL, TOPICS
from tests.chaos.oracle import Logged, expected
from tests.chaos.remembered import positions_of, remembered
from tests.chaos.simulated import simulate
from tests.chaos.watch import Watch

SETTLED_WITHIN_S = 300.0
QUIET_S = COMMIT_S + 2.0
"""After the last change everything that is done from time to time is done once more."""
GIVE_UP_WITHIN_S = 3.0
"""How long a silent member keeps its partitions in the simulation."""


@dataclass
class Outcome:
    """What a seed came to."""

    seed: int
    faults: dict[str, int] = field(default_factory=dict[str, int])
    changes: int = 0
    refused: dict[str, int] = field(default_factory=dict[str, int])
    comparisons: list[Comparison] = field(default_factory=list[Comparison])


def run_seed(seed: int) -> Outcome:
    """Plays a seed. Raises AssertionError, naming the seed, when something does not hold."""
    try:
        return simulate(Simulation(seed).run(), seed)
    except AssertionError as error:
        raise AssertionError(f"seed {seed}: {error}") from error
    except Exception as error:
        raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error


class _Defects(logging.Handler):
    """What the projector itself takes for a defect: it goes on, and nobody would see it."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.told.append(self.format(record))


@dataclass
class Member:
    """A simulated worker with one consumer."""

    definition: Any
    process: Process
    log: MemoryLog
    consumer: Consumer
    task: asyncio.Task[None]


class Simulation:
    """One run."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(f"chaos {seed}")
        dice = self._dice
        self._partitions = dice.randint(1, 3)
        self._buckets = dice.randint(1, 3)
        self._shape = Shape(
            seed,
            events=dice.randint(30, 160),
            orders=dice.randint(2, 7),
            products=dice.randint(1, 3),
            partitions=self._partitions,
            again_percent=15,
            replays=dice.randint(0, 3),
            stretch=30,
            held_percent=dice.choice((0, 5, 20)),
            broken=dice.choice((0, 0, 2, 6)),
        )
        self._chances = Chances(dice.choice((0, 0.05)), dice.choice((0, 0.05)), dice.choice((0.002, 0.05)))
        self._batch_records = dice.choice((1, 3, 10, 50))
        self._most_items = dice.choice((2, 5, 200))
        self._published: list[Logged] = []
        self._members: list[Member] = []
        self._snapshot: Any = None
        self._outcome = Outcome(seed)
        self._defects = _Defects()
        self._history = generate(self._shape)

    async def run(self) -> Outcome:
        self._broker = MemoryBroker(give_up_within_s=GIVE_UP_WITHIN_S)
        for topic in TOPICS:
            self._broker.create(topic, self._partitions)
        self._store = MemoryStore()
        self._watch = Watch(self._store, self._published, self._buckets)
        with mock.patch.object(batch, "MAX_ITEMS", self._most_items), self._listening():
            async with self._crew():
                await self._trouble(self._history.messages)
                await self._settled()
                await self._trouble(self._history.repairs)
                await self._settled()
        self._outcome.changes = self._watch.changes
        self._outcome.refused = self._watch.refused
        return self._outcome

    @asynccontextmanager
    async def _crew(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for definition in ALL:
                for _ in range(self._dice.randint(1, 2)):
                    self._join(definition)
            stack.push_async_callback(self._dismiss)
            yield

    @contextmanager
    def _listening(self) -> Iterator[None]:
        logger = logging.getLogger("projections")
        logger.addHandler(self._defects)
        try:
            yield
        finally:
            logger.removeHandler(self._defects)

    def _join(self, definition: Any) -> None:
        process = Process()
        log = MemoryLog(self._broker, definition.name)
        dice = random.Random(self._dice.random())
        consumer = Consumer(
            definition,
            StoppableLog(log, process),
            FaultyStore(self._store, process, dice, self._chances, self._watch),
            instruments=Instruments(),
            buckets=self._buckets,
            batch_records=self._batch_records,
        )
        task = asyncio.create_task(consumer.run())
        self._members.append(Member(definition, process, log, consumer, task))

    async def _dismiss(self) -> None:
        """Everybody is asked to stop and does, in time."""
        for member in self._members:
            member.process.go_on()
            member.consumer.stop()
        async with asyncio.timeout(30):
            await asyncio.gather(*(member.task for member in self._members))
        for member in self._members:
            await member.log.close()

    async def _trouble(self, messages: Sequence[Message]) -> None:
        """Publishes in stretches, with a fault after each."""
        dice = self._dice
        done = 0
        while done < len(messages):
            stretch = messages[done : done + dice.randint(1, 25)]
            done += len(stretch)
            for message in stretch:
                self._publish(message)
            await asyncio.sleep(dice.expovariate(1 / 0.1))
            await self._fault()
            await asyncio.sleep(dice.choice((0.0, 0.01, 0.3, 2.0)))

    def _publish(self, message: Message) -> None:
        record = self._broker.append(
            message.topic,
            key=message.key,
            value=message.value,
            headers=message.headers,
            partition=message.partition,
        )
        self._published.append(Logged(message, record.offset))

    async def _fault(self) -> None:
        dice = self._dice
        kind = dice.choice(
            (
                "none",
                "kill",
                "leave",
                "join",
                "stall",
                "pause",
                "go on",
                "snapshot",
                "failover",
                "empty",
                "store",
                "broker",
            )
        )
        self._outcome.faults[kind] = self._outcome.faults.get(kind, 0) + 1
        member = dice.choice(self._members)
        match kind:
            case "kill":
                await self._kill(member)
                self._join(member.definition)
            case "leave" if not member.process.is_stopped:
                await self._leave(member)
            case "join" if len(self._members) < 8:
                self._join(member.definition)
            case "stall":
                member.process.stop()
                self._broker.expire(member.log)
            case "pause":
                member.process.stops_before_a_fence = True
                self._broker.expire(member.log)
            case "go on":
                for other in self._members:
                    other.process.go_on()
            case "snapshot":
                self._snapshot = copy.deepcopy(self._store.buckets)
            case "failover" if self._snapshot is not None:
                self._lose(copy.deepcopy(self._snapshot))
            case "empty" if dice.random() < 0.5:
                self._snapshot = None
                self._lose(type(self._store)().buckets)
            case "store":
                self._store.available = not self._store.available
            case "broker":
                self._broker.available = not self._broker.available

    def _lose(self, buckets: Any) -> None:
        self._store.buckets = buckets
        self._watch.forget()

    async def _kill(self, member: Member) -> None:
        self._members.remove(member)
        member.task.cancel()
        await asyncio.gather(member.task, return_exceptions=True)
        self._broker.expire(member.log)

    async def _leave(self, member: Member) -> None:
        self._members.remove(member)
        member.consumer.stop()
        async with asyncio.timeout(60):
            await member.task
        await member.log.close()
        if all(other.definition is not member.definition for other in self._members):
            self._join(member.definition)

    async def _settled(self) -> None:
        """No more faults: after a while everything is as it should be."""
        chances = copy.copy(self._chances)
        self._chances.before = self._chances.after = 0.0
        self._store.available = self._broker.available = True
        for member in self._members:
            member.process.go_on()
        for definition in ALL:
            if all(member.definition is not definition for member in self._members):
                self._join(definition)
        try:
            async with asyncio.timeout(SETTLED_WITHIN_S):
                while not self._is_at_the_end() and not self._watch.violations:  # noqa: ASYNC110 - the time is simulated
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(f"not at the end: {positions_of(self._store, self._buckets)}") from None
        await asyncio.sleep(QUIET_S)
        should = expected(self._published, self._partitions)
        found = compare(remembered(self._store, self._buckets), should)
        assert not self._watch.violations, "\n".join(self._watch.violations[:5])
        assert not self._defects.told, "\n".join(self._defects.told[:2])
        assert found.is_equal, "\n".join(found.differences)
        self._outcome.comparisons.append(found)
        self._chances.before, self._chances.after = chances.before, chances.after

    def _is_at_the_end(self) -> bool:
        wanted = {
            (definition.name, number, at): self._broker.end(at)
            for definition in ALL
            for number in range(self._buckets)
            for at in (Partition(topic, part) for topic in definition.topics for part in range(self._partitions))
        }
        return positions_of(self._store, self._buckets) == wanted
