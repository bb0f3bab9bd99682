"""An object of a plan while its selection is compiled: what it shows, and where that comes from.

Invariants: a draft is finished once, when everything that is selected of it, and of the parts in it, is known; only then is it
decided whether what is decoded can be encoded as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from graphql import FieldNode

from gateway.engine.objects import Child, Computed, Grouped, Nested, ObjectPlan, PartPlan
from gateway.engine.run import Edge
from gateway.engine.shapes import In, Shape, out_struct, picker


@dataclass(frozen=True)
class Nulls:
    """Where a field may be null: itself, and of a list its items (None: not a list)."""

    field: bool
    item: bool | None = None


@dataclass
class Slot:
    """One field of the answer: its name there, and the attribute in what is decoded. `nulls` is there for what may fail."""

    response: str
    source: str
    nodes: Sequence[FieldNode]
    nulls: Nulls | None = None
    edge: Callable[[str], Edge] | None = None
    part: Draft | None = None
    part_name: str = ""
    is_list: bool = False
    computed: Callable[[str], Computed] | None = None
    grouped: Callable[[str], Grouped] | None = None
    constant: str | None = None


@dataclass
class Draft:
    """What is known so far."""

    read: In
    prefix: str | None = None
    """Begins the global ids of an entity; None for a part."""
    slots: list[Slot] = field(default_factory=list[Slot])
    ids: list[int] = field(default_factory=list[int])
    keys: list[int] = field(default_factory=list[int])
    versions: list[int] = field(default_factory=list[int])
    key_edges: list[int] = field(default_factory=list[int])
    hidden: Callable[[Any, Mapping[str, str]], bool] | None = None

    def add(self, slot: Slot) -> int:
        """The place of the slot."""
        self.slots.append(slot)
        return len(self.slots) - 1

    def finish(self, children: dict[type[Any], Sequence[Child]], *, is_shared: bool = False) -> PartPlan | ObjectPlan:
        """The plan; notes in `children` which attributes may hold failures.

        `is_shared`: what is decoded is shown more than once, so each time as an object of its own.
        """
        sources = tuple(slot.source for slot in self.slots)
        nested = self._nested(children, is_shared=is_shared)
        struct = self.read.struct(sources)
        names = self.read.stored_names()
        is_direct = (
            not is_shared
            and len(set(sources)) == len(sources)
            and sources == struct.__struct_fields__
            and all(names[slot.source] == slot.response for slot in self.slots)
        )
        out = None if is_direct else out_struct(tuple(slot.response for slot in self.slots))
        attributes = sources if is_direct else tuple(f"f{place}" for place in range(len(sources)))
        decode = _decoder(struct) if self.prefix is not None else _never
        shape = Shape(decode, struct, out, picker(sources))
        parts: dict[str, Any] = {
            "shape": shape,
            "nested": [part._replace(attribute=attributes[place]) for place, part in nested],
            "computed": [slot.computed(at) for slot, at in self._with(attributes) if slot.computed],
            "grouped": [slot.grouped(at) for slot, at in self._with(attributes) if slot.grouped],
            "constants": [(at, slot.constant) for slot, at in self._with(attributes) if slot.constant is not None],
            "edges": [slot.edge(at) for slot, at in self._with(attributes) if slot.edge],
        }
        plan: PartPlan
        if self.prefix is None:
            plan = PartPlan(**parts)
        else:
            plan = ObjectPlan(
                **parts,
                prefix=self.prefix,
                ids=[attributes[place] for place in self.ids],
                keys=[attributes[place] for place in self.keys],
                versions=[attributes[place] for place in self.versions],
                key_edges=[attributes[place] for place in self.key_edges],
                hidden=self.hidden,
            )
        deep = {part.attribute for part in plan.nested if part.plan.is_deep}
        children[shape.shown] = [
            Child(at, slot.response, slot.nulls.field, slot.nulls.item, slot.nodes)
            for slot, at in self._with(attributes)
            if slot.nulls is not None and (slot.edge or at in deep)
        ]
        return plan

    def _with(self, attributes: Sequence[str]) -> list[tuple[Slot, str]]:
        return list(zip(self.slots, attributes, strict=True))

    def _nested(self, children: dict[type[Any], Sequence[Child]], *, is_shared: bool) -> list[tuple[int, Nested]]:
        """The parts, finished before what they are in: its type holds theirs. Those of something shared are shared, too."""
        places = [(place, slot) for place, slot in enumerate(self.slots) if slot.part is not None]
        reads = [slot.part.read for _, slot in places if slot.part is not None]
        found: list[tuple[int, Nested]] = []
        for place, slot in places:
            if slot.part is not None:
                is_shown_twice = is_shared or sum(other is slot.part.read for other in reads) > 1
                plan = slot.part.finish(children, is_shared=is_shown_twice)
                name = slot.part_name
                whole = msgspec.json.Decoder(self.read.list_type(name)).decode if self.read.is_raw(name) else None
                found.append((place, Nested(slot.source, "", plan, slot.is_list, whole)))
        return found


def _decoder(struct: type[msgspec.Struct]) -> Callable[[bytes], Any]:
    return msgspec.json.Decoder(list[struct]).decode  # type: ignore[valid-type]  # a type that was made a moment ago


def _never(_: bytes) -> Any:
    raise TypeError("a part is decoded with what it is in")
