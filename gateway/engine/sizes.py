"""How many objects an answer has, each as often as it is shown.

Invariants: takes as long as there are objects, however often they are shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.engine.objects import Child


def shown_objects(root: Any, children: Mapping[type[Any], Sequence[Child]]) -> int:
    """Counts the objects that edges lead to, connections and their parts among them."""
    counted: dict[int, int] = {}

    def count(value: Any) -> int:
        if isinstance(value, list):
            return sum([count(item) for item in value])
        below = children.get(type(value))
        if below is None:
            return 0
        found = counted.get(id(value))
        if found is None:
            found = counted[id(value)] = 1 + sum([count(getattr(value, child.attribute)) for child in below])
        return found

    return count(root)
