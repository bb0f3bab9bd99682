"""The engine: an operation in, bytes out; compiled once per choice of flags, and shared by those who ask the same in one tick.

Invariants: an answer is never older than its question: what is shared is joined before its first read is sent; an operation that
is not compiled, or whose plan is broken by what it meets, is left to the plain executor, and counted.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
from graphql import GraphQLSchema

from gateway.access.fields import Access, FieldPolicy
from gateway.engine.arguments import Variables
from gateway.engine.asked import Reads
from gateway.engine.compile import Compiler
from gateway.engine.documents import Operation
from gateway.engine.errors import NotCompiledError, PlanBrokenError, UnfitError
from gateway.engine.failures import Mender
from gateway.engine.plan import Plan
from gateway.engine.reader import BatchedReader
from gateway.engine.reruns import Reruns
from gateway.engine.run import MAX_NODES, too_large
from gateway.engine.select import Selector, flag_names
from gateway.engine.served import NO_CLAIMS, Claims, ReadModels
from gateway.engine.sizes import shown_objects
from gateway.engine.told import field_error
from schema.model import Graph
from schema.ports import Principal

log = logging.getLogger(__name__)

MAX_VARIANTS: Final = 16
"""Plans per operation that are kept, one for each choice of flags, the first to be asked for. For another choice one is made each
time: some 1 ms, a sixth of what the plain executor takes for a page.
"""
TYPE_BYTES: Final = 5_000
"""What a plan takes for each kind of object in it: two types of 2 KB, a decoder, an edge."""
LOG_EVERY_S: Final = 1.0
"""How often it is told at most that plans were left for the plain executor."""

_encode: Final = msgspec.json.Encoder().encode
_NULL: Final = b"null"

Key: TypeAlias = tuple[Plan, bytes, tuple[str | None, ...]]
"""A plan, its variables, and what of the principal it goes by."""


class Data(NamedTuple):
    """An answer: `data` as JSON, and errors in the order of their fields."""

    data: bytes
    errors: list[dict[str, Any]]


class _AbandonedError(Exception):
    """Whoever ran what others share went away before it was done."""


@dataclass(eq=False)
class Variants:
    """What the engine keeps with an operation: by what its flags are its plans, or why there is none, and what it takes."""

    flags: tuple[str, ...]
    access: dict[tuple[Any, ...], Access] = field(default_factory=dict[tuple[Any, ...], Access])
    plans: dict[tuple[Any, ...], Plan | str] = field(default_factory=dict[tuple[Any, ...], Any])


class Engine:
    """Runs compiled operations. One per process; made and used on one loop.

    `counts` say how many operations were answered (`compiled`), not compiled (`plain`), met something their plan cannot answer
    (`broken`), and were answered by another's run (`shared`).
    """

    def __init__(
        self,
        schema: GraphQLSchema,
        graph: Graph,
        models: ReadModels,
        reader: BatchedReader,
        *,
        max_nodes: int = MAX_NODES,
    ) -> None:
        self._schema = schema
        self._policy = FieldPolicy(schema, graph)
        self._compiler = Compiler(schema, graph, models)
        self._reader = reader
        self._max_nodes = max_nodes
        self._loop = asyncio.get_running_loop()
        self._log_due_s = 0.0
        self._reruns = Reruns(self._loop.time)
        self._starting: dict[Key, asyncio.Future[Data]] = {}
        self.counts: Counter[str] = Counter()

    def plan(self, operation: Operation, variables: Variables) -> Plan:
        """The plan for these variables, compiled when it is not kept. Raises NotCompiledError, PlanBrokenError."""
        variants, flags = _choice(operation, variables)
        found = variants.plans.get(flags)
        if found is None:
            found = self._compile(operation, variants, flags)
        if isinstance(found, str):
            raise NotCompiledError(found)  # made anew: a kept one would hold on to whatever raised it
        return found

    def check(self, operation: Operation, variables: Variables, principal: Principal) -> None:
        """Raises ForbiddenError for a field that is not for this principal, whoever would answer it."""
        variants, flags = _choice(operation, variables)
        access = variants.access.get(flags)
        if access is None:
            choice = {name: flag for name, flag in zip(variants.flags, flags, strict=True) if isinstance(flag, bool)}
            selector = Selector(self._schema, operation.document.fragments, choice)
            access = Access(self._policy.needs(operation.node, selector))
            if len(variants.access) < MAX_VARIANTS:
                variants.access[flags] = access
        access.check(principal)

    async def answer(
        self, operation: Operation, variables: Variables, claims: Claims = NO_CLAIMS, reads: Reads | None = None
    ) -> Data | None:
        """The answer, or None when the plain executor is to give it. Raises TooComplexError.

        `claims` are the principal's. What a request is required to see is read through `reads` of its own; without them the
        answer may be shared.
        """
        try:
            plan = self.plan(operation, variables)
            try:
                if reads is None:
                    answer = await self._shared(plan, variables, claims)
                else:
                    answer = await self._run(plan, variables, claims, reads)
            except UnfitError:
                if self._reruns.take():
                    raise
                answer = await self._run(plan, variables, claims, reads or self._reader, is_coarse=True)
        except NotCompiledError:
            self.counts["plain"] += 1
            return None
        except PlanBrokenError as reason:
            self.counts["broken"] += 1
            if self._loop.time() >= self._log_due_s:
                self._log_due_s = self._loop.time() + LOG_EVERY_S
                log.warning("plans were left for the plain executor, %s by now: %s", self.counts["broken"], reason)
            return None
        self.counts["compiled"] += 1
        return answer

    def flag_names(self, operation: Operation) -> Sequence[str]:
        """The variables that @skip and @include in an operation go by."""
        return _variants(operation).flags

    def told(self, operation: Operation, variables: Variables) -> dict[str, Any]:
        """The plan as JSON, or why there is none."""
        try:
            plan = self.plan(operation, variables)
        except (NotCompiledError, PlanBrokenError) as reason:
            return {"compiled": False, "because": str(reason)}
        return {
            "compiled": True,
            "roundTrips": plan.round_trips,
            "cost": operation.cost.of(variables),
            "stops": plan.told(),
        }

    async def _shared(self, plan: Plan, variables: Variables, claims: Claims) -> Data:
        """Runs it, or has the answer of the same operation of this tick."""
        key = plan, _encode(variables), tuple([claims.get(name) for name in plan.claims])
        while (running := self._starting.get(key)) is not None:
            try:
                answer = await asyncio.shield(running)
            except _AbandonedError:
                continue
            self.counts["shared"] += 1
            return answer
        loop = self._loop
        if not self._starting:
            loop.call_soon(self._starting.clear)  # before the read that this run asks for is sent
        running = self._starting[key] = loop.create_future()
        try:
            answer = await self._run(plan, variables, claims, self._reader)
        except BaseException as error:
            if isinstance(error, Exception):
                running.set_exception(error)
            else:
                running.set_exception(_AbandonedError())
            running.exception()  # seen: there may be nobody who shares it
            raise
        running.set_result(answer)
        return answer

    async def _run(
        self, plan: Plan, variables: Variables, claims: Claims, reads: Reads, *, is_coarse: bool = False
    ) -> Data:
        is_coarse = is_coarse or self._reruns.are_spent()  # which is to say that it would be run again as that
        root, run = plan.begin(variables, claims, self._max_nodes, reads, is_coarse=is_coarse)
        await run.through()
        if run.shown > self._max_nodes and shown_objects(root, plan.children) > self._max_nodes:
            raise too_large(self._max_nodes)
        if not run.has_failed:
            return Data(_encode(root), [])
        return _mended(plan, root)

    def _compile(self, operation: Operation, variants: Variants, flags: tuple[Any, ...]) -> Plan | str:
        if not all(isinstance(flag, bool) for flag in flags):
            raise PlanBrokenError("a condition that is not true or false")
        choice: Mapping[str, bool] = dict(zip(variants.flags, flags, strict=True))
        found: Plan | str
        try:
            found = self._compiler.compile(operation.node, operation.document.fragments, choice)
        except NotCompiledError as reason:
            found = str(reason)
        if len(variants.plans) < MAX_VARIANTS:
            variants.plans[flags] = found
            if isinstance(found, Plan):
                operation.document.grew(len(found.children) * TYPE_BYTES)
        return found


def _variants(operation: Operation) -> Variants:
    found: Variants | None = operation.plans
    if found is None:
        found = operation.plans = Variants(flag_names(operation.node, operation.document.fragments))
    return found


def _choice(operation: Operation, variables: Variables) -> tuple[Variants, tuple[Any, ...]]:
    """What is kept with an operation, and what its flags are in this request: bools, or what is none."""
    variants = _variants(operation)
    return variants, tuple([variables.get(name) for name in variants.flags]) if variants.flags else ()


def _mended(plan: Plan, root: Any) -> Data:
    mender = Mender(plan.children)
    data = mender.data(root)
    errors = [field_error(*problem) for problem in mender.problems]
    return Data(_NULL if data is None else _encode(data), errors)
