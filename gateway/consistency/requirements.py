"""What a token asks of a read: aggregates at or above a version.

Invariants: immutable; `merge` is a join (commutative, associative, idempotent, monotone) also at the bound, because what is kept
there is the first of one fixed order of names, whatever came when; once truncated, always truncated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final, NamedTuple

MAX_REQUIREMENTS: Final = 32
BUDGET_BYTES: Final = 930
"""All requirements together: what a token signs stays within 1 KiB, of which audience (64 at most) and framing take the rest."""
FRAMING_BYTES: Final = 20
"""msgpack of one requirement beside its names, at the most: list 1, three string heads 6, epoch 3, version 5, seconds 5."""


class Aggregate(NamedTuple):
    """Names one aggregate of one context: ("orders", "order", "o-123")."""

    context: str
    type: str
    id: str

    @property
    def cost_bytes(self) -> int:
        """What its requirement takes in a token, whatever its numbers are."""
        return len(self.context.encode()) + len(self.type.encode()) + len(self.id.encode()) + FRAMING_BYTES


class Required(NamedTuple):
    """At least this (epoch, version); `minted_s` (seconds since 1970) says how old the wish is."""

    epoch: int
    version: int
    minted_s: int

    @property
    def at(self) -> tuple[int, int]:
        """(epoch, version)."""
        return (self.epoch, self.version)


@dataclass(frozen=True)
class Requirements:
    """What must be seen. `truncated`: some were dropped at the bound, so a read can be BEST_EFFORT only."""

    of: Mapping[Aggregate, Required] = field(default_factory=dict[Aggregate, Required])
    truncated: bool = False

    def __bool__(self) -> bool:
        return bool(self.of) or self.truncated

    def merge(self, other: Requirements) -> Requirements:
        """The least requirements that ask for all that either asks for."""
        if not other:
            return self
        if not self:
            return other
        union = dict(self.of)
        for aggregate, required in other.of.items():
            mine = union.get(aggregate)
            union[aggregate] = required if mine is None else max(mine, required)
        kept = dict(_bounded(union))
        return Requirements(kept, self.truncated or other.truncated or len(kept) < len(union))


def require(items: Iterable[tuple[Aggregate, Required]]) -> Requirements:
    """Requirements from single ones, bounded."""
    found = Requirements()
    for aggregate, required in items:
        found = found.merge(Requirements({aggregate: required}))
    kept = dict(_bounded(found.of))
    return Requirements(kept, found.truncated or len(kept) < len(found.of))


def _bounded(union: Mapping[Aggregate, Required]) -> Iterable[tuple[Aggregate, Required]]:
    """The longest start, in the order of the names' digests, that fits: a start of a union is the union's start of starts."""
    budget = BUDGET_BYTES
    if len(union) <= MAX_REQUIREMENTS and sum(name.cost_bytes for name in union) <= budget:
        yield from union.items()
        return
    for count, name in enumerate(sorted(union, key=_digest)):
        budget -= name.cost_bytes
        if count == MAX_REQUIREMENTS or budget < 0:
            return
        yield name, union[name]


def _digest(name: Aggregate) -> bytes:
    return blake2b("\0".join(name).encode(), digest_size=8).digest()
