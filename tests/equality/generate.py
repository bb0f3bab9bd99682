"""Operations of a schema: valid by construction, of bounded depth and width, and as odd as a client may make them.

Invariants: follows from the random numbers that are given; a response name stands for one field with one set of arguments (and of
leaves one type) in the whole document, so that all selections can be merged wherever fragments carry them.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from graphql import (
    GraphQLArgument,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    is_composite_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
)

from tests.equality.values import Drawer, Drawn, Given

Composite = GraphQLObjectType | GraphQLInterfaceType
Draw = Callable[[random.Random, str, str, str], Any]
"""A value for an argument, by parent type, field and argument."""

MAX_DEPTH: Final = 6
MAX_ROWS: Final = 90
"""Objects of one selection at the most, as far as arguments tell."""
ALIASES: Final = (
    "class", "None", "def", "constructor", "self", "__slots__", "__dict__", "__class__", "__proto__", "__init__", "f0", "f1", "d0",
    "p0", "id", "key", "version", "name", "total", "nodes", "edges", "cursor", "a", "A", "_", "_a", "data", "errors", "x" * 60,
)  # fmt: skip
_PAGED: Final = frozenset({"first", "after", "last", "before"})
_VARIABLE: Final = re.compile(r"\$(\w+)")


class Generated(NamedTuple):
    """An operation as a client sends it."""

    text: str
    variables: dict[str, Any] | None
    operation_name: str | None


class _Fragment(NamedTuple):
    name: str
    on: Composite
    depth: int
    rows: int
    text: str


class _Selected(NamedTuple):
    """Selections as text; how deep they go, and how many rows of theirs there are for one object."""

    text: str
    depth: int
    rows: int


@dataclass
class Generator:
    """Makes operations of `schema`; `draw` gives values to its arguments."""

    schema: GraphQLSchema
    draw: Draw

    def operation(self, rng: random.Random) -> Generated:
        """One operation."""
        return _Document(self.schema, rng, Drawer(rng, self.draw), budget=rng.choice([4, 8, 16, 26])).made()


@dataclass
class _Document:
    """One document while it grows."""

    schema: GraphQLSchema
    rng: random.Random
    drawer: Drawer
    budget: int
    taken: dict[str, tuple[str, str, str]] = field(default_factory=dict[str, tuple[str, str, str]])
    fragments: list[_Fragment] = field(default_factory=list[_Fragment])

    def made(self) -> Generated:
        root = self.schema.query_type
        assert root is not None
        body = self._selections(root, 0, 1).text
        fragments = self._reached(body)
        whole = body + "".join(fragment.text for fragment in fragments)
        used = [given for name, given in self.drawer.given.items() if f"${name}" in set(_names(whole))]
        shorthand = not used and self.rng.random() < 0.3
        name = self.rng.choice(["Q", "query", "on_", "fragment", ""])
        head = (
            "" if shorthand else f"query {name}" + (f"({' '.join(given.declared for given in used)})" if used else "")
        )
        parts = [f"{head} {body}", *(fragment.text for fragment in fragments)]
        asked = None
        if name and not shorthand and self.rng.random() < 0.08:
            asked = name
            parts.append("query Other { __typename }")
        self.rng.shuffle(parts)
        variables = self._variables(used)
        return Generated("\n".join(parts), variables, asked)

    def _variables(self, used: Sequence[Given]) -> dict[str, Any] | None:
        """What is sent: now and then also what nobody asked for, or nothing at all where nothing is needed."""
        found = {given.name: given.value for given in used if given.is_sent}
        if used and self.rng.random() < 0.02:
            found = self.drawer.spoilt(found, used)
        if self.rng.random() < 0.05:
            found["unknown"] = [1]
        return found if found or self.rng.random() < 0.5 else None

    def _reached(self, body: str) -> list[_Fragment]:
        by_name = {fragment.name: fragment for fragment in self.fragments}
        found: dict[str, _Fragment] = {}
        waiting = [body]
        while waiting:
            for name in re.findall(r"\.\.\.(F\d+)\b", waiting.pop()):
                if name not in found:
                    found[name] = by_name[name]
                    waiting.append(by_name[name].text)
        return list(found.values())

    def _selections(self, on: Composite, depth: int, rows: int) -> _Selected:
        """A selection set with its braces; `rows` is how many objects it is shown of."""
        parts: list[_Selected] = []
        for _ in range(self.rng.choice([1, 2, 2, 3, 4, 5])):
            if parts and self.budget <= 0:
                break
            self.budget -= 1
            parts += self._selection(on, depth, rows)
        if not parts:
            parts = [_Selected("__typename", 0, 1)]
        if self.rng.random() < 0.1:
            parts.append(self.rng.choice(parts))
        text = " ".join(part.text for part in parts)
        return _Selected(f"{{ {text} }}", max(part.depth for part in parts), max(part.rows for part in parts))

    def _selection(self, on: Composite, depth: int, rows: int) -> list[_Selected]:
        chance = self.rng.random() * (0.5 if isinstance(on, GraphQLInterfaceType) else 1)
        if chance < 0.05:
            return [_Selected(f"{self._aliased('__typename', '', 'String!')}{self._directives()}", 0, 1)]
        if chance < 0.14 or (chance < 0.25 and isinstance(on, GraphQLInterfaceType)):
            to = self.rng.choice([None, on, *self._narrower(on)])
            inner = self._selections(to or on, depth, rows)
            condition = "" if to is None else f" on {to.name}"
            return [inner._replace(text=f"...{condition}{self._directives()} {inner.text}")]
        if chance < 0.24 or (chance < 0.35 and isinstance(on, GraphQLInterfaceType)):
            return self._spread(on, depth, rows)
        return self._field(on, depth, rows)

    def _narrower(self, on: Composite) -> list[Composite]:
        """Types that share objects with it."""
        if isinstance(on, GraphQLInterfaceType):
            return [kind for kind in self.schema.get_possible_types(on) if isinstance(kind, GraphQLObjectType)]
        return [*on.interfaces]

    def _spread(self, on: Composite, depth: int, rows: int) -> list[_Selected]:
        fitting = [
            fragment
            for fragment in self.fragments
            if fragment.on in (on, *self._narrower(on))
            and depth + fragment.depth <= MAX_DEPTH
            and rows * fragment.rows <= MAX_ROWS
        ]
        if fitting and self.rng.random() < 0.6:
            found = self.rng.choice(fitting)
        else:
            to = self.rng.choice([on, on, *self._narrower(on)])
            inner = self._selections(to, depth, rows)
            name = f"F{len(self.fragments)}"
            text = f"fragment {name} on {to.name} {inner.text}"
            found = _Fragment(name, to, inner.depth, inner.rows, text)
            self.fragments.append(found)
        return [_Selected(f"...{found.name}{self._directives()}", found.depth, found.rows)]

    def _field(self, on: Composite, depth: int, rows: int) -> list[_Selected]:
        names = list(on.fields)
        leaves = [name for name in names if is_leaf_type(get_named_type(on.fields[name].type))]
        if depth >= MAX_DEPTH or self.budget <= 0:
            names = leaves
        elif len(leaves) < len(names) and self.rng.random() < 0.4:
            names = [name for name in names if name not in leaves]
        if not names:
            return []
        name = self.rng.choice(names)
        kind = on.fields[name]
        target = get_named_type(kind.type)
        arguments, shown = self._arguments(on.name, name, kind, rows)
        if rows * shown > MAX_ROWS:
            return []
        leaf = "" if is_composite_type(target) else str(kind.type)
        head = f"{self._aliased(name, arguments, leaf)}{arguments}{self._directives()}"
        if not isinstance(target, Composite):
            return [_Selected(head, 0, 1)]
        inner = self._selections(target, depth + 1, rows * shown)
        return [_Selected(f"{head} {inner.text}", inner.depth + 1, inner.rows * shown)]

    def _arguments(self, on: str, name: str, kind: GraphQLField, rows: int) -> tuple[str, int]:
        """The arguments of a field as text, and how many rows it shows."""
        chosen = {argument: at for argument, at in kind.args.items() if is_non_null_type(at.type)}
        chosen |= {at: kind.args[at] for at in kind.args if at not in _PAGED and self.rng.random() < 0.35}
        shown = 1
        drawn: dict[str, Drawn] = {}
        if "first" in kind.args:
            chosen |= {at: kind.args[at] for at in self._paging(kind) if at in kind.args}
            if rows > 4 and not {"first", "last"} & chosen.keys():
                chosen["first"] = kind.args["first"]
        for argument, at in self._shuffled(chosen):
            drawn[argument] = self.drawer.argument(on, name, argument, at)
        if "first" in kind.args:
            sizes = [drawn[at].most for at in ("first", "last") if at in drawn]
            shown = min(max(sizes, default=20), 20)
        elif is_list_type(kind.type.of_type if is_non_null_type(kind.type) else kind.type):
            shown = 3
        text = self.rng.choice([", ", " "]).join(f"{argument}: {value.text}" for argument, value in drawn.items())
        return f"({text})" if text else "", max(shown, 1)

    def _paging(self, kind: GraphQLField) -> Sequence[str]:
        good = [(), ("first",), ("first",), ("first", "after"), ("after",), ("last",), ("last", "before")]
        if self.rng.random() < 0.97:
            return self.rng.choice(good if "last" in kind.args else good[:5])
        return self.rng.sample(sorted(_PAGED), self.rng.randint(1, 4))

    def _shuffled(self, chosen: dict[str, GraphQLArgument]) -> list[tuple[str, GraphQLArgument]]:
        return self.rng.sample(list(chosen.items()), len(chosen))

    def _aliased(self, name: str, arguments: str, leaf: str) -> str:
        """`name`, or `alias: name`: a response name that means this and nothing else."""
        meaning = (name, arguments, leaf)
        wanted = [name] if self.rng.random() < 0.75 else []
        wanted += self.rng.sample(ALIASES, 3)
        for response in [*wanted, f"a{len(self.taken)}"]:
            if self.taken.setdefault(response, meaning) == meaning:
                return name if response == name else f"{response}: {name}"
        raise AssertionError("every alias is taken")

    def _directives(self) -> str:
        if self.rng.random() > 0.08:
            return ""
        names = self.rng.choice([["skip"], ["include"], ["include"], ["skip", "include"], ["include", "skip"]])
        return "".join(f" @{name}(if: {self.drawer.flag(name)})" for name in names)


def _names(text: str) -> list[str]:
    return [f"${name}" for name in _VARIABLE.findall(text)]
