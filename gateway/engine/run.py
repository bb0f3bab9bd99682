"""One run of a plan: stage by stage, each a batched read.

Invariants: the number of stages is the depth of the plan, whatever its width; a run owns everything that it makes; the loop is
given a turn after every TURN_NODES objects, and where that falls between the edges of a stage, the next stage is several reads,
side by side.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from gateway.engine.arguments import Variables
from gateway.engine.asked import Asked, Reads
from gateway.engine.errors import PlanBrokenError, UnfitError
from gateway.errors import TooComplexError, UnreadableDocumentError
from projections.store.port import ReadAnswer

MAX_NODES: Final = 100_000
"""Objects of one answer, each as often as it is shown: what a static cost within its limit can come to, and then some."""
TURN_NODES: Final = 4_000
"""Objects that are made at a stretch: some 10 ms."""


class Failure:
    """Stands in an answer where a field failed, until the answer is mended (failures.py)."""

    __slots__ = ("error",)

    def __init__(self, error: Exception) -> None:
        self.error = error


class Edge(Protocol):
    """Leads from objects to what is read for them: `ask` says what to read, `settle` puts it into their attributes."""

    def ask(self, parents: Sequence[Any], run: Run) -> Any:
        """Adds to what the run's next stage reads (`Run.asking`); what it returns is handed to `settle`."""
        ...

    def settle(self, parents: Sequence[Any], places: Any, run: Run) -> None:
        """Takes what was read, and goes on to the edges of what it made."""
        ...


class Leads(Protocol):
    """What objects were made by, and leads on from them; `is_deep` when there is anywhere to go."""

    is_deep: bool

    def descend(self, objects: Sequence[Any], run: Run) -> None:
        """Goes on to the edges of these objects, and of the parts in them."""
        ...


class Run:
    """The state of one run: what its next stage reads, and what the last one read."""

    __slots__ = (
        "_asked",
        "_asking",
        "_reading",
        "_reads",
        "_work",
        "answer",
        "claims",
        "has_failed",
        "is_coarse",
        "max_nodes",
        "nodes",
        "scale",
        "shown",
        "variables",
    )

    def __init__(
        self, variables: Variables, claims: Mapping[str, str], max_nodes: int, reads: Reads, *, is_coarse: bool = False
    ) -> None:
        """`claims` are what row rules compare with; `is_coarse`: what does not fit fails as a whole, and breaks no plan."""
        self.variables = variables
        self.claims = claims
        self.max_nodes = max_nodes
        self.nodes = 0
        self.shown = 0
        self.scale = 1
        self.has_failed = False
        self.is_coarse = is_coarse
        self.answer = _NOTHING
        self._reads = reads
        self._reading: dict[Asked, asyncio.Future[ReadAnswer]] = {}
        self._asking: Asked | None = None
        self._begin()

    def want(self, edge: Edge, parents: Sequence[Any]) -> None:
        """Puts an edge into the next stage, with what it asked for and, known once it has asked, of whom."""
        places = edge.ask(parents, self)
        self._work.append((edge, parents, places, self.scale, self._asking))

    def asking(self) -> Asked:
        """What the next stage reads, for an edge to add to; not to be called by one that reads nothing."""
        asked = self._asking
        if asked is None:
            asked = self._asking = self._reads.collect(alone=self.nodes > TURN_NODES)
            self._asked.append(asked)
        return asked

    def unfit(self, reason: PlanBrokenError) -> Failure:
        """Notes that something stored does not fit its declaration. Raises UnfitError where it is to be said which field."""
        if not self.is_coarse:
            raise UnfitError(str(reason)) from reason
        return self.failed(UnreadableDocumentError(str(reason)))

    def failed(self, error: Exception) -> Failure:
        """Notes a failure, to be put where the value would be."""
        self.has_failed = True
        return Failure(error)

    def lead_on(self, plan: Leads, objects: Sequence[Any], references: int | None = None) -> None:
        """Goes on from objects that were made; there may be None and failures among them. Raises TooComplexError.

        `references` is how many places show them, where they may be fewer: what is below is shown as often. `shown` is then no less
        than the objects of the answer.
        """
        if not plan.is_deep:
            self.made(len(objects), references)
            return
        found = [item for item in objects if item is not None and type(item) is not Failure]
        self.made(len(found), references)
        if not found:
            return
        scale = self.scale
        if references is not None and references > len(found):
            self.scale = scale * (references - len(found) + 1)
        plan.descend(found, self)
        self.scale = scale

    def made(self, count: int, references: int | None = None) -> None:
        """Counts objects that were made. Raises TooComplexError."""
        self.nodes += count
        if self.nodes > self.max_nodes:
            raise too_large(self.max_nodes)
        self.shown += self.scale * (count if references is None else references)

    async def through(self) -> None:
        """All stages, to the last."""
        turn = self.nodes + TURN_NODES
        while self._work:
            work, asked = self._work, self._asked
            self._begin()
            answers: dict[Asked | None, ReadAnswer] = {None: _NOTHING}
            if len(asked) > 1:
                self._begin_reading(asked)
            for one in asked:
                reading = self._reading.pop(one, None)
                answers[one] = await (self._reads.read(one) if reading is None else reading)
            for edge, parents, places, self.scale, of in work:
                self.answer = answers[of]
                edge.settle(parents, places, self)
                if self.nodes > turn:
                    turn = self.nodes + TURN_NODES
                    await self._turn()

    def _begin_reading(self, asked: Sequence[Asked]) -> None:
        """Has these read side by side."""
        for one in asked:
            if one not in self._reading:
                self._reading[one] = self._reads.begin(one)

    async def _turn(self) -> None:
        """Lets others go on. What was asked so far leaves meanwhile."""
        if self._asking is not None:
            self._begin_reading([self._asking])
            self._asking = None
        await asyncio.sleep(0)

    def _begin(self) -> None:
        self._work: list[tuple[Edge, Sequence[Any], Any, int, Asked | None]] = []
        self._asked: list[Asked] = []
        self._asking = None


def too_large(max_nodes: int) -> TooComplexError:
    """Told of an answer with more objects than one may have."""
    return TooComplexError(f"the answer has more than {max_nodes} objects")


_NOTHING: Final = ReadAnswer()
