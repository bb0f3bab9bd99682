"""Objects of a plan: how a stored document becomes the object that is encoded, and which edges lead on from it.

Invariants: an object is made once and then owned by its answer; the attribute of an edge holds the key that it goes by until
the edge is settled; what cannot be decoded raises PlanBrokenError, so that the plain executor tells which field it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
from graphql import FieldNode

from gateway.engine.errors import PlanBrokenError
from gateway.engine.run import Edge, Run
from gateway.engine.shapes import Shape


@dataclass(frozen=True)
class Child:
    """An attribute that may hold a failure, or objects that do.

    `item_nullable` is None for what is not a list; `nodes` are where it is selected.
    """

    attribute: str
    response: str
    nullable: bool
    item_nullable: bool | None
    nodes: Sequence[FieldNode]


class Computed(NamedTuple):
    """A function of stored fields: `reads` are the attributes with their bytes and what reads these."""

    attribute: str
    fn: Callable[..., Any]
    reads: Sequence[tuple[str, Callable[[Any], Any]]]
    show: Callable[[Any], Any]


class Nested(NamedTuple):
    """A part, or a list of them: the attribute in what was decoded, the one in the answer, and what reads its bytes if it must."""

    source: str
    attribute: str
    plan: PartPlan
    is_list: bool
    read: Callable[[bytes], Any] | None


class Grouped(NamedTuple):
    """An object of the answer that is stored flat: made of attributes of what was decoded."""

    attribute: str
    out: type[msgspec.Struct]
    pick: Callable[[Any], Any]
    constants: Sequence[tuple[str, str]]


@dataclass(eq=False)
class PartPlan:
    """How a struct that is nested in a document is shown. Complete once the selection is compiled."""

    shape: Shape
    nested: Sequence[Nested] = ()
    computed: Sequence[Computed] = ()
    grouped: Sequence[Grouped] = ()
    constants: Sequence[tuple[str, Any]] = ()
    """Attributes that are the same in every object. They are put there: an undeclared stored name may be theirs."""
    edges: Sequence[Edge] = ()
    is_deep: bool = field(init=False)
    """Whether edges lead on from here or below."""

    def __post_init__(self) -> None:
        self.is_deep = bool(self.edges) or any(part.plan.is_deep for part in self.nested)
        self._is_plain = self.shape.out is None and not (self.nested or self.computed or self.grouped or self.constants)

    def show(self, found: Any) -> Any:
        """The object of the answer, out of what was decoded."""
        if self._is_plain:
            return found
        out = self.shape.out
        shown = found if out is None else out(*self.shape.pick(found))
        for attribute, constant in self.constants:
            setattr(shown, attribute, constant)
        for source, attribute, plan, is_list, read in self.nested:
            value = getattr(found, source)
            if read is not None:
                value = read(value)
            if value is not None and not plan._is_plain:
                show = plan.show
                value = [None if item is None else show(item) for item in value] if is_list else show(value)
            setattr(shown, attribute, value)
        for attribute, fn, reads, wire in self.computed:
            setattr(shown, attribute, _computed(fn, [read(getattr(found, name)) for name, read in reads], wire))
        for attribute, group, pick, constants in self.grouped:
            grouped = group(*pick(found))
            for name, constant in constants:
                setattr(grouped, name, constant)
            setattr(shown, attribute, grouped)
        return shown

    def descend(self, objects: Sequence[Any], run: Run) -> None:
        """Goes on to the edges of these objects, and of the parts in them."""
        for edge in self.edges:
            run.want(edge, objects)
        for part in self.nested:
            if part.plan.is_deep:
                held = [getattr(found, part.attribute) for found in objects]
                if part.is_list:
                    held = [item for items in held if items is not None for item in items]
                part.plan.descend([item for item in held if item is not None], run)


@dataclass(eq=False)
class ObjectPlan(PartPlan):
    """How an entity is shown. `prefix` begins its global id; the others name attributes that come from beside the view.

    `hidden` says of what was decoded whether the row rule keeps it from a principal with these claims.
    """

    prefix: str = ""
    ids: Sequence[str] = ()
    keys: Sequence[str] = ()
    versions: Sequence[str] = ()
    key_edges: Sequence[str] = ()
    hidden: Callable[[Any, Mapping[str, str]], bool] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._with_key = (*self.keys, *self.key_edges)
        self._decode = self.shape.decode

    def make(self, key: str, version: int, view: bytes, claims: Mapping[str, str]) -> Any:
        """The object of a stored view, None when it is hidden. Raises PlanBrokenError when it does not fit."""
        try:
            found = self._decode(view)
            if self.hidden is not None and self.hidden(found, claims):
                return None
            shown = found if self._is_plain else self.show(found)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as fault:
            raise PlanBrokenError(f"{self.prefix}{key} is stored in another shape than it is declared") from fault
        for attribute in self.ids:
            setattr(shown, attribute, self.prefix + key)
        for attribute in self._with_key:
            setattr(shown, attribute, key)
        for attribute in self.versions:
            setattr(shown, attribute, version)
        return shown


def _computed(fn: Callable[..., Any], values: Sequence[Any], wire: Callable[[Any], Any]) -> Any:
    try:
        value = fn(*values)
    except Exception as error:
        raise PlanBrokenError("a computed field raised") from error
    return wire(value)
