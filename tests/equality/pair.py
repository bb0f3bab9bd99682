"""The executors side by side over the graph of odd types, with no oracle: whatever the one says, the other says.

Invariants: a case follows from the seed and its number.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from graphql import parse, print_ast

from projections.store.memory import MemoryStore
from tests.equality import odd
from tests.equality.compare import Answer, one_sided, text, unlike
from tests.equality.faults import NOTHING, Fault, Faults, FaultyStore
from tests.equality.generate import Generated, Generator
from tests.equality.shrink import smaller_faults, smaller_operations
from tests.equality.sides import CompiledSide, Parts, PlainSide, answered
from tests.equality.unfit import BROKEN, unfit
from tests.equality.world import World

MAX_TRIES: Final = 300


@dataclass
class Pair:
    """Both executors, and the things that they are asked about."""

    world: World
    plain: PlainSide
    compiled: CompiledSide
    played: int = 0
    planned: int = 0

    async def play(self, number: int) -> str | None:
        """How the answers to a case differ, made small; None when they do not."""
        rng = random.Random(f"{self.world.seed} {number}")
        operation = Generator(odd.COMPOSED.schema, odd.word).operation(rng)
        faults = _faults(rng, self.world)
        plain, compiled = await self._answers(operation, faults)
        self.played += 1
        self.planned += bool(compiled.was_compiled)
        if not _told(plain, compiled):
            return None
        operation, faults = await self._smallest(operation, faults)
        plain, compiled = await self._answers(operation, faults)
        shown = [
            f"odd world {self.world.seed}, case {number}:",
            *_told(plain, compiled),
            print_ast(parse(operation.text)),
        ]
        return "\n".join([*shown, text(operation.variables), f"{faults}", f"{plain}", f"{compiled}"])

    async def told(self, operation: Generated, faults: Faults = NOTHING) -> list[str]:
        """How the answers to an operation differ."""
        return _told(*await self._answers(operation, faults))

    async def _answers(self, operation: Generated, faults: Faults) -> tuple[Answer, Answer]:
        return await answered(self.plain, operation, faults), await answered(self.compiled, operation, faults)

    async def _smallest(self, operation: Generated, faults: Faults) -> tuple[Generated, Faults]:
        tries = 0
        is_smaller = True
        while is_smaller:
            is_smaller = False
            cases = [(operation, fewer) for fewer in smaller_faults(faults)]
            cases += [(less, faults) for less in smaller_operations(odd.COMPOSED.schema, operation)]
            for case in cases:
                tries += 1
                if tries < MAX_TRIES and await self.told(*case):
                    (operation, faults), is_smaller = case, True
                    break
        return operation, faults


async def play_pair(seed: int, cases: int) -> tuple[Pair, list[str]]:
    """Plays so many cases of a world of odd things; ends with the first that differs."""
    async with pair_of(seed) as pair:
        for number in range(cases):
            told = await pair.play(number)
            if told is not None:
                return pair, [told]
        return pair, []


@asynccontextmanager
async def pair_of(seed: int) -> AsyncIterator[Pair]:
    """Both executors over the odd things of a seed, for the length of an `async with`."""
    world, memory = odd.build(seed), MemoryStore()
    await odd.fill(memory, world)
    async with asyncio.TaskGroup() as tasks:
        parts = Parts(FaultyStore(memory), tasks, odd.COMPOSED)
        yield Pair(world, PlainSide(parts), CompiledSide(parts))


def _told(plain: Answer, compiled: Answer) -> list[str]:
    return [*unlike(plain, compiled), *one_sided(plain, compiled), *one_sided(compiled, plain)]


def _faults(rng: random.Random, world: World) -> Faults:
    chance = rng.random()
    if chance < 0.5:
        return NOTHING
    found: dict[tuple[str, str], Fault] = {}
    for name, (_, view) in world.documents.items():
        if view is None or rng.random() < 0.6:
            continue
        if chance < 0.6:
            found[name] = Fault(rng.choice(["missing", "deleted", "error"]))
        elif rng.random() < 0.1:
            found[name] = Fault("broken", data=rng.choice(BROKEN))
        else:
            found[name] = Fault("changed", unfit(rng, view))
    return Faults(found)
