"""Whether the peers give the same answers: compared byte by byte once keys are in one order and spaces are gone.

Invariants: `extensions` are each server's own and do not count; everything else does, `errors` above all.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final, cast

from benchmarks.composition.operations import Operation
from benchmarks.composition.peers import RunningPeer
from benchmarks.errors import BrokenRunError
from benchmarks.http import connected

SAMPLE: Final = 12
"""Bodies of an operation that are compared."""
_SHOWN_BEFORE: Final = 200
_SHOWN: Final = 1500


def normal(answer: bytes) -> bytes:
    """An answer in its normal form. Raises BrokenRunError for one that is no JSON object."""
    try:
        told: Any = json.loads(answer)
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise BrokenRunError(f"no GraphQL answer: {answer[:_SHOWN]!r}")
    counted = {name: value for name, value in cast("dict[str, Any]", told).items() if name != "extensions"}
    return json.dumps(counted, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


async def ask(peer: RunningPeer, bodies: Sequence[bytes]) -> list[bytes]:
    """The answers as they came. Raises BrokenRunError for a status that is not 200."""
    async with connected(peer.url, peer.peer.headers) as connection:
        return [await connection.post(body) for body in bodies]


async def compare(peers: Sequence[RunningPeer], operation: Operation) -> None:
    """Asks all peers that answer the graph for a sample. Raises BrokenRunError, with both answers when two differ."""
    bodies = sample(operation)
    first: tuple[str, list[bytes]] | None = None
    for peer in (peer for peer in peers if peer.peer.answers_graph):
        found = [normal(answer) for answer in await ask(peer, bodies)]
        if first is None:
            first = (peer.name, found)
        for body, one, other in zip(bodies, first[1], found, strict=True):
            if b'"errors":' in other:
                raise BrokenRunError(f"{peer.name} answered {body!r} with {other[:_SHOWN]!r}")
            if one != other:
                raise BrokenRunError(f"asked {body!r}, {_difference((first[0], one), (peer.name, other))}")


def sample(operation: Operation) -> list[bytes]:
    """Bodies from all over an operation's, the first among them."""
    step = max(1, len(operation.bodies) // SAMPLE)
    return list(operation.bodies[::step][:SAMPLE])


def _difference(one: tuple[str, bytes], other: tuple[str, bytes]) -> str:
    pairs = enumerate(zip(one[1], other[1], strict=False))
    at = next((place for place, (a, b) in pairs if a != b), min(len(one[1]), len(other[1])))
    begin = max(0, at - _SHOWN_BEFORE)
    shown = [f"{name} answered ...{answer[begin : begin + _SHOWN].decode()}" for name, answer in (one, other)]
    return f"the answers differ from byte {at} on:\n{shown[0]}\n{shown[1]}"
