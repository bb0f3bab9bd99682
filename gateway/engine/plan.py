"""A plan: what an operation came to when it was compiled, and how it is told.

Invariants: frozen; knows nothing of a request; runs any number of times, also side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from gateway.engine.arguments import Variables
from gateway.engine.asked import Reads
from gateway.engine.objects import Child
from gateway.engine.run import Edge, Failure, Run


@dataclass(frozen=True, eq=False)
class Stop:
    """A stop of the plan, for people: what is read there, and how many trips in."""

    path: str
    reads: str
    trip: int


@dataclass(frozen=True, eq=False)
class Root:
    """The object of the operation's root fields.

    `values` give what stands in an attribute before anything is read: the key that its edge goes by, or a constant.
    """

    out: type[msgspec.Struct]
    values: Sequence[Callable[[Run], Any]]
    edges: Sequence[tuple[str, Edge]]


@dataclass(frozen=True, eq=False)
class Plan:
    """A compiled operation. `children` are, by type of object, the attributes that may hold failures; `claims` are those
    that row rules in it go by.
    """

    root: Root
    children: Mapping[type[Any], Sequence[Child]]
    stops: Sequence[Stop]
    claims: Sequence[str]

    @property
    def round_trips(self) -> int:
        """How many trips to the store a run takes at most."""
        return max((stop.trip for stop in self.stops), default=0)

    def begin(
        self, variables: Variables, claims: Mapping[str, str], max_nodes: int, reads: Reads, *, is_coarse: bool = False
    ) -> tuple[Any, Run]:
        """The root object, and the run that fills it. Raises PlanBrokenError for variables that it cannot go by."""
        run = Run(variables, claims, max_nodes, reads, is_coarse=is_coarse)
        root = self.root.out(*[value(run) for value in self.root.values])
        for attribute, edge in self.root.edges:
            if type(getattr(root, attribute)) is not Failure:
                run.want(edge, [root])
        return root, run

    def told(self) -> list[dict[str, Any]]:
        """The plan as JSON: one entry per stop."""
        return [{"path": stop.path, "reads": stop.reads, "trip": stop.trip} for stop in self.stops]
