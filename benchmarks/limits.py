"""S2: what it costs to refuse a request: the dearest of many shapes, each as large as the limits let it become, and of 256 KiB.

Invariants: nothing is served and nothing kept: each request is decoded, parsed, limited, validated and priced anew, at a stretch,
so that what it takes is also how long the loop stands still. Times are of the wall, medians of rounds that take turns.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Final

import msgspec
from graphql import DocumentNode, get_introspection_query, parse
from graphql.execution import execute_sync

from benchmarks.declare import Benchmark, Figures, at_most
from benchmarks.errors import BrokenRunError
from benchmarks.hostile import DOCUMENTS, VARIABLES, Request, bomb, largest, nested_bomb
from gateway.compose import Composed, compose
from gateway.engine.documents import Documents
from gateway.engine.limits import Limits, Measured
from gateway.errors import RequestError
from gateway.http.request import MAX_BODY_BYTES, GraphQLRequest
from projections.catalog import PROJECTIONS
from schema.catalog import CONTEXTS

_ROUNDS: Final = 7
_BOMB_LEVELS: Final = 60
_UNITS: Final = 1_000
"""Of a shape at its smallest, when its growth is measured."""
_GROWING: Final = (
    "one leaf", "one object", "fragments side by side", "a chain of fragments", "all fragments in all", "directives", "ids",
)  # fmt: skip
"""Shapes by which that is measured: each makes another part of the count work. They parse at any size."""

Ask = Callable[[], bool]


async def measure() -> Figures:
    """See the module."""
    composed = compose(CONTEXTS, PROJECTIONS)
    documents = Documents(composed.schema, composed.graph, Limits(), max_kept=0, max_refused=0)
    asks = {name: _ask(documents, body) for name, body in _bodies().items()}
    was_refused = {name: ask() for name, ask in asks.items()}
    took_ms = _medians_ms(asks)
    refused = {name: ms for name, ms in took_ms.items() if was_refused[name]}
    if len(refused) < len(asks) / 2 or not all(was_refused[name] for name in ("bomb", "nested bomb")):
        raise BrokenRunError(f"taken, though they are hostile: {sorted(took_ms.keys() - refused.keys())}")
    return {
        "dearest_refused_ms": max(refused.values()),
        "dearest_loop_stall_ms": max(took_ms.values()),
        "bomb_ms": max(took_ms["bomb"], took_ms["nested bomb"]),
        "introspection_loop_stall_ms": _introspection_ms(composed),
        "growth_of_limits_at_4x": max(_growth(DOCUMENTS[name]) for name in _GROWING),
        "requests": len(asks),
        "requests_refused": len(refused),
    }


def _bodies() -> dict[str, bytes]:
    """Every shape as large as the limits let it become, then filled up to what a body may have; and the bombs."""
    limits = Limits()
    found = {"bomb": _body(Request(bomb(_BOMB_LEVELS))), "nested bomb": _body(Request(nested_bomb(_BOMB_LEVELS)))}
    for name, shape in DOCUMENTS.items():
        text = largest(shape, tokens=limits.tokens, characters=limits.characters)
        found[name] = _body(Request(text))
        found[f"{name}, 256 KiB"] = _body(_fitting(lambda n, shape=shape: Request(shape(n))))  # type: ignore[misc]
    for name, request in VARIABLES.items():
        found[f"variables: {name}"] = _body(_fitting(request))
    return found


def _fitting(request: Callable[[int], Request]) -> Request:
    """The largest request of a kind whose body may be sent."""
    low, high = 1, MAX_BODY_BYTES
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if len(_body(request(middle))) <= MAX_BODY_BYTES else (low, middle - 1)
    return request(low)


def _body(request: Request) -> bytes:
    return msgspec.json.encode({"query": request.text, "variables": request.variables})


def _ask(documents: Documents, body: bytes) -> Ask:
    """Sends a body as far as it comes without being run; whether it was refused."""
    decode = msgspec.json.Decoder(GraphQLRequest).decode

    def ask() -> bool:
        asked = decode(body)
        try:
            documents.get(asked.query).operation(asked.operation_name).read(asked.variables)
        except RequestError:
            return True
        return False

    return ask


def _medians_ms(asks: Mapping[str, Ask]) -> dict[str, float]:
    taken: dict[str, list[float]] = {name: [] for name in asks}
    for _ in range(_ROUNDS):
        for name, ask in asks.items():
            began_s = time.perf_counter()
            ask()
            taken[name].append((time.perf_counter() - began_s) * 1000)
    return {name: median(found) for name, found in taken.items()}


def _introspection_ms(composed: Composed) -> float:
    """The dearest questions about the schema that are answered: run once each, then kept."""
    texts = [
        get_introspection_query(),
        "{__schema{types{fields{type{ofType{" + " ".join(f"a{i}:name" for i in range(60)) + "}}}}}}",
        "{"
        + " ".join(f'a{i}:__type(name:"Query"){{fields{{args{{type{{name}}}}type{{name}}}}}}' for i in range(12))
        + "}",
    ]
    documents = Documents(composed.schema, composed.graph, Limits())
    nodes = [documents.get(text).node for text in texts]
    return max(_medians_ms({str(i): _run(composed, node) for i, node in enumerate(nodes)}).values())


def _run(composed: Composed, node: DocumentNode) -> Ask:
    def run() -> bool:
        return bool(execute_sync(composed.schema, node).errors)

    return run


def _growth(shape: Callable[[int], str]) -> float:
    """How much more the count of a document takes that is four times as large, for each byte."""
    texts = [shape(_UNITS), shape(4 * _UNITS)]
    small, large = (parse(text) for text in texts)
    once: Sequence[float] = list(
        _medians_ms({"1": lambda: bool(Measured(small)), "4": lambda: bool(Measured(large))}).values()
    )
    return once[1] / once[0] / (len(texts[1]) / len(texts[0]))


benchmark: Final = Benchmark(
    id="S2",
    bar="the dearest request of <= 256 KiB is refused within 50 ms, a 2^60 bomb within 10 ms, limits cost in proportion to size",
    bounds={
        "dearest_refused_ms": at_most(50),
        "dearest_loop_stall_ms": at_most(100),
        "introspection_loop_stall_ms": at_most(100),
        "bomb_ms": at_most(10),
        "growth_of_limits_at_4x": at_most(1.5),
    },
    run=measure,
    within_s=240,
)
