"""Nulls where fields failed: the answer mended as the specification has it, and the errors with their paths.

Invariants: a failure is null where its field may be null, and takes the nearest object or list that may be null with it otherwise;
objects that several places share are mended for each place by themselves; nothing of this is done for an answer without a failure.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from graphql import FieldNode

from gateway.engine.objects import Child
from gateway.engine.run import Failure


class Problem(NamedTuple):
    """What went wrong where: response names and places in lists, from the root."""

    path: Sequence[str | int]
    nodes: Sequence[FieldNode]
    error: Exception


class _Void:
    """In the place of a value that may not be null, and is."""


VOID: Final = _Void()


class Mender:
    """Mends one answer. `children` are, by type of object, the attributes that may hold failures."""

    def __init__(self, children: Mapping[type[Any], Sequence[Child]]) -> None:
        self._children = children
        self.problems: list[Problem] = []

    def data(self, root: Any) -> Any | None:
        """The answer's data; None when a failure reached its root."""
        mended = self._object(root, [])
        return None if mended is VOID else mended

    def _object(self, value: Any, path: list[str | int]) -> Any:
        """The object itself when nothing failed in it, else a copy without the failures, or VOID."""
        mended = value
        for child in self._children.get(type(value), ()):
            old = getattr(value, child.attribute)
            if old is None:
                continue
            new = self._value(old, child, [*path, child.response])
            if new is VOID:
                if not child.nullable:
                    return VOID
                new = None
            if new is not old:
                if mended is value:
                    mended = copy.copy(value)
                setattr(mended, child.attribute, new)
        return mended

    def _value(self, value: Any, child: Child, path: list[str | int]) -> Any:
        if isinstance(value, Failure):
            self.problems.append(Problem(path, child.nodes, value.error))
            return VOID
        if child.item_nullable is None or not isinstance(value, list):
            return self._object(value, path)
        items: list[Any] = []
        is_same = True
        for place, item in enumerate(value):
            mended = self._item(item, child, [*path, place])
            if mended is VOID:
                if not child.item_nullable:
                    return VOID
                mended = None
            is_same = is_same and mended is item
            items.append(mended)
        return value if is_same else items

    def _item(self, item: Any, child: Child, path: list[str | int]) -> Any:
        if isinstance(item, Failure):
            self.problems.append(Problem(path, child.nodes, item.error))
            return VOID
        return item if item is None else self._object(item, path)
