"""Values of arguments: as literals, or as variables with and without defaults, sent, null or left out.

Invariants: a variable may stand where it is used, whatever is sent for it; that what is sent fits is left to chance.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from graphql import GraphQLArgument, GraphQLEnumType, GraphQLList, GraphQLNonNull, get_named_type

_SPOILT: Final[Mapping[str, Sequence[Any]]] = {
    "Int": ["1", 1.5, True, 2**31, -(2**31) - 1, [], {}],
    "String": [7, True, ["a"], {}],
    "ID": [True, 1.5, {}, []],
    "Boolean": ["true", 1, 0, []],
    "Date": ["2026-13-01", "yesterday", 5, "2026-1-1", "2026-01-01T00:00:00Z", ""],
}
_SPOILT_ENUM: Final[Sequence[Any]] = ["placed", "NOPE", 3, True, ""]


class Drawn(NamedTuple):
    """An argument's value as text, and of a number the most that it can be."""

    text: str
    most: int


@dataclass
class Given:
    """A variable: how it is declared, and what is sent for it."""

    name: str
    type: str
    default: Any
    value: Any
    is_sent: bool
    declared: str


@dataclass
class Drawer:
    """Draws values with `draw`, and keeps the variables that it made."""

    rng: random.Random
    draw: Callable[[random.Random, str, str, str], Any]
    given: dict[str, Given] = field(default_factory=dict[str, Given])
    _roles: dict[tuple[str, str], list[Given]] = field(default_factory=dict[tuple[str, str], list[Given]])

    def argument(self, parent: str, name: str, argument: str, kind: GraphQLArgument) -> Drawn:
        """A value for an argument."""
        at: Any = kind.type
        bare = at.of_type if isinstance(at, GraphQLNonNull) else at
        if isinstance(bare, GraphQLList):
            return self._list(parent, name, argument, str(at))
        role = f"{parent}.{name}.{argument}"
        chance = self.rng.random()
        if chance < 0.45:
            return self._variable(role, at, lambda: self._value(parent, name, argument, bare))
        if chance < 0.47 and not isinstance(at, GraphQLNonNull):
            return Drawn("null", 20)
        value = self._value(parent, name, argument, bare)
        return Drawn(self._literal(value, bare), value if isinstance(value, int) else 20)

    def flag(self, directive: str) -> str:
        """What a directive goes by: true or false, or a variable."""
        if self.rng.random() < 0.35:
            return self.rng.choice(["true", "false"])
        return self._made("flag", "Boolean", True, lambda: self.rng.random() < 0.6).text

    def spoilt(self, sent: dict[str, Any], used: Sequence[Given]) -> dict[str, Any]:
        """The same with a value that does not fit its type."""
        one = self.rng.choice(used)
        bare = one.type.strip("[]!")
        choices: list[Any] = [*_SPOILT.get(bare, _SPOILT_ENUM)]
        if one.type.startswith("["):
            choices = [[None], ["Order:o-1", True], True, None, 1.5]
        elif one.type.endswith("!"):
            choices.append(None)
        return {**sent, one.name: self.rng.choice(choices)}

    def _value(self, parent: str, name: str, argument: str, bare: Any) -> Any:
        named = get_named_type(bare)
        if isinstance(named, GraphQLEnumType):
            return self.rng.choice(list(named.values))
        return self.draw(self.rng, parent, name, argument)

    def _list(self, parent: str, name: str, argument: str, at: str) -> Drawn:
        """A list of ids: as a literal, with variables in it, as one variable; or one id that stands for a list of one."""
        count = self.rng.choice([0, 1, 2, 3, 5]) if self.rng.random() < 0.99 else 101
        values = [self.draw(self.rng, parent, name, argument) for _ in range(count)]
        chance = self.rng.random()
        if chance < 0.4:
            sent: Any = values[0] if len(values) == 1 and self.rng.random() < 0.5 else values
            return Drawn(self._keep("list", at, False, None, sent, is_sent=True).text, 20)
        if chance < 0.5 and values:
            return Drawn(_id_literal(values[0]), 1)
        items = [
            self._made("item", "ID", True, lambda value=value: value).text  # type: ignore[misc]
            if self.rng.random() < 0.2
            else _id_literal(value)
            for value in values
        ]
        return Drawn(f"[{', '.join(items)}]", len(items))

    def _variable(self, role: str, at: Any, value: Callable[[], Any]) -> Drawn:
        bare = str(at).rstrip("!")
        return self._made(role, bare, isinstance(at, GraphQLNonNull), value)

    def _made(self, role: str, bare: str, must_be: bool, value: Callable[[], Any]) -> Drawn:
        """A variable of a type, an old one of the same role or a new one; `must_be`: it stands where no null may."""
        known = self._roles.setdefault((role, bare), [])
        if known and self.rng.random() < 0.4:
            old = self.rng.choice(known)
            return Drawn(f"${old.name}", _most(old))
        is_strict = self.rng.random() < (0.8 if must_be else 0.15)
        with_default = must_be if not is_strict else self.rng.random() < 0.1
        with_default = with_default or self.rng.random() < 0.15
        default = value() if with_default else None
        is_sent = (is_strict and not with_default) or self.rng.random() < 0.7
        sent = value()
        if is_sent and not is_strict and self.rng.random() < (0.04 if must_be else 0.08):
            sent = None
        made = self._keep(role, f"{bare}{'!' if is_strict else ''}", with_default, default, sent, is_sent=is_sent)
        known.append(self.given[made.text[1:]])
        return made

    def _keep(self, role: str, type_name: str, with_default: bool, default: Any, value: Any, *, is_sent: bool) -> Drawn:
        names = ("if", "first", "None", "class", "v", "_", "__proto__")
        name = self.rng.choice(names) if self.rng.random() < 0.1 else f"v{len(self.given)}"
        name = f"v{len(self.given)}" if name in self.given else name
        literal = ""
        if with_default:
            is_enum = type_name.strip("[]!") not in _SPOILT
            literal = f" = {default if is_enum else _literal(default)}"
        given = Given(name, type_name, default, value, is_sent, f"${name}: {type_name}{literal}")
        self.given[name] = given
        return Drawn(f"${name}", _most(given))

    def _literal(self, value: Any, kind: Any) -> str:
        if isinstance(get_named_type(kind), GraphQLEnumType):
            return str(value)
        if isinstance(value, str) and value.isalnum() and value.isascii() and self.rng.random() < 0.05:
            return f'"""{value}"""'
        return _literal(value)


def _most(given: Given) -> int:
    numbers = [value for value in (given.default, given.value) if isinstance(value, int)]
    return max(numbers, default=20)


def _literal(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return json.dumps(value, ensure_ascii=False)


def _id_literal(value: Any) -> str:
    return _literal(value)
