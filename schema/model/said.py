"""Holds what is said about declarations beside their types: tags, scopes, costs, row rules.

Invariants: pure; what could not mean what its author meant is refused with its place, so that nothing is left open by a slip.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence

from schema.declare import Computed, Metadata
from schema.errors import CompositionError
from schema.marks import EntityMark


def check_said(metadata: Metadata, place: str) -> None:
    """Raises CompositionError for tags, a scope or a cost that is none."""
    check_tags(metadata.tags, place)
    scope, cost = metadata.scope, metadata.cost
    if scope is not None and not _is_name(scope):
        mend = "name a scope, or leave it out: then no scope is needed"
        raise CompositionError(f"{scope!r} is no scope", where=place, mend=mend)
    if type(cost) is not int or cost < 0:
        raise CompositionError(
            f"{cost!r} is no cost", where=place, mend="give a whole number from 0; 1 is a plain field"
        )


def check_tags(tags: Sequence[str], place: str) -> None:
    """Raises CompositionError for a text where a list should stand, or a tag that is none."""
    if isinstance(tags, str):
        raise CompositionError(f"tags are the text {tags!r}, not a list", where=place, mend=f"write tags=[{tags!r}]")
    for tag in tags:
        if not _is_name(tag):
            raise CompositionError(f"{tag!r} is no tag", where=place, mend="name it, or leave it out")


def check_mark(mark: EntityMark, place: str) -> None:
    """Raises CompositionError for tags of an entity, or a row rule, that cannot be gone by."""
    check_tags(mark.tags, place)
    if mark.rows is not None and not (_is_name(mark.rows.field) and _is_name(mark.rows.claim)):
        raise CompositionError(
            f"the row rule goes by field {mark.rows.field!r} and claim {mark.rows.claim!r}",
            where=place,
            mend="name both: a field of the view, and the principal's claim that equals it",
        )


def check_computed(declaration: Computed, place: str) -> None:
    """Raises CompositionError for a function that cannot be called with what it needs."""
    try:
        signature = inspect.signature(declaration.fn)
    except ValueError:
        return  # some that are built in do not tell
    except TypeError:
        mend = "give it a function of the values of `needs`"
        raise CompositionError(f"{declaration.fn!r} is not a function", where=place, mend=mend) from None
    try:
        signature.bind(*declaration.needs)
    except TypeError as fault:
        name = getattr(declaration.fn, "__name__", repr(declaration.fn))
        raise CompositionError(
            f"{name}{signature} cannot take the values of {len(declaration.needs)} fields by their order: {fault}",
            where=place,
            mend=f"`needs` are {', '.join(declaration.needs) or 'none'}: give the function a parameter for each, and no others",
        ) from None


def _is_name(text: object) -> bool:
    return isinstance(text, str) and text.strip() == text != ""
