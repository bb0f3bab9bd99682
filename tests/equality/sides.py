"""The sides that answer: the product's ways to execute an operation, over one store under faults.

Invariants: all sides read the same store, one after another; an answer is what a client would get, read back from JSON.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final, Protocol, cast

import msgspec

from gateway.compose import Composed
from gateway.consistency.operation import OperationConsistency, Policy
from gateway.consistency.requirements import Requirements
from gateway.consistency.wait import ChangeHub
from gateway.engine.context import RequestContext
from gateway.engine.documents import Documents
from gateway.engine.engine import Engine
from gateway.engine.limits import Limits
from gateway.engine.plain import Answer as Executed
from gateway.engine.plain import PlainExecutor
from gateway.engine.reader import BatchedReader
from gateway.engine.rows import RequestRows
from gateway.engine.served import read_models
from gateway.engine.told import request_errors
from gateway.errors import RequestError
from schema.ports import ANONYMOUS
from tests.equality.compare import Answer
from tests.equality.faults import NOTHING, Faults, FaultyStore
from tests.equality.generate import Generated
from tests.equality.world import BUCKETS
from tests.serving import COMPOSED as SHOP

MANY: Final = 10**9
LIMITS: Final = Limits(
    characters=MANY, tokens=MANY, depth=MANY, fields=MANY, aliases=MANY, directives=MANY, root_fields=MANY, cost=MANY
)
"""What is refused for its size is no question to compare answers to."""


class Side(Protocol):
    """One way to answer operations."""

    @property
    def name(self) -> str:
        """What it is called when it differs."""
        ...

    async def answer(
        self,
        text: str,
        variables: Mapping[str, Any] | None = None,
        operation_name: str | None = None,
        faults: Faults = NOTHING,
    ) -> Answer:
        """The answer under these faults."""
        ...


class Parts:
    """What sides are made of; both may share them."""

    def __init__(self, store: FaultyStore, tasks: asyncio.TaskGroup, composed: Composed = SHOP) -> None:
        self.store = store
        self.composed = composed
        self.reader = BatchedReader(store, tasks)
        self.models = read_models(composed.graph, BUCKETS)
        self.documents = Documents(composed.schema, composed.graph, LIMITS)
        self.executor = PlainExecutor(composed.schema)
        self._hub = ChangeHub(store, self.reader, tasks)

    def context(self) -> RequestContext:
        """Of one request, which requires nothing."""
        operation = OperationConsistency.begin(Requirements(), Policy())
        rows = RequestRows(self.models, self.reader, self._hub, operation, max_rows=MANY)
        nobody = cast("Any", None)  # queries neither send commands nor mint tokens
        return RequestContext(ANONYMOUS, rows, operation, commands=nobody, tokens=nobody, correlation_id="equality")


class PlainSide:
    """graphql-core over the composed schema."""

    name = "plain"

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def answer(
        self,
        text: str,
        variables: Mapping[str, Any] | None = None,
        operation_name: str | None = None,
        faults: Faults = NOTHING,
    ) -> Answer:
        """See Side.answer."""
        parts = self._parts
        await parts.store.begin(faults)
        try:
            operation = parts.documents.get(text).operation(operation_name)
            operation.read(variables)
            found = await parts.executor.execute(operation, variables, parts.context())
        except RequestError as error:
            found = Executed(None, request_errors(error), has_data=False)
        return Answer(_as_sent(found.data), _as_sent(found.errors), found.has_data, trips=parts.store.trips)


class CompiledSide:
    """The engine, and behind it the plain executor for what it leaves to that."""

    name = "compiled"

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._engine = Engine(parts.composed.schema, parts.composed.graph, parts.models, parts.reader, max_nodes=MANY)

    async def answer(
        self,
        text: str,
        variables: Mapping[str, Any] | None = None,
        operation_name: str | None = None,
        faults: Faults = NOTHING,
    ) -> Answer:
        """See Side.answer."""
        parts = self._parts
        await parts.store.begin(faults)
        try:
            operation = parts.documents.get(text).operation(operation_name)
            coerced = operation.read(variables)
            context = parts.context()
            found = await self._engine.answer(operation, coerced, context.rows.claims)
            if found is not None:
                data = msgspec.json.decode(found.data)
                return Answer(data, _as_sent(found.errors), trips=parts.store.trips, was_compiled=True)
            executed = await parts.executor.execute(operation, variables, context)
        except RequestError as error:
            executed = Executed(None, request_errors(error), has_data=False)
        data, errors = _as_sent(executed.data), _as_sent(executed.errors)
        return Answer(data, errors, executed.has_data, trips=parts.store.trips, was_compiled=False)


async def answered(side: Side, operation: Generated, faults: Faults) -> Answer:
    """A side's answer; an exception, which no client may cause, is a wrong one."""
    try:
        return await side.answer(*operation, faults)
    except Exception as error:  # noqa: BLE001 - whatever it is
        return Answer(f"raised {error!r}", has_data=False)


def _as_sent(value: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))
