"""Whether what a declaration was given is of the type that it asks for.

Invariants: pure; what does not fit is a DefinitionError that says what it is, where, and what to give instead.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from enum import Enum
from operator import attrgetter
from typing import Any, Final, Literal, TypeVar, get_args, get_origin

from projections.errors import DefinitionError
from projections.shape import NAME, members, type_hints

KEY_TYPES: Final = (str, int, date, Enum)
"""What a measure may be kept by; a bool is an int here, and a datetime no date."""
_FUNCTION: Final = "write it as `def {name}(view: {view}) -> {result}`, with a body that neither awaits nor yields"
_POSITIONAL: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def check_type(value: Any, kind: type[Any], label: str, where: str) -> None:
    """Raises DefinitionError unless the value is of the kind; True and False are no whole numbers."""
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        mend = f"give {_ARTICLED.get(kind, kind.__name__)}"
        raise DefinitionError(f"{label} is {value!r}, {_article(type(value).__name__)}", where=where, mend=mend)


def check_items(values: Any, kind: type[Any], label: str, where: str) -> None:
    """Raises DefinitionError unless it is a list or tuple of that kind."""
    mend = f"give a list of {_PLURAL.get(kind, kind.__name__)}, with brackets also around one"
    if not isinstance(values, Sequence) or isinstance(values, str | bytes):
        raise DefinitionError(f"{label} is {_article(type(values).__name__)}, not a list", where=where, mend=mend)
    for value in values:
        if isinstance(value, type):
            raise DefinitionError(f"{label} has the class {value.__name__}", where=where, mend=mend)
        if not isinstance(value, kind):
            found = _article(type(value).__name__)
            raise DefinitionError(f"{label} has {value!r}, {found}", where=where, mend=mend)


def check_name(name: Any, taken: Mapping[str, str], where: str) -> None:
    """Raises DefinitionError unless it is a plain name, and nobody's; `taken` says who has it."""
    check_type(name, str, "name", where)
    if not NAME.match(name):
        raise DefinitionError(f"name {name!r} is not a plain name", where=where, mend="use a-z, 0-9 and _, at most 63")
    if name in taken:
        mend = "give every measure and index its own name"
        raise DefinitionError(f"the name {name!r} is taken by {taken[name]}", where=where, mend=mend)


def is_key_type(kind: Any) -> bool:
    """Whether values of it can be what a measure is kept by."""
    return isinstance(kind, type) and issubclass(kind, KEY_TYPES) and not issubclass(kind, datetime)


def check_function(function: Any, label: str, view: type[Any], result: Literal["bool", "key"], where: str) -> None:
    """Raises DefinitionError unless it is a synchronous function of the view alone, with annotations that fit or without."""
    returned = "bool" if result == "bool" else "str | int | date | None"
    mend = _FUNCTION.format(name=label, view=view.__name__, result=returned)
    if isinstance(function, attrgetter):  # it has no signature that says so
        return
    if not callable(function) or isinstance(function, type):
        raise DefinitionError(f"{label} is {function!r}, not a function", where=where, mend=mend)
    called = function if inspect.isroutine(function) else type(function).__call__
    name = getattr(function, "__qualname__", type(function).__qualname__)
    if any(is_so(form) for form in (called, getattr(function, "func", None)) for is_so in _ASYNCHRONOUS):
        raise DefinitionError(f"{label} is {name}, which awaits or yields", where=where, mend=mend)
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # some that are written in C do not say
        raise DefinitionError(f"{label} is {name}, whose arguments are not known", where=where, mend=mend) from None
    if len(parameters) != 1 or parameters[0].kind not in _POSITIONAL:
        raise DefinitionError(f"{label} is {name}, which does not take the view alone", where=where, mend=mend)
    hints = type_hints(called, name, where=where)
    if not any(_takes(kind, view) for kind in members(hints.get(parameters[0].name, Any))):
        raise DefinitionError(f"{label} is {name}, which takes something else than the view", where=where, mend=mend)
    if not all(_returns(kind, result) for kind in members(hints.get("return", Any))):
        raise DefinitionError(f"{label} is {name}, which returns something else", where=where, mend=mend)


_ASYNCHRONOUS: Final[tuple[Callable[[Any], bool], ...]] = (
    inspect.iscoroutinefunction,
    inspect.isasyncgenfunction,
    inspect.isgeneratorfunction,
)
_ARTICLED: Final[dict[Any, str]] = {str: "a text", int: "a whole number", bool: "True or False"}
_PLURAL: Final[dict[Any, str]] = {str: "texts"}


def _takes(kind: Any, view: type[Any]) -> bool:
    return kind is Any or isinstance(kind, TypeVar) or (isinstance(kind, type) and issubclass(view, kind))


def _returns(kind: Any, result: Literal["bool", "key"]) -> bool:
    if kind is Any or isinstance(kind, TypeVar):
        return True
    if get_origin(kind) is Literal:
        return all(_returns(type(value), result) for value in get_args(kind))
    kind = getattr(kind, "__supertype__", kind)  # a NewType
    return kind is bool if result == "bool" else kind is type(None) or is_key_type(kind)


def _article(name: str) -> str:
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
