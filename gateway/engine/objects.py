"""Objects of a plan: how a stored document becomes the object that is encoded, and which edges lead on from it.

Invariants: an object is made once and then owned by its answer; the attribute of an edge holds the key that it goes by until
the edge is settled; what cannot be decoded raises PlanBrokenError, so that the plain executor tells which field it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress, islice, repeat, starmap
from typing import Any, Final, NamedTuple

import msgspec
from graphql import FieldNode

from gateway.engine.errors import PlanBrokenError
from gateway.engine.run import Edge, Run
from gateway.engine.shapes import Shape
from projections.errors import WireError
from projections.store.document import unpack, views
from projections.store.port import Stored

_UNFIT: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError)
"""What decoding raises for a view that does not fit; a ValueError of one whose text holds more than one value."""
_NOT_AT_ONCE: Final = (TypeError, WireError, PlanBrokenError, *_UNFIT)
"""What is raised for documents of which one is missing, failed or does not fit."""


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

    def show(self, found: Sequence[Any]) -> Sequence[Any]:
        """The objects of the answer, out of what was decoded: attribute by attribute, since a call for each object is dear."""
        if self._is_plain:
            return found
        out = self.shape.out
        shown = found if out is None else list(starmap(out, map(self.shape.pick, found)))
        for attribute, constant in self.constants:
            _put(shown, attribute, repeat(constant))
        for source, attribute, plan, is_list, read in self.nested:
            values = [getattr(one, source) for one in found]
            if read is not None:
                values = [read(value) for value in values]
            _put(shown, attribute, plan.shown_lists(values) if is_list else plan.shown_parts(values))
        for attribute, fn, reads, wire in self.computed:
            _put(shown, attribute, [_computed(one, fn, reads, wire) for one in found])
        for attribute, group, pick, constants in self.grouped:
            groups = list(starmap(group, map(pick, found)))
            for name, constant in constants:
                _put(groups, name, repeat(constant))
            _put(shown, attribute, groups)
        return shown

    def shown_parts(self, values: Sequence[Any]) -> Sequence[Any]:
        """Parts as they are shown, None where there is none."""
        if self._is_plain:
            return values
        there = [value for value in values if value is not None]
        if len(there) == len(values):
            return self.show(there)
        shown = iter(self.show(there))
        return [None if value is None else next(shown) for value in values]

    def shown_lists(self, values: Sequence[Any]) -> Sequence[Any]:
        """Lists of parts, likewise."""
        if self._is_plain:
            return values
        if len(values) == 1 and values[0] is not None:
            return [self.shown_parts(values[0])]
        shown = iter(self.shown_parts([item for items in values if items is not None for item in items]))
        return [None if items is None else list(islice(shown, len(items))) for items in values]

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
        self.is_keyed = bool(self.ids or self._with_key)
        """Whether the keys of documents are shown, or lead on."""
        self._has_more = self.is_keyed or bool(self.versions)
        self._decode = self.shape.decode

    def at_once(self, keys: Sequence[str], stored: Sequence[Any], claims: Mapping[str, str]) -> Sequence[Any] | None:
        """The objects of stored documents, None in the place of one that is hidden; with `is_keyed` false keys are not looked at.

        None when any of them is missing, failed, shows nothing or does not fit: then each is to be made by itself (`one`).
        """
        try:
            found = self._decode(b"[%b]" % b",".join(views(stored)))
            if len(found) != len(stored):
                return None
            if self.hidden is not None:
                return self._visible(found, keys, stored, claims, self.hidden)
            shown = found if self._is_plain else self.show(found)
        except _NOT_AT_ONCE:
            return None
        if self._has_more:
            self._complete(shown, keys, stored)
        return shown

    def _visible(
        self,
        found: Sequence[Any],
        keys: Sequence[str],
        stored: Sequence[Stored],
        claims: Mapping[str, str],
        hidden: Callable[[Any, Mapping[str, str]], bool],
    ) -> Sequence[Any]:
        """As `show` and `_complete`, of what the row rule keeps from nobody with these claims."""
        kept = [not hidden(one, claims) for one in found]
        shown = self.show(list(compress(found, kept)))
        self._complete(shown, list(compress(keys, kept)), list(compress(stored, kept)))
        rest = iter(shown)
        return [next(rest) if is_kept else None for is_kept in kept]

    def one(self, key: str, stored: Stored, claims: Mapping[str, str]) -> Any:
        """The object of a stored document, None when it is hidden or shows nothing.

        Raises WireError for what is no document, PlanBrokenError for one whose view does not fit.
        """
        view = unpack(stored).view
        if view is None:
            return None
        try:
            [found] = self._decode(b"[%b]" % view)
            if self.hidden is not None and self.hidden(found, claims):
                return None
            shown = self.show([found])
        except (*_UNFIT, PlanBrokenError) as fault:
            raise PlanBrokenError(f"{self.prefix}{key} is stored in another shape than it is declared") from fault
        self._complete(shown, [key], [stored])
        return shown[0]

    def _complete(self, shown: Sequence[Any], keys: Sequence[str], stored: Sequence[Stored]) -> None:
        """Puts in what comes from beside the view."""
        for attribute in self.ids:
            _put(shown, attribute, map(self.prefix.__add__, keys))
        for attribute in self._with_key:
            _put(shown, attribute, keys)
        for attribute in self.versions:
            _put(shown, attribute, (unpack(data).version for data in stored))


def _put(objects: Sequence[Any], attribute: str, values: Iterable[Any]) -> None:
    for one, value in zip(objects, values, strict=False):
        setattr(one, attribute, value)


def _computed(
    found: Any,
    fn: Callable[..., Any],
    reads: Sequence[tuple[str, Callable[[Any], Any]]],
    wire: Callable[[Any], Any],
) -> Any:
    try:
        return wire(fn(*[read(getattr(found, name)) for name, read in reads]))
    except PlanBrokenError:
        raise
    except Exception as error:
        raise PlanBrokenError("a computed field raised") from error
