"""What is told of literals in a document: where, and what was expected there, in our own words and never the value itself.

Invariants: pure; the rule finds what graphql-core's own rule of that name finds, in the same order and at the same places.
"""

from __future__ import annotations

import re
from typing import Any, Final, TypeAlias

from graphql import (
    ArgumentNode,
    GraphQLError,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLSyntaxError,
    ListValueNode,
    Node,
    NullValueNode,
    ObjectValueNode,
    ValidationRule,
    ValueNode,
    VariableDefinitionNode,
    VariableNode,
)
from graphql.type import is_input_object_type, is_list_type, is_non_null_type, is_required_input_field
from graphql.utilities.validate_input_value import validate_input_literal

from schema.errors import BadInputError

MAX_NAME_CHARACTERS: Final = 40
"""Of a name that the document makes up; the schema's own are shown whole."""
_END_STEPS: Final = 4
"""Of a path that is shown, at each of its ends, so that there is room for what is wrong."""
_VALUE: Final = re.compile(r"\b(Int|Float|String|BlockString|sequence):? '.*'\.\Z", re.DOTALL)
_SUGGESTED_NUMBER: Final = re.compile(r", did you mean '[0-9.]+'\?\Z")

At: TypeAlias = "str | tuple[At, str]"
"""A place: an argument or a default in words, or a field or an item in another place."""


class LiteralsRule(ValidationRule):
    """Values of Correct Type, as the specification calls it: literals fit what they are given to."""

    def enter_argument(self, node: ArgumentNode, *_: Any) -> None:
        """Looks at the value of an argument, of a field's or of a directive's."""
        self._check(node.value, f"Argument {_short(node.name.value)}")

    def enter_variable_definition(self, node: VariableDefinitionNode, *_: Any) -> None:
        """Looks at the default of a variable."""
        if node.default_value is not None:
            self._check(node.default_value, f"The default of ${_short(node.variable.name.value)}")

    def _check(self, node: ValueNode, at: At) -> None:
        kind = self.context.get_input_type()
        if kind is not None:  # else it is another rule's: there is no such argument, or no such type
            self._look(node, kind, at)

    def _look(self, node: ValueNode, kind: GraphQLInputType, at: At) -> None:
        if isinstance(node, VariableNode):
            return
        if is_non_null_type(kind):
            if isinstance(node, NullValueNode):
                self._tell(node, at, f"is null: expected {kind}")
                return
            kind = kind.of_type
        if isinstance(node, NullValueNode):
            return
        if is_list_type(kind):
            if isinstance(node, ListValueNode):
                for number, item in enumerate(node.values):
                    self._look(item, kind.of_type, (at, f"[{number}]"))
            else:
                self._look(node, kind.of_type, at)  # the specification's way with a single item
        elif is_input_object_type(kind):
            self._look_into(node, kind, at)
        else:
            self._look_at_leaf(node, kind, at)

    def _look_into(self, node: ValueNode, kind: GraphQLInputObjectType, at: At) -> None:
        if not isinstance(node, ObjectValueNode):
            self._tell(node, at, f"does not fit: expected {kind.name}")
            return
        given = {field.name.value: field.value for field in node.fields}
        for name, field in kind.fields.items():
            if name in given:
                self._look(given[name], field.type, (at, f".{name}"))
            elif is_required_input_field(field):
                self._tell(node, (at, f".{name}"), f"is missing: expected {field.type}")
        for unknown in node.fields:
            if unknown.name.value not in kind.fields:
                self._tell(unknown, at, f"has a field {_short(unknown.name.value)} that {kind.name} does not have")
        if kind.is_one_of:
            known = [field for field in node.fields if field.name.value in kind.fields]
            if len(known) != 1 or isinstance(known[0].value, NullValueNode):
                self._tell(node, at, f"does not fit: {kind.name} takes exactly one field, which is not null")

    def _look_at_leaf(self, node: ValueNode, kind: Any, at: At) -> None:
        found: list[GraphQLError] = []
        validate_input_literal(node, kind, lambda error, _: found.append(error), hide_suggestions=True)
        if found:
            reason = found[0].original_error
            words = f": {reason}" if isinstance(reason, BadInputError) else ""  # our own scalars' words repeat no value
            self._tell(node, at, f"does not fit: expected {kind.name}{words}")

    def _tell(self, node: Node, at: At, problem: str) -> None:
        self.report_error(GraphQLError(f"{_place(at)} {problem}", node))


def syntax_problem(error: GraphQLSyntaxError) -> str:
    """The message of an error of syntax, without the number or the text at which the reader stopped."""
    return _SUGGESTED_NUMBER.sub(".", _VALUE.sub(r"\1.", error.message))


def _place(at: At) -> str:
    steps: list[str] = []
    while isinstance(at, tuple):
        at, step = at
        steps.append(step)
    steps.reverse()
    if len(steps) > 2 * _END_STEPS:
        steps[_END_STEPS:-_END_STEPS] = ["..."]
    return at + "".join(steps)


def _short(name: str) -> str:
    return name if len(name) <= MAX_NAME_CHARACTERS else name[: MAX_NAME_CHARACTERS - 3] + "..."
