"""GraphQL over HTTP: one request in, one answer out, with the consistency token on both ways.

Invariants: every answer is JSON of the GraphQL shape with a code on each error; a request that was refused executed nothing; GET
never runs a mutation; what is executed runs under the request's principal and correlation id.
"""

from __future__ import annotations

import logging
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from graphql import OperationType
from starlette.types import Receive, Scope, Send

from gateway.commands.forward import CommandForwarder
from gateway.consistency.operation import OperationConsistency, Policy, read_policy, report
from gateway.consistency.requirements import Requirements
from gateway.consistency.token import TokenCodec
from gateway.consistency.wait import ChangeHub
from gateway.engine.context import RequestContext
from gateway.engine.documents import Documents, Operation
from gateway.engine.engine import Engine
from gateway.engine.plain import PlainExecutor
from gateway.engine.reader import BatchedReader
from gateway.engine.rows import RequestRows
from gateway.engine.served import ReadModels
from gateway.engine.told import request_errors
from gateway.errors import INTERNAL, MalformedRequestError, RequestError
from gateway.http.attended import Attendance
from gateway.http.graphiql.page import PAGE_HEADERS
from gateway.http.reply import JSON_MEDIA_TYPE, Reply, body_of, fixed, media_type_for, told
from gateway.http.request import (
    ClientGoneError,
    GraphQLRequest,
    Headers,
    check_headers,
    from_body,
    from_query,
    query_parameters,
    read_body,
)
from schema.ports import Principal

log = logging.getLogger(__name__)

TOKEN_IN: Final = b"headrace-after"
TOKEN_OUT: Final = b"headrace-token"
PLAN_IN: Final = b"headrace-plan"
_CORRELATION_ID: Final = re.compile(rb"[\x21-\x7e]{1,128}\Z")
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}\Z")
_NO_REQUIREMENTS: Final = Requirements()
_DEFAULT_POLICY: Final = Policy()
_QUERY: Final = OperationType.QUERY
"""Looked up once: on an enum that takes longer than to ask for an operation's type."""
_encode: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class GraphQLEndpoint:
    """Answers `/graphql`, an ASGI app. All parts are the composition root's."""

    documents: Documents
    engine: Engine
    executor: PlainExecutor
    models: ReadModels
    reader: BatchedReader
    hub: ChangeHub
    commands: CommandForwarder
    tokens: TokenCodec
    page: bytes
    max_wait_ms: int
    attendance: Attendance
    shows_plans: bool
    principal_of: Callable[[Headers], Principal]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles GET and POST; other methods are told so."""
        try:
            reply = await self._reply(scope, dict(scope["headers"]), receive)
        except ClientGoneError:
            return
        await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers()})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else reply.body})

    async def post(self, headers: Headers, body: bytes, receive: Receive) -> Reply:
        """The answer to a POST that is there as a whole; `receive` returns when its client is gone. Raises ClientGoneError."""
        try:
            check_headers(headers)
            return await self._answer(from_body(body), headers, receive, is_post=True)
        except ClientGoneError:
            raise
        except Exception as error:  # noqa: BLE001 - what is not meant for the client is logged
            return _refused(error, headers, "POST")

    async def _reply(self, scope: Scope, headers: Headers, receive: Receive) -> Reply:
        method = scope["method"]
        try:
            if method == "POST":
                check_headers(headers)  # before the body is waited for
                return await self.post(headers, await read_body(headers, receive), receive)
            if method not in ("GET", "HEAD"):
                raise MalformedRequestError("send GET or POST", status=405)
            parameters = query_parameters(scope["query_string"])
            if "query" not in parameters and b"text/html" in headers.get(b"accept", b""):
                return Reply(200, self.page, _PAGE)
            return await self._answer(from_query(parameters), headers, receive, is_post=False)
        except ClientGoneError:
            raise
        except Exception as error:  # noqa: BLE001 - likewise
            return _refused(error, headers, method)

    async def _answer(self, asked: GraphQLRequest, headers: Headers, receive: Receive, *, is_post: bool) -> Reply:
        began_s = self.attendance.now_s()
        operation = self.documents.get(asked.query).operation(asked.operation_name)
        is_query = operation.type is _QUERY
        if not is_query and not is_post:
            raise MalformedRequestError("a mutation goes by POST", status=405)
        variables, principal = operation.read(asked.variables), self.principal_of(headers)
        self.engine.check(operation, variables, principal)
        requirements, policy = self._wanted(headers, asked)
        correlation_id = _correlation_id(headers.get(b"x-correlation-id"))
        context: RequestContext | None = None
        if requirements or not is_query:
            context = self._context(headers, principal, requirements, policy, correlation_id)
        found: tuple[bytes | None, list[dict[str, Any]]] | None = None
        if is_query:  # what a mutation has begun is not broken off
            reads = context.rows.vouched if context is not None else None
            answering = self.engine.answer(operation, variables, principal.claims, reads)
            found = await self.attendance.attended(answering, receive, began_s)
        if found is None:
            context = context or self._context(headers, principal, requirements, policy, correlation_id)
            found = await self._plain(operation, asked, context, receive, began_s)
        data, errors = found
        consistency = report(context.operation, self.tokens) if context is not None else None
        extensions = {"consistency": consistency} if consistency else None
        if self.shows_plans and _wants_plan(headers, asked):
            extensions = {**(extensions or {}), "plan": self.engine.told(operation, variables)}
        media_type = media_type_for(headers)
        status = 200 if data is not None or media_type is JSON_MEDIA_TYPE else 400
        body, correlated = body_of(data, errors, extensions), (b"x-correlation-id", correlation_id)
        if consistency:
            return told(body, status, media_type, correlated, (TOKEN_OUT, str(consistency["token"]).encode()))
        return told(body, status, media_type, correlated)

    def _context(
        self, headers: Headers, principal: Principal, requirements: Requirements, policy: Policy, correlation_id: bytes
    ) -> RequestContext:
        """What travels with a request that the plain executor answers, or that is required to see something; others need none."""
        consistent = OperationConsistency.begin(requirements, policy)
        traceparent = headers.get(b"traceparent", b"").decode("latin-1")
        return RequestContext(
            principal=principal,
            rows=RequestRows(self.models, self.reader, self.hub, consistent, principal.claims),
            operation=consistent,
            commands=self.commands,
            tokens=self.tokens,
            correlation_id=correlation_id.decode("ascii"),
            traceparent=traceparent if _TRACEPARENT.match(traceparent) else None,
        )

    async def _plain(
        self, operation: Operation, asked: GraphQLRequest, context: RequestContext, receive: Receive, began_s: float
    ) -> tuple[bytes | None, list[dict[str, Any]]]:
        """Data as JSON (None when nothing was executed) and errors, of what the engine leaves to the plain executor."""
        executing = self.executor.execute(operation, asked.variables, context)
        if operation.type is OperationType.QUERY:
            answer = await self.attendance.attended(executing, receive, began_s, context.rows)
        else:
            answer = await executing
        return _encode(answer.data) if answer.has_data else None, answer.errors

    def _wanted(self, headers: Headers, asked: GraphQLRequest) -> tuple[Requirements, Policy]:
        """What the request must see, and how long it may wait for it. Raises BadTokenError."""
        extension = asked.extensions.get("consistency") if asked.extensions else None
        token = headers.get(TOKEN_IN)
        if token is None and extension is None and self.max_wait_ms >= _DEFAULT_POLICY.max_wait_ms:
            return _NO_REQUIREMENTS, _DEFAULT_POLICY
        after = None if token is None else token.strip().decode("latin-1")
        return read_policy(after, extension, self.tokens, cap_ms=self.max_wait_ms)


def _correlation_id(given: bytes | None) -> bytes:
    """The caller's, when it can be one, else a new one."""
    if given is not None and _CORRELATION_ID.match(given := given.strip()):  # blanks around a value are no part of it
        return given
    return b"%032x" % random.getrandbits(128)


def _wants_plan(headers: Headers, asked: GraphQLRequest) -> bool:
    """By extension or, for editors that send none, by header."""
    return bool((asked.extensions or {}).get("plan")) or headers.get(PLAN_IN, b"").strip().lower() in (b"1", b"true")


def _refused(error: Exception, headers: Headers, method: str) -> Reply:
    """The answer to a request of which nothing was executed, or at which the gateway failed.

    GraphQL over HTTP, sections 6.4.1 and 6.4.2: a well-formed request that is refused is 200 in the old media type.
    """
    media_type = media_type_for(headers)
    if not isinstance(error, RequestError):
        log.error("a request failed", exc_info=error)
        errors = [{"message": "internal error", "extensions": {"code": INTERNAL}}]
        return told(body_of(None, errors, None), 500, media_type)
    status = 200 if media_type is JSON_MEDIA_TYPE else 400
    if isinstance(error, MalformedRequestError):
        status = error.status
    body = body_of(None, request_errors(error), None)
    if status != 405:
        return told(body, status, media_type)
    is_read = method in ("GET", "HEAD")  # and was refused because it would change something
    return told(body, status, media_type, (b"allow", b"POST" if is_read else b"GET, POST"))


_PAGE: Final = fixed([(name.lower().encode(), value.encode()) for name, value in PAGE_HEADERS.items()])
