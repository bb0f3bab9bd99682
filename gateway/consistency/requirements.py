"""What a token asks of a read: aggregates at or above a version.

Invariants: immutable; `merge` is a join (commutative, associative, idempotent, monotone) also at the bound: names are kept in one
fixed order up to a cut, the cut only moves down, and nothing at or behind it is ever taken in again; once cut, always truncated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final, NamedTuple

MAX_REQUIREMENTS: Final = 32
BUDGET_BYTES: Final = 930
"""All requirements together: what a token signs stays within 1 KiB, of which audience (64 at most) and framing take the rest."""
DIGEST_BYTES: Final = 8
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
    """What must be seen. `cut` is the digest from which on names were dropped at the bound, if any were."""

    of: Mapping[Aggregate, Required] = field(default_factory=dict[Aggregate, Required])
    cut: bytes | None = None

    def __bool__(self) -> bool:
        return bool(self.of) or self.cut is not None

    @property
    def truncated(self) -> bool:
        """Whether some were dropped, so that a read can be BEST_EFFORT only."""
        return self.cut is not None

    def merge(self, other: Requirements) -> Requirements:
        """The least requirements that ask for all that either asks for."""
        if not other:
            return self
        if not self:
            return other
        union = dict(self.of)
        for name, required in other.of.items():
            mine = union.get(name)
            union[name] = required if mine is None else max(mine, required)
        return _bounded(union, min((cut for cut in (self.cut, other.cut) if cut is not None), default=None))


def require(items: Iterable[tuple[Aggregate, Required]]) -> Requirements:
    """Requirements from single ones, bounded."""
    found: dict[Aggregate, Required] = {}
    for name, required in items:
        mine = found.get(name)
        found[name] = required if mine is None else max(mine, required)
    return _bounded(found, None)


def _bounded(union: Mapping[Aggregate, Required], cut: bytes | None) -> Requirements:
    """The longest start that fits, in the order of the names' digests.

    A partial union overflows no earlier than the whole one, so whatever belongs to the start of the whole is in every part.
    """
    if cut is None and len(union) <= MAX_REQUIREMENTS and sum(name.cost_bytes for name in union) <= BUDGET_BYTES:
        return Requirements(union)
    kept: dict[Aggregate, Required] = {}
    budget = BUDGET_BYTES
    for digest, name in sorted((_digest(name), name) for name in union):
        budget -= name.cost_bytes
        if (cut is not None and digest >= cut) or len(kept) == MAX_REQUIREMENTS or budget < 0:
            return Requirements(kept, digest if cut is None else min(cut, digest))
        kept[name] = union[name]
    return Requirements(kept, cut)


def _digest(name: Aggregate) -> bytes:
    return blake2b("\0".join(name).encode(), digest_size=DIGEST_BYTES).digest()
