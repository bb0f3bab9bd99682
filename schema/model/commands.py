"""Reads commands and their inputs.

Invariants: every field of a path is a field of the input; every Ref leads to an entity that a composed context owns.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, get_args, get_origin

import msgspec

from projections.shape import SCALARS, unwrap
from schema.declare import BoundedContext, Command, Input, Ref
from schema.errors import CompositionError
from schema.marks import ENTITY, EntityMark
from schema.model.graph import CommandModel, InputField, InputModel
from schema.model.places import hints_of, place_of

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_PATH = re.compile(r"(/((?!\.{1,2}(?:/|\Z))[A-Za-z0-9._~-]+|\{[a-z_][a-z0-9_]*\}))+\Z")
RESERVED_FIELDS = ("command_id", "expected_version")


class CommandReader:
    """Reads commands; collects the inputs that they take, and hands their enums to `enum`."""

    def __init__(self, owners: Mapping[type[Any], BoundedContext], enum: Callable[[type[Any]], None]) -> None:
        self._owners = owners
        self._enum = enum
        self._open: list[type[Input]] = []
        self.inputs: dict[str, InputModel] = {}
        self.places: dict[str, str] = {}

    def command(self, name: str, declaration: Any, context: str, place: str) -> CommandModel:
        """A checked command. Raises CompositionError."""
        if not isinstance(declaration, Command):
            raise CompositionError(f"{name} is not a command", where=place, mend="set it to command(...)")
        if declaration.reads not in self._owners:
            raise CompositionError(
                f"{name} reads {declaration.reads.__name__}, which no composed context owns",
                where=f"{place} and {place_of(declaration.reads)}",
                mend=f"add the context of {declaration.reads.__name__} to schema/catalog.py, or remove the command",
            )
        mark: EntityMark = declaration.reads.__dict__[ENTITY]
        owner = mark.owner or self._owners[declaration.reads].name
        if declaration.to != owner:
            raise CompositionError(
                f"{name} goes to {declaration.to!r} and reads {declaration.reads.__name__}, which {owner!r} owns",
                where=f"{place} and {place_of(declaration.reads)}",
                mend=f"send it to {owner!r}: its reply is what the token, and so the read, goes by",
            )
        if not _PATH.match(declaration.path):
            raise CompositionError(
                f"the path {declaration.path!r} is not a plain path",
                where=place,
                mend="write it as /orders/{order}/confirm",
            )
        model = self._input(declaration.input, place)
        path_fields = tuple(_PLACEHOLDER.findall(declaration.path))
        for field_name in path_fields:
            field = model.fields.get(field_name)
            if field is None or not field.required or field.type.is_list or field.type.nullable or field.nested:
                raise CompositionError(
                    f"the path needs {field_name!r}, which is not a required, single field of {model.name}",
                    where=f"{place} and {place_of(declaration.input)}",
                    mend=f"use one of {', '.join(model.fields)}",
                )
        return CommandModel(
            name=name,
            context=context,
            service=declaration.to,
            path=declaration.path,
            path_fields=path_fields,
            input=model.name,
            reads=declaration.reads.__name__,
            metadata=declaration.metadata,
            place=place,
        )

    def _input(self, cls: type[Input], place: str) -> InputModel:
        known = self.inputs.get(cls.__name__)
        if known is not None:
            if self.places[cls.__name__] != place_of(cls):
                raise CompositionError(
                    f"two inputs are named {cls.__name__}",
                    where=f"{self.places[cls.__name__]} and {place_of(cls)}",
                    mend="rename one of them",
                )
            return known
        if cls in self._open:
            raise CompositionError(
                f"{cls.__name__} holds itself", where=f"{place} and {place_of(cls)}", mend="an input is a finite tree"
            )
        self._open.append(cls)
        self.places[cls.__name__] = place_of(cls)
        hints = hints_of(cls)
        fields: dict[str, InputField] = {}
        for field in msgspec.structs.fields(cls):
            if field.name in RESERVED_FIELDS:
                raise CompositionError(
                    f"{field.name!r} is added by the gateway", where=f"{place_of(cls)}.{field.name}", mend="remove it"
                )
            fields[field.name] = self._field(
                field.name, hints[field.name], field.required, f"{place_of(cls)}.{field.name}"
            )
        model = InputModel(cls.__name__, fields, cls.__doc__ if "__doc__" in cls.__dict__ else None)
        self.inputs[cls.__name__] = model
        self._open.remove(cls)
        return model

    def _field(self, name: str, annotation: Any, required: bool, place: str) -> InputField:
        try:
            kind = unwrap(_without_ref(annotation))
        except TypeError as fault:
            raise CompositionError(
                f"the annotation is {fault}",
                where=place,
                mend="use a scalar, an Enum, an Input, a Ref, or a list of one",
            ) from None
        if not required and not kind.nullable:
            raise CompositionError(
                f"{name} may be left out but not null", where=place, mend="annotate it as `X | None = None`"
            )
        target = _ref_target(annotation)
        if target is not None:
            if target not in self._owners:
                raise CompositionError(
                    f"{name} refers to {target.__name__}, which no composed context owns",
                    where=f"{place} and {place_of(target)}",
                    mend=f"add the context of {target.__name__} to schema/catalog.py, or remove the field",
                )
            return InputField(name, kind, required, ref=target.__name__)
        if issubclass(kind.item, Input):
            return InputField(name, kind, required, nested=self._input(kind.item, place).name)
        if issubclass(kind.item, Enum):
            self._enum(kind.item)
        elif kind.item not in SCALARS:
            raise CompositionError(
                f"{kind.item.__name__} is not an input type",
                where=place,
                mend="use a scalar, an Enum, an Input or a Ref",
            )
        return InputField(name, kind, required)


def _ref_target(annotation: Any) -> type[Any] | None:
    """The entity in Ref[X], also inside a list or an optional."""
    if get_origin(annotation) is Ref:
        target: type[Any] = get_args(annotation)[0]
        return target
    for arg in get_args(annotation):
        found = _ref_target(arg)
        if found is not None:
            return found
    return None


def _without_ref(annotation: Any) -> Any:
    """The annotation with Ref[X] replaced by str, which is what travels."""
    if get_origin(annotation) is Ref:
        return str
    if get_origin(annotation) is list:
        return list[_without_ref(get_args(annotation)[0])]  # type: ignore[misc]
    arguments = get_args(annotation)
    if type(None) in arguments and len(arguments) == 2:
        rest = next(arg for arg in arguments if arg is not type(None))
        return _without_ref(rest) | None
    return annotation
