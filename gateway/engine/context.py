"""What travels with one request: `info.context` in every resolver."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.commands.forward import CommandForwarder
from gateway.consistency.operation import OperationConsistency
from gateway.consistency.token import TokenCodec
from gateway.engine.rows import RequestRows
from schema.ports import Principal


@dataclass(frozen=True)
class RequestContext:
    """Implements schema.ports.RequestContext; made by the front door, one per operation."""

    principal: Principal
    rows: RequestRows
    operation: OperationConsistency
    commands: CommandForwarder
    tokens: TokenCodec
    correlation_id: str
    traceparent: str | None = None
