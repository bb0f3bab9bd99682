"""Resolvers whose parameters are data: a function of (root, info, **arguments) dressed with the signature that Strawberry reads."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple

import strawberry
from strawberry.types.arguments import StrawberryArgumentAnnotation


class Argument(NamedTuple):
    """An argument of a field. Optional ones default to UNSET, or the SDL would print `= null`."""

    annotation: Any
    required: bool = False
    description: str | None = None


def resolver(
    function: Callable[..., Any], returns: Any, arguments: Mapping[str, Argument] | None = None
) -> Callable[..., Any]:
    """Dresses `function(root, info, **arguments)`; arguments that were left out are not passed on."""

    def resolve(root: Any, info: Any, **given: Any) -> Any:
        return function(root, info, **{name: value for name, value in given.items() if value is not strawberry.UNSET})

    keyword = inspect.Parameter.KEYWORD_ONLY
    positional = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [
        inspect.Parameter("root", positional, annotation=Any),
        inspect.Parameter("info", positional, annotation=strawberry.Info[Any, None]),
    ]
    for name, argument in (arguments or {}).items():
        annotation = argument.annotation
        if argument.description:
            annotation = _described(annotation, argument.description)
        default = inspect.Parameter.empty if argument.required else strawberry.UNSET
        parameters.append(inspect.Parameter(name, keyword, annotation=annotation, default=default))
    resolve.__signature__ = inspect.Signature(parameters, return_annotation=returns)  # type: ignore[attr-defined]
    resolve.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": returns}
    return resolve


def _described(annotation: Any, description: str) -> Any:
    return Annotated[annotation, StrawberryArgumentAnnotation(description=description)]
