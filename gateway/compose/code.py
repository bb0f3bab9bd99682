"""Fields with Python code: an author's `@strawberry.field`, with the annotations of built types put in.

Invariants: the author's function is called as it is, `self` being the row that was read (the view's fields are its attributes).
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any, get_type_hints

import strawberry
from strawberry.types.field import StrawberryField

from schema.errors import CompositionError


def code_field(field: StrawberryField, replaced: Callable[[Any], Any]) -> StrawberryField:
    """A fresh field around the same function. Raises CompositionError when it has no function."""
    if field.base_resolver is None:
        raise CompositionError(
            f"{field.python_name} has no code", where=str(field.origin), mend="use schema.field for a stored field"
        )
    function: Callable[..., Any] = field.base_resolver.wrapped_func  # type: ignore[assignment]
    place = f"{function.__module__}.{function.__qualname__}"
    hints = get_type_hints(function, include_extras=True)
    if "return" not in hints:
        raise CompositionError("the field's code has no return annotation", where=place, mend="say what it returns")
    signature = inspect.signature(function)

    def call(*args: Any, **kwargs: Any) -> Any:
        given = function(*args, **kwargs)
        return _awaited(given) if inspect.isawaitable(given) else by_value(given)

    parameters = [
        parameter.replace(annotation=hints.get(parameter.name, parameter.annotation))
        for parameter in signature.parameters.values()
    ]
    try:
        returns = replaced(hints["return"])
    except TypeError as fault:
        raise CompositionError(
            f"the field's code returns {fault}", where=place, mend="use a scalar, an Enum, an entity, or a list of one"
        ) from None
    call.__signature__ = inspect.Signature(parameters, return_annotation=returns)  # type: ignore[attr-defined]
    call.__annotations__ = hints | {"return": returns}
    call.__name__ = function.__name__
    built: StrawberryField = strawberry.field(
        resolver=call, description=field.description, deprecation_reason=field.deprecation_reason
    )
    return built


def by_value(given: Any) -> Any:
    """What code gave, with members of an author's Enum as their values: the graph has enums of its own."""
    if isinstance(given, Enum):
        return given.value
    if isinstance(given, list | tuple):
        items: list[Any] = list(given)
        return [by_value(item) for item in items]
    return given


async def _awaited(given: Awaitable[Any]) -> Any:
    return by_value(await given)
