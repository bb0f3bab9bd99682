"""GraphQL over HTTP: one request in, one answer out, with the consistency token on both ways.

Invariants: every answer is JSON of the GraphQL shape with a code on each error; a request that was refused executed nothing; GET
never runs a mutation; what is executed runs under the request's principal and correlation id.
"""

from __future__ import annotations

import logging
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

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
from gateway.http.request import (
    ClientGoneError,
    GraphQLRequest,
    Headers,
    from_body,
    from_query,
    query_parameters,
)
from schema.ports import Principal

log = logging.getLogger(__name__)

GRAPHQL_MEDIA_TYPE: Final = b"application/graphql-response+json"
JSON_MEDIA_TYPE: Final = b"application/json"
TOKEN_IN: Final = b"headrace-after"
TOKEN_OUT: Final = b"headrace-token"
_CORRELATION_ID: Final = re.compile(r"[\x21-\x7e]{1,128}\Z")
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}\Z")
_NO_REQUIREMENTS: Final = Requirements()
_DEFAULT_POLICY: Final = Policy()
_encode: Final = msgspec.json.Encoder().encode


class Reply(NamedTuple):
    """An answer as it leaves."""

    status: int
    body: bytes
    headers: Sequence[tuple[bytes, bytes]]


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
        headers: Headers = dict(scope["headers"])
        try:
            reply = await self._reply(scope, headers, receive)
        except ClientGoneError:
            return
        await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else reply.body})

    async def _reply(self, scope: Scope, headers: Headers, receive: Receive) -> Reply:
        media_type = _media_type(headers)
        try:
            if scope["method"] == "POST":
                return await self._answer(await from_body(headers, receive), headers, media_type, receive, is_post=True)
            if scope["method"] not in ("GET", "HEAD"):
                raise MalformedRequestError("send GET or POST", status=405)
            parameters = query_parameters(scope["query_string"])
            if "query" not in parameters and b"text/html" in headers.get(b"accept", b""):
                return Reply(200, self.page, _page_headers(len(self.page)))
            return await self._answer(from_query(parameters), headers, media_type, receive, is_post=False)
        except RequestError as error:
            status = _status(error, media_type)
            is_read = scope["method"] in ("GET", "HEAD")  # and was refused because it would change something
            allowed = [(b"allow", b"POST" if is_read else b"GET, POST")] if status == 405 else []
            return _told(_body(None, request_errors(error), None), status, media_type, allowed)
        except (ClientGoneError, OSError):
            raise
        except Exception:
            log.exception("a request failed")
            errors = [{"message": "internal error", "extensions": {"code": INTERNAL}}]
            return _told(_body(None, errors, None), 500, media_type)

    async def _answer(
        self, asked: GraphQLRequest, headers: Headers, media_type: bytes, receive: Receive, *, is_post: bool
    ) -> Reply:
        operation = self.documents.get(asked.query).operation(asked.operation_name)
        if operation.type is OperationType.MUTATION and not is_post:
            raise MalformedRequestError("a mutation goes by POST", status=405)
        if operation.type is OperationType.SUBSCRIPTION:
            raise MalformedRequestError("the schema has no subscriptions", status=400)
        variables, principal = operation.read(asked.variables), self.principal_of(headers)
        self.engine.check(operation, variables, principal)
        consistent = self._consistency(headers, asked)
        rows = RequestRows(self.models, self.reader, self.hub, consistent, principal.claims)
        given = headers.get(b"x-correlation-id")
        correlation_id = _correlation_id(None if given is None else given.decode("latin-1"))
        found: tuple[bytes | None, list[dict[str, Any]]] | None = None
        if operation.type is OperationType.QUERY:  # what a mutation has begun is not broken off
            found = await self.attendance.attended(self.engine.answer(operation, variables, rows), receive)
        if found is None:
            traceparent = headers.get(b"traceparent", b"").decode("latin-1")
            context = RequestContext(
                principal=principal,
                rows=rows,
                operation=consistent,
                commands=self.commands,
                tokens=self.tokens,
                correlation_id=correlation_id,
                traceparent=traceparent if _TRACEPARENT.match(traceparent) else None,
            )
            found = await self._plain(operation, asked, context, receive)
        data, errors = found
        consistency = report(consistent, self.tokens)
        extensions = {"consistency": consistency} if consistency else None
        if self.shows_plans and (asked.extensions or {}).get("plan"):
            extensions = {**(extensions or {}), "plan": self.engine.told(operation, variables)}
        status = 200 if data is not None or media_type is JSON_MEDIA_TYPE else 400
        extra = [(b"x-correlation-id", correlation_id.encode("latin-1"))]
        if consistency:
            extra.append((TOKEN_OUT, str(consistency["token"]).encode()))
        return _told(_body(data, errors, extensions), status, media_type, extra)

    async def _plain(
        self, operation: Operation, asked: GraphQLRequest, context: RequestContext, receive: Receive
    ) -> tuple[bytes | None, list[dict[str, Any]]]:
        """Data as JSON (None when nothing was executed) and errors, of what the engine leaves to the plain executor."""
        executing = self.executor.execute(operation, asked.variables, context)
        if operation.type is OperationType.QUERY:
            answer = await self.attendance.attended(executing, receive, context.rows)
        else:
            answer = await executing
        return _encode(answer.data) if answer.has_data else None, answer.errors

    def _consistency(self, headers: Headers, asked: GraphQLRequest) -> OperationConsistency:
        """What the request must see, and how long it may wait for it. Raises BadTokenError."""
        extension = asked.extensions.get("consistency") if asked.extensions else None
        token = headers.get(TOKEN_IN)
        requirements, policy = _NO_REQUIREMENTS, _DEFAULT_POLICY
        if token is not None or extension is not None or self.max_wait_ms < policy.max_wait_ms:
            after = None if token is None else token.decode("latin-1")
            requirements, policy = read_policy(after, extension, self.tokens, cap_ms=self.max_wait_ms)
        return OperationConsistency.begin(requirements, policy)


def _correlation_id(given: str | None) -> str:
    """The caller's, when it can be one, else a new one."""
    if given is not None and _CORRELATION_ID.match(given):
        return given
    return f"{random.getrandbits(128):032x}"


def _media_type(headers: Headers) -> bytes:
    """The new media type when the client names it, else the one that every client knows."""
    return GRAPHQL_MEDIA_TYPE if GRAPHQL_MEDIA_TYPE in headers.get(b"accept", b"") else JSON_MEDIA_TYPE


def _status(error: RequestError, media_type: bytes) -> int:
    """GraphQL over HTTP, sections 6.4.1 and 6.4.2: a well-formed request that is refused is 200 in the old media type."""
    if isinstance(error, MalformedRequestError):
        return error.status
    return 200 if media_type == JSON_MEDIA_TYPE else 400


def _body(data: bytes | None, errors: list[dict[str, Any]], extensions: dict[str, Any] | None) -> bytes:
    """The answer around data that is JSON already."""
    if data is not None and not errors and not extensions:
        return b'{"data":%b}' % data
    parts = [] if data is None else [b'"data":%b' % data]
    if errors:
        parts.append(b'"errors":%b' % _encode(errors))
    if extensions:
        parts.append(b'"extensions":%b' % _encode(extensions))
    return b"{%b}" % b",".join(parts)


def _told(body: bytes, status: int, media_type: bytes, extra: Sequence[tuple[bytes, bytes]] = ()) -> Reply:
    headers = [*_HEADERS[media_type], (b"content-length", b"%d" % len(body)), *extra]
    return Reply(status, body, headers)


def _page_headers(length: int) -> list[tuple[bytes, bytes]]:
    named = [(name.lower().encode(), value.encode()) for name, value in PAGE_HEADERS.items()]
    return [*named, (b"content-length", b"%d" % length)]


_HEADERS: Final[Mapping[bytes, Sequence[tuple[bytes, bytes]]]] = {
    media_type: (
        (b"content-type", media_type + b"; charset=utf-8"),
        (b"cache-control", b"no-store"),
        (b"vary", b"Accept"),
    )
    for media_type in (GRAPHQL_MEDIA_TYPE, JSON_MEDIA_TYPE)
}
