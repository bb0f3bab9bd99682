"""The values an author declares a graph with: entities, edges, queries, commands, bounded contexts.

Invariants: every declaration is data (a plan that the engine can compile), frozen, and does nothing by itself; whether it fits is
decided when contexts are composed (schema/model.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any, Generic, TypeAlias, TypeVar, dataclass_transform

import msgspec
import strawberry

from projections.declare import Index, KeywordOnly, Part, Projection
from schema.marks import ENTITY, EXTENSION, PART, EntityMark, ExtensionMark, PartMark, RowRule, as_given

T = TypeVar("T")

Info: TypeAlias = strawberry.Info[Any, None]
"""The `info` parameter of a field with Python code; `info.context` is a `schema.ports.RequestContext`."""


@dataclass(frozen=True)
class Metadata:
    """What is said about a field beside its type. Scope and tags are enforced by gateway/access, cost by gateway/engine/cost.py."""

    description: str | None = None
    deprecation: str | None = None
    tags: Sequence[str] = ()
    scope: str | None = None
    cost: int = 1


@dataclass(frozen=True)
class Stored:
    """A field that the view stores."""

    metadata: Metadata


@dataclass(frozen=True)
class Computed:
    """A pure function of stored fields, `fn(*needs)`."""

    fn: Callable[..., Any]
    needs: tuple[str, ...]
    metadata: Metadata


@dataclass(frozen=True)
class One:
    """An edge to the entity whose key the parent's field `via` holds."""

    projection: Projection[Any, Any]
    via: str
    metadata: Metadata


@dataclass(frozen=True)
class Many:
    """An edge to the rows of an index whose required filter `via` is the parent's key."""

    projection: Projection[Any, Any]
    index: Index[Any]
    via: str | None
    limit: int
    metadata: Metadata


@dataclass(frozen=True)
class Get:
    """A root field: one entity by id."""

    projection: Projection[Any, Any]
    metadata: Metadata


@dataclass(frozen=True)
class Find:
    """A root field: the rows of an index."""

    projection: Projection[Any, Any]
    index: Index[Any]
    metadata: Metadata


@dataclass(frozen=True)
class Command:
    """A mutation: `input` is sent to the service `to` at `path`; the changed entity `reads` can be selected in the answer."""

    input: type[Input]
    to: str
    path: str
    reads: type[Any]
    metadata: Metadata


FieldDeclaration: TypeAlias = Stored | Computed | One | Many | Get | Find


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Input(msgspec.Struct, metaclass=KeywordOnly, frozen=True, rename="camel"):
    """A command's input, or a part of one. `X | None = None` may be left out; what is left out is not sent.

    `commandId` is added to every command's input, `expectedVersion` to one whose path names an entity.
    """


class Ref(Generic[T]):
    """`customer: Ref[Customer]`: an input that names an entity by global id or key, and is handed on as the key."""


class Connection(Generic[T]):
    """`orders: Connection[Order]`: a Relay connection over the rows of an index."""


@dataclass(frozen=True)
class Example:
    """A tab of GraphiQL."""

    title: str
    query: str
    variables: Mapping[str, Any] = dataclass_field(default_factory=dict[str, Any])


def entity(
    projection: Projection[Any, Any], *, tags: Sequence[str] = (), rows: RowRule | None = None, owner: str | None = None
) -> Callable[[type[T]], type[T]]:
    """Declares the public type of a projection's views. Fields are matched by name; `id`, `key`, `version` are derived.

    Args:
        owner: the context whose service owns the aggregate, when that is not the one that shows it: tokens go by the owner.
    """

    def mark(cls: type[T]) -> type[T]:
        setattr(cls, ENTITY, EntityMark(projection, as_given(tags), rows, owner))
        return cls

    return mark


def part(view_part: type[Part]) -> Callable[[type[T]], type[T]]:
    """Declares the public type of an object nested in a view."""

    def mark(cls: type[T]) -> type[T]:
        setattr(cls, PART, PartMark(view_part))
        return cls

    return mark


def extension(extends: type[Any]) -> Callable[[type[T]], type[T]]:
    """Declares fields that this context adds to an upstream context's entity."""

    def mark(cls: type[T]) -> type[T]:
        setattr(cls, EXTENSION, ExtensionMark(extends))
        return cls

    return mark


def field(
    *,
    description: str | None = None,
    deprecation: str | None = None,
    tags: Sequence[str] = (),
    scope: str | None = None,
    cost: int = 1,
) -> Any:
    """A stored field about which more is to be said."""
    return Stored(Metadata(description, deprecation, as_given(tags), scope, cost))


def computed(
    fn: Callable[..., Any],
    *,
    needs: Sequence[str],
    description: str | None = None,
    deprecation: str | None = None,
    tags: Sequence[str] = (),
    scope: str | None = None,
    cost: int = 1,
) -> Any:
    """A field that is a pure function of stored fields: `fn` gets the values of `needs` in that order."""
    return Computed(fn, tuple(needs), Metadata(description, deprecation, as_given(tags), scope, cost))


def one(
    projection: Projection[Any, Any],
    *,
    via: str,
    description: str | None = None,
    deprecation: str | None = None,
    tags: Sequence[str] = (),
    scope: str | None = None,
    cost: int = 1,
) -> Any:
    """An edge to one entity: the view's field `via` holds its key. Null when that is null, or names nothing."""
    return One(projection, via, Metadata(description, deprecation, as_given(tags), scope, cost))


def many(
    projection: Projection[Any, Any],
    index: Index[Any],
    *,
    via: str | None = None,
    limit: int = 100,
    description: str | None = None,
    deprecation: str | None = None,
    tags: Sequence[str] = (),
    scope: str | None = None,
    cost: int = 1,
) -> Any:
    """An edge to the rows of an index that name the parent; `list[X]` or `Connection[X]` by the annotation.

    Args:
        via: the required filter that the parent's key is; may be left out when there is only one.
        limit: a plain list with more rows than this is refused (TOO_MANY_ROWS): use a connection.
    """
    return Many(projection, index, via, limit, Metadata(description, deprecation, as_given(tags), scope, cost))


def get(projection: Projection[Any, Any], *, description: str | None = None, scope: str | None = None) -> Any:
    """A root field that reads one entity by `id` (global id or key); null when there is none."""
    return Get(projection, Metadata(description, scope=scope))


def find(
    projection: Projection[Any, Any], index: Index[Any], *, description: str | None = None, scope: str | None = None
) -> Any:
    """A root field that lists an index; its filters are arguments."""
    return Find(projection, index, Metadata(description, scope=scope))


def command(
    input: type[Input],
    *,
    to: str,
    path: str,
    reads: type[Any],
    description: str | None = None,
    scope: str | None = None,
    cost: int = 10,
) -> Command:
    """A mutation that is forwarded as a command.

    Args:
        to: the service (a name in HEADRACE_SERVICES).
        path: below its base URL; `{order}` is the percent-encoded field `order` of the input.
        reads: the entity that the command changes.
    """
    return Command(input, to, path, reads, Metadata(description, scope=scope, cost=cost))


@dataclass(frozen=True)
class BoundedContext:
    """One team's share of the graph.

    Args:
        name: also the name of the service that owns it, and of its aggregates in tokens.
        entities: the types it owns.
        query, mutation: classes whose attributes are root fields.
        extensions: what it adds to upstream types.
        examples: tabs for GraphiQL.
    """

    name: str
    entities: Sequence[type[Any]] = ()
    query: type[Any] | None = None
    mutation: type[Any] | None = None
    extensions: Sequence[type[Any]] = ()
    examples: Sequence[Example] = ()
