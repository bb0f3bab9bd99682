"""One run of a plan: stage by stage, each a single batched read.

Invariants: the number of stages is the depth of the plan, whatever its width; a run owns everything that it makes; the loop is
given a turn after every TURN_NODES objects.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from gateway.engine.arguments import Variables
from gateway.errors import TooComplexError
from projections.store.document import Document
from projections.store.port import DocumentKey, MeasureQuery, Page, PageQuery

MAX_NODES: Final = 100_000
"""Objects of one answer, each as often as it is shown: what a static cost within its limit can come to, and then some."""
TURN_NODES: Final = 4_000
"""Objects that are made at a stretch: some 10 ms."""


class Answers(Protocol):
    """What a stage read, in the order of what it asked for; what failed is in the place of its item."""

    @property
    def documents(self) -> Sequence[Document | Exception | None]: ...
    @property
    def pages(self) -> Sequence[Page | Exception]: ...
    @property
    def measures(self) -> Sequence[int | bytes | Exception | None]: ...


class GivenAnswers(NamedTuple):
    """Answers that were put together."""

    documents: Sequence[Document | Exception | None]
    pages: Sequence[Page | Exception]
    measures: Sequence[int | bytes | Exception | None]


Read: TypeAlias = Callable[[Sequence[DocumentKey], Sequence[PageQuery], Sequence[MeasureQuery]], Awaitable[Answers]]
"""Reads all of it in one trip; a failure as a whole is the answer to each item."""


class Failure:
    """Stands in an answer where a field failed, until the answer is mended (failures.py)."""

    __slots__ = ("error",)

    def __init__(self, error: Exception) -> None:
        self.error = error


class Edge(Protocol):
    """Leads from objects to what is read for them: `ask` says what to read, `settle` puts it into their attributes."""

    def ask(self, parents: Sequence[Any], run: Run) -> Any:
        """Adds to the run's next stage; what it returns is handed to `settle`."""
        ...

    def settle(self, parents: Sequence[Any], asked: Any, run: Run) -> None:
        """Takes what was read, and goes on to the edges of what it made."""
        ...


class Leads(Protocol):
    """What objects were made by, and leads on from them."""

    def descend(self, objects: Sequence[Any], run: Run) -> None:
        """Goes on to the edges of these objects, and of the parts in them."""
        ...


class Run:
    """The state of one run: what its next stage reads, and what the last one read."""

    __slots__ = (
        "_documents",
        "_measures",
        "_pages",
        "_work",
        "answer",
        "claims",
        "has_failed",
        "max_nodes",
        "nodes",
        "scale",
        "shown",
        "variables",
    )

    def __init__(self, variables: Variables, claims: Mapping[str, str], max_nodes: int) -> None:
        """`claims` are what row rules compare with."""
        self.variables = variables
        self.claims = claims
        self.max_nodes = max_nodes
        self.nodes = 0
        self.shown = 0
        self.scale = 1
        self.has_failed = False
        self.answer: Answers = _NOTHING
        self._begin()

    def want(self, edge: Edge, parents: Sequence[Any]) -> None:
        """Puts an edge into the next stage."""
        self._work.append((edge, parents, edge.ask(parents, self), self.scale))

    def documents(self, keys: Sequence[DocumentKey]) -> int:
        """Asks for documents; they are in the answer from this place on."""
        start = len(self._documents)
        self._documents += keys
        return start

    def pages(self, queries: Sequence[PageQuery]) -> int:
        """Asks for pages, likewise."""
        start = len(self._pages)
        self._pages += queries
        return start

    def measures(self, queries: Sequence[MeasureQuery]) -> int:
        """Asks for measures, likewise."""
        start = len(self._measures)
        self._measures += queries
        return start

    def failed(self, error: Exception) -> Failure:
        """Notes a failure, to be put where the value would be."""
        self.has_failed = True
        return Failure(error)

    def lead_on(self, plan: Leads, objects: Sequence[Any], references: int | None = None) -> None:
        """Goes on from objects that were made; there may be None and failures among them. Raises TooComplexError.

        `references` is how many places show them, where they may be fewer: what is below is shown as often. `shown` is then no less
        than the objects of the answer.
        """
        found = [item for item in objects if item is not None and type(item) is not Failure]
        self.nodes += len(found)
        if self.nodes > self.max_nodes:
            raise too_large(self.max_nodes)
        if not found:
            return
        scale = self.scale
        self.shown += scale * (len(found) if references is None else references)
        if references is not None and references > len(found):
            self.scale = scale * (references - len(found) + 1)
        plan.descend(found, self)
        self.scale = scale

    async def through(self, read: Read) -> None:
        """All stages, to the last."""
        turn = self.nodes + TURN_NODES
        while self._work:
            work, documents, pages, measures = self._work, self._documents, self._pages, self._measures
            self._begin()
            if documents or pages or measures:
                self.answer = await read(documents, pages, measures)
            for edge, parents, asked, self.scale in work:
                edge.settle(parents, asked, self)
                if self.nodes > turn:
                    turn = self.nodes + TURN_NODES
                    await asyncio.sleep(0)

    def _begin(self) -> None:
        self._work: list[tuple[Edge, Sequence[Any], Any, int]] = []
        self._documents: list[DocumentKey] = []
        self._pages: list[PageQuery] = []
        self._measures: list[MeasureQuery] = []


def too_large(max_nodes: int) -> TooComplexError:
    """Told of an answer with more objects than one may have."""
    return TooComplexError(f"the answer has more than {max_nodes} objects")


_NOTHING: Final = GivenAnswers((), (), ())
