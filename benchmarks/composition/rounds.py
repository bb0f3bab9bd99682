"""Rounds in which every peer has its turn with every operation: rates, CPU time, and the figures of P1, P2 and P2b.

Invariants: turns are interleaved, in another order each round; ratios are of one round, figures are medians of the rounds; the
server is alone on its core while it is measured, but for servers that idle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median
from typing import Final, NamedTuple

from benchmarks.composition.answers import ask, sample
from benchmarks.composition.load import Asked, load
from benchmarks.composition.operations import Operation
from benchmarks.composition.peers import RunningPeer
from benchmarks.declare import Figures
from benchmarks.errors import BrokenRunError
from benchmarks.processes import cpu_us

OURS: Final = "headrace"
_WHOLE_SHARE: Final = 0.8
"""Of the mean size of the sample's answers: a mean that is smaller says that answers were not whole."""


class Turn(NamedTuple):
    """What one peer is sent: an operation, with bodies that vary or with one and the same."""

    peer: str
    operation: str
    identical: bool = False


@dataclass(frozen=True)
class Taken:
    """What came of one turn."""

    per_s: float
    cpu_us: float
    valkey_cpu_us: float
    core_share: float
    p50_ms: float
    p99_ms: float


Rounds = Mapping[Turn, Sequence[Taken]]
"""By turn, a Taken for each round."""


@dataclass(frozen=True)
class Field:
    """Who is measured, with what."""

    peers: Mapping[str, RunningPeer]
    operations: Mapping[str, Operation]
    valkey_pid: int


async def warm_up(field: Field, turns: Sequence[Turn], seconds: float) -> None:
    """Lets every peer compile what it compiles."""
    for turn in turns:
        if not turn.identical:
            await load(_asked(field, turn), seconds)


async def measure_rounds(field: Field, turns: Sequence[Turn], rounds: int, seconds: float) -> Rounds:
    """So many rounds of all turns, each for so long. Raises BrokenRunError."""
    taken: dict[Turn, list[Taken]] = {turn: [] for turn in turns}
    sizes = {turn: await _size(field, turn) for turn in turns}
    for number in range(rounds):
        at = number * len(turns) // rounds
        for turn in [*turns[at:], *turns[:at]]:
            taken[turn].append(await measure_turn(field, turn, seconds, number, sizes[turn]))
    return taken


async def measure_turn(field: Field, turn: Turn, seconds: float, number: int = 0, size: float = 0.0) -> Taken:
    """One turn; `number` chooses the body to begin with, `size` is how many bytes an answer has in the mean."""
    pid = field.peers[turn.peer].pid
    own_us, valkey_us = _used(pid), _used(field.valkey_pid)
    found = await load(_asked(field, turn, number), seconds)
    own_us, valkey_us = _used(pid) - own_us, _used(field.valkey_pid) - valkey_us
    if found.bytes < _WHOLE_SHARE * size * found.requests:
        raise BrokenRunError(f"{turn.peer}: answers have {found.bytes / found.requests:.0f} bytes of about {size:.0f}")
    return Taken(
        per_s=found.requests / found.seconds,
        cpu_us=own_us / found.requests,
        valkey_cpu_us=valkey_us / found.requests,
        core_share=own_us / found.seconds / 1e6,
        p50_ms=found.p50_ms,
        p99_ms=found.p99_ms,
    )


def _asked(field: Field, turn: Turn, number: int = 0) -> Asked:
    """Each round begins with another body."""
    peer, bodies = field.peers[turn.peer], field.operations[turn.operation].bodies
    if turn.identical:
        bodies = bodies[:1]
    return Asked(peer.url, bodies, number * len(bodies) // 7, peer.peer.headers)


async def _size(field: Field, turn: Turn) -> float:
    bodies = sample(field.operations[turn.operation])
    return mean(len(answer) for answer in await ask(field.peers[turn.peer], bodies[:1] if turn.identical else bodies))


def _used(pid: int) -> float:
    used = cpu_us(pid)
    if used is None:
        raise BrokenRunError(f"process {pid} has ended, or there is no /proc")
    return used


def beside(rounds: Rounds, operation: str) -> Figures:
    """An operation with bodies that vary: ours beside every other peer's, then what each took."""
    ours = rounds[Turn(OURS, operation)]
    told: dict[str, float] = {}
    others = [turn for turn in rounds if turn.operation == operation and not turn.identical and turn.peer != OURS]
    for turn in others:
        theirs = rounds[turn]
        told[f"ratio_to_{turn.peer}"] = median(a.per_s / b.per_s for a, b in zip(ours, theirs, strict=True))
        told[f"cpu_ratio_to_{turn.peer}"] = median(b.cpu_us / a.cpu_us for a, b in zip(ours, theirs, strict=True))
    for turn in (Turn(OURS, operation), *others):
        told |= _told(turn.peer, rounds[turn])
    return told


def identical(rounds: Rounds, names: Mapping[str, str]) -> Figures:
    """Operations with one identical body beside bodies that vary; `names` are those that figures have, by operation."""
    told: dict[str, float] = {}
    for operation, name in names.items():
        for turn in rounds:
            if turn.operation == operation and turn.identical:
                prefix = name if turn.peer == OURS else f"{turn.peer}_{name}"
                pairs = list(zip(rounds[turn], rounds[turn._replace(identical=False)], strict=True))
                told[f"{prefix}_identical_to_varied"] = median(same.per_s / varied.per_s for same, varied in pairs)
                told |= _pace(f"{turn.peer}_{name}_identical", rounds[turn])
    return told


def _pace(name: str, taken: Sequence[Taken]) -> dict[str, float]:
    return {
        f"{name}_per_s": median(one.per_s for one in taken),
        f"{name}_cpu_us_per_request": median(one.cpu_us for one in taken),
    }


def _told(name: str, taken: Sequence[Taken]) -> dict[str, float]:
    return {
        **_pace(name, taken),
        f"{name}_valkey_cpu_us_per_request": median(one.valkey_cpu_us for one in taken),
        f"{name}_core_percent": 100 * median(one.core_share for one in taken),
        f"{name}_p50_ms": median(one.p50_ms for one in taken),
        f"{name}_p99_ms": median(one.p99_ms for one in taken),
    }
