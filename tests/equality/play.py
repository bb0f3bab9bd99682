"""Plays cases: an operation and what goes wrong meanwhile, answered by the oracle and by every side.

Invariants: a case follows from the seed of its world and its own number; a case that differs is told with all that is needed to
play it again, made as small as it gets while it differs.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from typing import Any, Final, NamedTuple

from graphql import parse, print_ast

from projections.store.memory import MemoryStore
from tests.equality.compare import Answer, differences, text, unlike
from tests.equality.faults import NOTHING, Faults, FaultyStore, draw
from tests.equality.generate import Generated, Generator
from tests.equality.oracle import Expected, Oracle
from tests.equality.shrink import smaller_faults, smaller_operations
from tests.equality.sides import CompiledSide, Parts, PlainSide, Side, answered
from tests.equality.world import Words, World, build, fill
from tests.serving import COMPOSED

MAX_TRIES: Final = 400


class Case(NamedTuple):
    """One question."""

    operation: Generated
    faults: Faults


@dataclass
class Verdict:
    """A case that differs, and how."""

    seed: int
    number: int
    case: Case
    told: list[str]
    expected: Expected
    answers: dict[str, Answer]

    def __str__(self) -> str:
        operation, faults = self.case
        lines = [
            f"world {self.seed}, case {self.number}:",
            *self.told,
            print_ast(parse(operation.text)),
            f"variables {text(operation.variables)}, operation {operation.operation_name!r}",
            f"faults {faults}",
            f"expected {text(self.expected.data)} errors {sorted(self.expected.errors, key=str)}",
        ]
        for name, answer in self.answers.items():
            lines.append(f"{name:8} {text(answer.data)} errors {text(list(answer.errors))}")
        return "\n".join(lines)


@dataclass
class Tally:
    """What was played."""

    operations: int = 0
    answers: int = 0
    with_errors: int = 0
    refused: int = 0
    compiled: int = 0
    compilable: int = 0
    trips: int = 0
    odd_operations: int = 0

    def add(self, other: Tally) -> None:
        """Takes another one in."""
        for part in fields(self):
            setattr(self, part.name, getattr(self, part.name) + getattr(other, part.name))


class Stage:
    """A world, the oracle over it, and the sides."""

    def __init__(self, world: World, sides: list[Side]) -> None:
        self.world = world
        self.sides = sides
        self.oracle = Oracle(world)
        self._generator = Generator(COMPOSED.schema, Words(world).value)
        self.tally = Tally()

    def cases(self, number: int) -> list[Case]:
        """The cases of a number: one operation, when all is well and when something is not."""
        rng = random.Random(f"{self.world.seed} {number}")
        operation = self._generator.operation(rng)
        faults = self.playable(operation, draw(rng, self.world))
        return [Case(operation, NOTHING), *([Case(operation, faults)] if faults != NOTHING else [])]

    def playable(self, operation: Generated, faults: Faults) -> Faults:
        """A trip that is lost takes with it whatever is in it: that says something only where nothing else is wrong."""
        if faults.stalled is not None and self.oracle.answer(*operation, NOTHING).errors:
            return NOTHING
        return faults

    async def judge(self, case: Case) -> tuple[list[str], Expected, dict[str, Answer]]:
        """How the sides differ from the oracle and from each other."""
        expected = self.oracle.answer(*case.operation, case.faults)
        answers = {side.name: await answered(side, *case) for side in self.sides}
        told = [f"{name}: {line}" for name, answer in answers.items() for line in differences(expected, answer)]
        first, *others = answers.values()
        told += [f"between sides: {line}" for other in others for line in unlike(first, other)]
        told += [
            f"{name}: {answer.trips} trips where {expected.trips} are needed"
            for name, answer in answers.items()
            if answer.trips != expected.trips
            and not expected.errors
            and not expected.is_refused
            and answer.was_compiled is not False
        ]
        return told, expected, answers

    async def play(self, number: int) -> Verdict | None:
        """Plays the cases of a number; the smallest like the first that differs, if one does."""
        self.tally.operations += 1
        for case in self.cases(number):
            told, expected, answers = await self.judge(case)
            self._count(case, expected, answers)
            if told:
                case = await self._smallest(case)
                return Verdict(self.world.seed, number, case, *await self.judge(case))
        return None

    def _count(self, case: Case, expected: Expected, answers: dict[str, Answer]) -> None:
        tally = self.tally
        tally.answers += 1
        tally.with_errors += bool(expected.errors)
        tally.refused += expected.is_refused
        tally.trips += expected.trips
        for answer in answers.values():
            if answer.was_compiled is not None and not expected.is_refused and not case.faults.are_unfit:
                tally.compilable += 1
                tally.compiled += answer.was_compiled

    async def _smallest(self, case: Case) -> Case:
        tries = 0
        is_smaller = True
        while is_smaller:
            is_smaller = False
            for smaller in self._smaller(case):
                tries += 1
                if tries > MAX_TRIES:
                    return case
                if (await self.judge(smaller))[0]:
                    case, is_smaller = smaller, True
                    break
        return case

    def _smaller(self, case: Case) -> Iterable[Case]:
        for faults in smaller_faults(case.faults):
            yield case._replace(faults=faults)
        for operation in smaller_operations(COMPOSED.schema, case.operation):
            yield Case(operation, self.playable(operation, case.faults))


async def play_world(seed: int, numbers: Iterable[int], most: int = 5) -> tuple[Tally, list[Verdict]]:
    """Plays cases of one world, in simulated time; ends early when so many differ."""
    verdicts: list[Verdict] = []
    async with stage(seed) as found:
        for number in numbers:
            verdict = await found.play(number)
            verdicts += [verdict] if verdict else []
            if len(verdicts) >= most:
                break
        return found.tally, verdicts


@asynccontextmanager
async def stage(seed: int) -> AsyncIterator[Stage]:
    """The stage of a world, for the length of an `async with`."""
    world = build(seed)
    memory = MemoryStore()
    await fill(memory, world)
    async with asyncio.TaskGroup() as tasks:
        parts = Parts(FaultyStore(memory), tasks)
        plain = PlainSide(parts)
        await learn_cursors(world, plain)
        yield Stage(world, [plain, CompiledSide(parts)])


async def learn_cursors(world: World, side: Side) -> None:
    """Walks every list to its end, a few rows at a time, and keeps what names which row."""
    page = "(first: 3, after: $after) { edges { cursor node { %s } } pageInfo { hasNextPage endCursor } }"
    of_all = {"orders": "orders.by_status", "customers": "customers.by_segment", "products": "products.by_brand"}
    for name, listed in of_all.items():
        await _walk(world, side, listed, f"query($after: String) {{ {name}{page % 'key'} }}", (name,))
    for key, stored in ((key, world.documents["customers", key]) for key in world.keys("customers")):
        if stored.view is not None:
            own = f'query($after: String) {{ customer(id: "{key}") {{ %s }} }}'
            await _walk(world, side, "orders.by_customer", own % f"orders{page % 'key'}", ("customer", "orders"))
            entry = page % "lineage { eventId }"
            await _walk(world, side, "activity:", own % f"activity{entry}", ("customer", "activity"))


async def _walk(world: World, side: Side, listed: str, query: str, path: tuple[str, ...]) -> None:
    after: str | None = None
    while True:
        answer = await side.answer(query, {"after": after})
        assert not answer.errors, answer.errors
        found: Any = answer.data
        for name in path:
            found = found[name]
        for edge in found["edges"]:
            node = edge["node"]
            world.cursors[listed, edge["cursor"]] = node["key"] if "key" in node else node["lineage"]["eventId"]
        after = found["pageInfo"]["endCursor"]
        if not found["pageInfo"]["hasNextPage"]:
            return
