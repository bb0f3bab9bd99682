"""Input types as fresh Strawberry classes, and their values as what a command's body says.

Invariants: what a client leaves out is not in the body; a Ref is checked and handed on as the key; the body is camelCase JSON in
the wire form of every scalar.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

import strawberry

from schema.errors import BadIdError
from schema.ids import key_of
from schema.model import CommandModel, Graph, InputField, InputModel


class InputBuilder:
    """Builds every input type of a graph once, and reads their values."""

    def __init__(self, graph: Graph, enum: Callable[[type[Enum]], type[Enum]]) -> None:
        self._graph = graph
        self._enum = enum
        self._entities = frozenset(graph.entities)
        self._shells: dict[str, type[Any]] = {name: type(name, (), {}) for name in graph.inputs}
        commands = {command.input: command for command in graph.commands.values()}
        for name, model in graph.inputs.items():
            self._fill(self._shells[name], model, commands.get(name))

    def shell(self, name: str) -> type[Any]:
        """The class of an input type."""
        return self._shells[name]

    def body(self, model: InputModel, value: Any, path: str = "") -> dict[str, Any]:
        """The JSON object of an input's value. Raises BadIdError naming the field."""
        found: dict[str, Any] = {}
        for field in model.fields.values():
            item = getattr(value, field.name)
            if item is not strawberry.UNSET:
                found[field.graphql_name] = self._plain(field, item, f"{path}{field.graphql_name}")
        return found

    def _plain(self, field: InputField, value: Any, path: str) -> Any:
        if value is None:
            return None
        if isinstance(value, list):
            return [self._plain(field, item, f"{path}.{number}") for number, item in enumerate(value)]
        if field.ref is not None:
            try:
                return key_of(str(value), field.ref, self._entities)
            except BadIdError as error:
                raise BadIdError(f"{path}: {error}") from None
        if field.nested is not None:
            return self.body(self._graph.inputs[field.nested], value, f"{path}.")
        return value.value if isinstance(value, Enum) else value

    def _fill(self, shell: type[Any], model: InputModel, command: CommandModel | None) -> None:
        annotations: dict[str, Any] = {}
        for field in model.fields.values():
            annotations[field.name] = self._annotation(field)
            if not field.required:
                setattr(shell, field.name, strawberry.field(default=strawberry.UNSET))
        if command is not None:
            extra: Mapping[str, tuple[Any, str]] = {
                "command_id": (strawberry.ID, "The idempotency key; made by the gateway when absent."),
                "expected_version": (int, "Refuse (VersionConflict) unless it is at this version."),
            }
            for name, (kind, description) in extra.items():
                if name == "expected_version" and not command.changes_existing:
                    continue
                annotations[name] = kind | None
                setattr(shell, name, strawberry.field(default=strawberry.UNSET, description=description))
        shell.__annotations__ = annotations
        strawberry.input(shell, name=model.name)

    def _annotation(self, field: InputField) -> Any:
        kind = field.type
        item: Any = kind.item
        if field.ref is not None:
            item = strawberry.ID
        elif field.nested is not None:
            item = self._shells[field.nested]
        elif issubclass(item, Enum):
            item = self._enum(item)
        if kind.is_list:
            item = list[item | None] if kind.item_nullable else list[item]
        return item | None if kind.nullable else item
