"""The checked graph: what every type, field, root field and command is, and where each was declared.

Invariants: frozen, complete (every target is present), free of Strawberry types; names are Python names, `camel` gives GraphQL's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import msgspec
from strawberry.utils.str_converters import to_camel_case

from projections.declare import Index, Projection
from projections.shape import FieldType
from projections.timeline import Timeline
from schema.declare import Computed, Example, Find, Get, Many, Metadata, One, Stored
from schema.marks import RowRule
from schema.per_key import Measured, Timed


class Kind(Enum):
    """What a field is made of."""

    STORED = "stored"
    NESTED = "nested"
    COMPUTED = "computed"
    ONE = "one"
    MANY = "many"
    MEASURE = "measure"
    TIMELINE = "timeline"
    CODE = "code"


@dataclass(frozen=True)
class FieldModel:
    """A field of an entity or a part.

    `type` is the public annotation taken apart; `target` the GraphQL name of the object that it leads to, if it does;
    `code` the author's Strawberry field when the kind is CODE, else None; `index`/`via` are set for MANY, `via` for ONE.
    """

    name: str
    kind: Kind
    type: FieldType
    metadata: Metadata
    place: str
    target: str | None = None
    declaration: Stored | Computed | One | Many | Measured | Timed | None = None
    code: Any = None
    connection: bool = False
    index: Index[Any] | None = None
    via: str | None = None
    personal: bool = False

    @property
    def graphql_name(self) -> str:
        """The name that clients use."""
        return camel(self.name)


@dataclass(frozen=True)
class ObjectModel:
    """An entity (it has a projection), or a part nested in one. `owner` is the context that owns the aggregate."""

    name: str
    context: str
    owner: str
    cls: type[Any]
    view: type[msgspec.Struct]
    projection: Projection[Any, Any] | None
    fields: Mapping[str, FieldModel]
    description: str | None
    tags: tuple[str, ...]
    rows: RowRule | None


@dataclass(frozen=True)
class KeptBy:
    """What a measure is kept by: the field of the view, or the function's name and result; None for what is not said."""

    name: str | None
    type: FieldType | None


@dataclass(frozen=True)
class RootModel:
    """A field of Query: `get`, `find` or `measure`.

    `target` is the entity that it leads to, empty for a measure; `type` and `by` (whole) are a measure's type and argument.
    """

    name: str
    context: str
    declaration: Get | Find | Measured
    target: str
    place: str
    type: FieldType | None = None
    by: KeptBy | None = None


@dataclass(frozen=True)
class InputField:
    """A field of an input. `ref` names the entity that a Ref leads to, `nested` the input that it holds."""

    name: str
    type: FieldType
    required: bool
    ref: str | None = None
    nested: str | None = None

    @property
    def graphql_name(self) -> str:
        """The name that clients use, and the one in the command's body."""
        return camel(self.name)


@dataclass(frozen=True)
class InputModel:
    """An input type; one that a command takes also gets `commandId` and perhaps `expectedVersion` when it is built."""

    name: str
    fields: Mapping[str, InputField]
    description: str | None


@dataclass(frozen=True)
class CommandModel:
    """A field of Mutation. `path_fields` are the input's fields that fill the path; the first names what is changed."""

    name: str
    context: str
    service: str
    path: str
    path_fields: tuple[str, ...]
    input: str
    reads: str
    metadata: Metadata
    place: str

    @property
    def changes_existing(self) -> bool:
        """Whether the path names an entity, so that `expectedVersion` makes sense."""
        return bool(self.path_fields)

    @property
    def title(self) -> str:
        """The command's name in type names: PlaceOrder."""
        name = camel(self.name)
        return name[0].upper() + name[1:]


@dataclass(frozen=True)
class Graph:
    """Everything that the composed contexts declare, checked against each other."""

    objects: Mapping[str, ObjectModel]
    enums: Mapping[str, type[Enum]]
    inputs: Mapping[str, InputModel]
    queries: Mapping[str, RootModel]
    commands: Mapping[str, CommandModel]
    examples: tuple[Example, ...]
    timelines: Mapping[str, Timeline[Any]]

    @property
    def entities(self) -> dict[str, ObjectModel]:
        """The objects that are entities, by GraphQL name."""
        return {name: model for name, model in self.objects.items() if model.projection is not None}

    def entity_of(self, projection: Projection[Any, Any]) -> ObjectModel:
        """The entity that shows a projection's views. Raises KeyError."""
        for model in self.objects.values():
            if model.projection is not None and model.projection.name == projection.name:
                return model
        raise KeyError(projection.name)


def camel(name: str) -> str:
    """The GraphQL name of a Python name."""
    return to_camel_case(name)
