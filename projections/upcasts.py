"""Old event types: which there are, and how an event of one becomes an event that the fold knows.

Invariants: pure; a chain of upcasts has no circle and ends in an event of the fold.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from projections.errors import DefinitionError
from projections.shape import members, struct_fields, type_hints


@dataclass(frozen=True)
class Upcast:
    """An old event's class, and the functions that lead from it to an event of the fold, each with the class it returns."""

    old: type[Any]
    steps: tuple[tuple[Callable[[Any], Any], type[Any]], ...]

    @property
    def new(self) -> type[Any]:
        """The class of the event of today."""
        return self.steps[-1][1]

    def apply(self, event: Any) -> Any:
        """The event of today. Raises whatever the author's function raises, TypeError when it returns something else."""
        for step, result in self.steps:
            event = step(event)
            if type(event) is not result:
                raise TypeError(f"{step.__qualname__} returned {type(event).__name__}, not {result.__name__}")
        return event


_UPCAST: Final = "write it as `def upcast(old: OldEvent) -> Event`, annotated, with a body that does not await"


def upcasts_of(
    functions: Sequence[Callable[[Any], Any]], events: Mapping[str, type[Any]], base: type[Any], where: str
) -> dict[str, Upcast]:
    """By the old events' type names. `events` are those of the fold, `base` is what events are subclasses of.

    Raises DefinitionError.
    """
    if not isinstance(functions, list | tuple):
        mend = "give a list of functions, with brackets also around one"
        raise DefinitionError(f"upcasts is a {type(functions).__name__}, not a list", where=where, mend=mend)
    known = {kind: name for name, kind in events.items()}
    steps: dict[type[Any], tuple[Callable[[Any], Any], type[Any]]] = {}
    names: dict[str, type[Any]] = {}
    for function in functions:
        old, new = _types(function, base, where)
        place = f"{where}, upcast {function.__qualname__}"
        name = old.event_type or old.__name__
        if name in events or old in known:
            mend = "the fold has an event of this type: give the old one a class and an event_type of its own"
            raise DefinitionError(f"{name!r} is not an old type", where=place, mend=mend)
        if name in names:
            raise DefinitionError(f"two upcasts of type {name!r}", where=place, mend="keep one of them")
        struct_fields(old, where=f"{place}, event {old.__name__}")
        names[name] = old
        steps[old] = (function, new)
    return {name: Upcast(old, _chain(old, steps, known, where)) for name, old in names.items()}


def _chain(
    old: type[Any],
    steps: Mapping[type[Any], tuple[Callable[[Any], Any], type[Any]]],
    known: Mapping[type[Any], str],
    where: str,
) -> tuple[tuple[Callable[[Any], Any], type[Any]], ...]:
    found: list[tuple[Callable[[Any], Any], type[Any]]] = []
    at = old
    while at not in known:
        if at not in steps or len(found) > len(steps):
            fault = "leads in a circle" if at in steps else f"ends in {at.__name__}, which the fold does not take"
            mend = f"let it end in one of {', '.join(sorted(kind.__name__ for kind in known))}"
            raise DefinitionError(f"the upcast of {old.__name__} {fault}", where=where, mend=mend)
        found.append(steps[at])
        at = steps[at][1]
    return tuple(found)


def _types(function: Callable[[Any], Any], base: type[Any], where: str) -> tuple[type[Any], type[Any]]:
    """The event that an upcast takes, and the one that it returns."""
    if not inspect.isfunction(function) or inspect.iscoroutinefunction(function):
        raise DefinitionError(f"upcast {function!r} is not a plain function", where=where, mend=_UPCAST)
    hints = type_hints(function, function.__qualname__, where=where)
    names = list(inspect.signature(function).parameters)
    taken, result = (members(hints.get(name)) for name in (names[0] if len(names) == 1 else "", "return"))
    if len(taken) != 1 or len(result) != 1 or not all(isinstance(kind, type) for kind in (*taken, *result)):
        raise DefinitionError(f"{function.__qualname__} is not annotated as an upcast", where=where, mend=_UPCAST)
    if not all(issubclass(kind, base) for kind in (*taken, *result)):
        raise DefinitionError(f"{function.__qualname__} is not from an Event to an Event", where=where, mend=_UPCAST)
    return taken[0], result[0]
