"""Which fragments the definitions of a document spread.

Invariants: pure; without recursion, and in steps that are linear in the spreads: chains of fragments may be long.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


class Definition:
    """What an operation or a fragment has in itself: the variables that it uses, with what they have to be, the fragments that it
    spreads, and its levels of selections.
    """

    def __init__(self) -> None:
        self.uses: list[tuple[str, Any]] = []
        self.spreads: dict[str, None] = {}
        self.levels = 0


def is_circular(fragments: Mapping[str, Definition]) -> bool:
    """Whether a fragment spreads itself, through others perhaps. All that are spread are there."""
    done: set[str] = set()
    for root in fragments:
        path: list[tuple[str, Iterator[str]]] = [] if root in done else [(root, iter(fragments[root].spreads))]
        entered = {root}
        while path:
            name, spreads = path[-1]
            spread = next(spreads, None)
            if spread is None:
                path.pop()
                entered.discard(name)
                done.add(name)
            elif spread in entered:
                return True
            elif spread not in done:
                entered.add(spread)
                path.append((spread, iter(fragments[spread].spreads)))
    return False


def reached_from(start: Definition, fragments: Mapping[str, Definition]) -> Mapping[str, Definition]:
    """The fragments that a definition spreads, through others perhaps, by name."""
    found: dict[str, Definition] = {}
    waiting = list(start.spreads)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = fragments[name]
            waiting += fragments[name].spreads
    return found
