"""The variables of an operation, coerced (CoerceVariableValues of the specification).

Invariants: the readers are made once per operation; a value that fits comes out as graphql-core's own coercion has it; what
does not fit is told by variable, path and type, and never by its value. Defaults are shared: nobody changes a coerced value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from graphql import (
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLSchema,
    Undefined,
    VariableDefinitionNode,
    get_location,
    type_from_ast,
)
from graphql.type import (
    GRAPHQL_MAX_INT,
    GRAPHQL_MIN_INT,
    GraphQLID,
    GraphQLInt,
    GraphQLString,
    is_required_input_field,
)
from graphql.utilities.coerce_input_value import coerce_default_value, coerce_input_literal

from gateway.errors import VariablesError
from schema.errors import BadInputError

MAX_PROBLEMS: Final = 20
"""Of one request, each of another variable: whoever has that many learns no more from the next."""
_MAX_NESTING: Final = 200
"""Of a value along types that hold themselves; graphql-core's own bound."""
_NAME: Final = re.compile(r"[_A-Za-z][_0-9A-Za-z]{0,39}\Z")

Read: TypeAlias = Callable[[Any, int], Any]
"""Coerces a value at a depth. Raises _MisfitError."""


class _MisfitError(Exception):
    """A value that does not fit, what is wrong in words, and, outermost last, where in the variable."""

    def __init__(self, problem: str, *path: str | int) -> None:
        super().__init__(problem)
        self.problem = problem
        self.path = list(path)


class _Variable:
    """One variable: how it is read, and what it is when it is not given."""

    def __init__(self, node: VariableDefinitionNode, kind: GraphQLInputType, read: Read) -> None:
        self.name = node.variable.name.value
        self.read = read
        self.is_required = isinstance(kind, GraphQLNonNull)
        self.wanted = str(kind)
        self.default: Any = Undefined
        if node.default_value is not None:
            self.default = coerce_input_literal(node.default_value, kind)
        self._node = node

    def problem(self, misfit: _MisfitError) -> dict[str, Any]:
        """An error of the answer. It is located where the variable is declared, as the specification has it."""
        place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in reversed(misfit.path))
        found: dict[str, Any] = {"message": f"Variable ${_short(self.name)}{place} {misfit.problem}"}
        if self._node.loc:
            at = get_location(self._node.loc.source, self._node.loc.start)
            found["locations"] = [{"line": at.line, "column": at.column}]
        return {**found, "extensions": {"code": "BAD_USER_INPUT"}}


class VariableReader:
    """Reads the variables of one operation, which is valid."""

    def __init__(self, schema: GraphQLSchema, nodes: Sequence[VariableDefinitionNode]) -> None:
        readers: dict[str, Read] = {}
        self._variables: list[_Variable] = []
        for node in nodes:
            kind: Any = type_from_ast(schema, node.type)
            self._variables.append(_Variable(node, kind, _reader(kind, readers)))

    @property
    def is_empty(self) -> bool:
        """Whether the operation has none."""
        return not self._variables

    def read(self, given: Mapping[str, Any] | None) -> dict[str, Any]:
        """Coerced values; a variable that was left out and has no default is not there, one that nobody declared is ignored.

        Raises VariablesError with an error for each variable that does not fit.
        """
        found: dict[str, Any] = {}
        problems: list[dict[str, Any]] = []
        given = given or {}
        for variable in self._variables:
            value = given.get(variable.name, Undefined)
            if value is Undefined:
                if variable.default is not Undefined:
                    found[variable.name] = variable.default
                elif variable.is_required:
                    problems.append(variable.problem(_MisfitError(f"is missing: expected {variable.wanted}")))
                continue
            try:
                found[variable.name] = variable.read(value, 0)
            except _MisfitError as misfit:
                problems.append(variable.problem(misfit))
            except RecursionError:
                problems.append(variable.problem(_MisfitError("is nested too deeply")))
        if problems:
            raise VariablesError(problems[0]["message"], problems[:MAX_PROBLEMS])
        return found


def _short(name: str) -> str:
    """A name of the document's, which may be long."""
    return name if len(name) <= 40 else name[:37] + "..."


def _reader(kind: GraphQLInputType, readers: dict[str, Read]) -> Read:
    """How values of a type are read; made once per type, as types may hold themselves."""
    name = str(kind)
    if name not in readers:
        made: list[Read] = []
        readers[name] = lambda value, depth: made[0](value, depth)
        if isinstance(kind, GraphQLNonNull):
            made.append(_not_null(_reader(kind.of_type, readers), name))
        elif isinstance(kind, GraphQLList):
            made.append(_list(_reader(kind.of_type, readers)))
        elif isinstance(kind, GraphQLInputObjectType):
            made.append(_object(kind, readers))
        else:
            made.append(_leaf(kind))
        readers[name] = made[0]
    return readers[name]


def _not_null(inner: Read, name: str) -> Read:
    def read(value: Any, depth: int) -> Any:
        if value is None:
            raise _MisfitError(f"is null: expected {name}")
        return inner(value, depth)

    return read


def _list(inner: Read) -> Read:
    def read(value: Any, depth: int) -> Any:
        if value is None:
            return None
        if not isinstance(value, list):
            return [inner(value, depth + 1)]  # the specification's way with a single item
        found: list[Any] = []
        try:
            for item in value:
                found.append(inner(item, depth + 1))  # noqa: PERF401 - how far it came is the path
        except _MisfitError as misfit:
            misfit.path.append(len(found))
            raise
        return found

    return read


def _object(kind: GraphQLInputObjectType, readers: dict[str, Read]) -> Read:
    fields = [
        (name, field.out_name or name, _reader(field.type, readers), field) for name, field in kind.fields.items()
    ]
    names = kind.fields.keys()

    def read(value: Any, depth: int) -> Any:
        if value is None:
            return None
        if not isinstance(value, dict):
            raise _MisfitError(f"does not fit: expected {kind.name}")
        if value and depth >= _MAX_NESTING:
            raise _MisfitError("is nested too deeply")
        for name in value:
            if name not in names:
                told = f" {name}" if isinstance(name, str) and _NAME.match(name) else ""
                raise _MisfitError(f"has a field{told} that {kind.name} does not have")
        found: dict[str, Any] = {}
        for name, out_name, inner, field in fields:
            if name in value:
                try:
                    found[out_name] = inner(value[name], depth + 1)
                except _MisfitError as misfit:
                    misfit.path.append(name)
                    raise
                continue
            if is_required_input_field(field):
                raise _MisfitError(f"is missing: expected {field.type}", name)
            default = coerce_default_value(field)
            if default is not Undefined:
                found[out_name] = default
        if kind.is_one_of and (len(value) != 1 or len(found) != 1 or None in found.values()):
            raise _MisfitError(f"does not fit: {kind.name} takes exactly one field, which is not null")
        return kind.out_type(found)

    return read


def _leaf(kind: Any) -> Read:
    coerce: Callable[[Any], Any] = kind.coerce_input_value
    quick = _QUICK.get(kind, _never)

    def read(value: Any, depth: int) -> Any:
        if value is None or quick(value):
            return value
        try:
            found = coerce(value)
        except BadInputError as reason:  # our own scalars' words, which repeat no value
            raise _MisfitError(f"does not fit: expected {kind.name}: {reason}") from None
        except Exception:  # noqa: BLE001 - as graphql-core: what a scalar raises is its way to refuse
            raise _MisfitError(f"does not fit: expected {kind.name}") from None
        if found is Undefined:
            raise _MisfitError(f"does not fit: expected {kind.name}")
        return found

    return read


def _is_text(value: Any) -> bool:
    return type(value) is str


def _is_int(value: Any) -> bool:
    return type(value) is int and GRAPHQL_MIN_INT <= value <= GRAPHQL_MAX_INT


def _never(value: Any) -> bool:
    return False


_QUICK: Final[Mapping[Any, Callable[[Any], bool]]] = {GraphQLID: _is_text, GraphQLString: _is_text, GraphQLInt: _is_int}
"""Values that the specification's own scalars take as they are."""
