"""GraphQL over HTTP: one request in, one answer out, with the consistency token on both ways.

Invariants: every answer is JSON of the GraphQL shape with a code on each error; a request that was refused executed nothing; GET
never runs a mutation; what is executed runs under the request's principal and correlation id.
"""

from __future__ import annotations

import logging
import re
import uuid
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from graphql import OperationType
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from gateway.commands.forward import CommandForwarder
from gateway.consistency.operation import OperationConsistency, read_policy, report
from gateway.consistency.token import TokenCodec
from gateway.consistency.wait import ChangeHub
from gateway.engine.context import RequestContext
from gateway.engine.plain import Answer, PlainExecutor, request_error
from gateway.engine.reader import BatchedReader
from gateway.engine.rows import RequestRows
from gateway.engine.served import ReadModels
from gateway.errors import MalformedRequestError, RequestError
from gateway.http.graphiql.page import PAGE_HEADERS
from gateway.http.request import GraphQLRequest, read_request
from schema.ports import ANONYMOUS

log = logging.getLogger(__name__)

GRAPHQL_MEDIA_TYPE: Final = "application/graphql-response+json"
JSON_MEDIA_TYPE: Final = "application/json"
TOKEN_IN: Final = "headrace-after"  # noqa: S105 - a header's name
TOKEN_OUT: Final = "Headrace-Token"  # noqa: S105
_CORRELATION_ID: Final = re.compile(r"[\x21-\x7e]{1,128}\Z")
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}\Z")


@dataclass(frozen=True)
class GraphQLEndpoint:
    """Answers `/graphql`. All parts are the composition root's."""

    executor: PlainExecutor
    models: ReadModels
    reader: BatchedReader
    hub: ChangeHub
    commands: CommandForwarder
    tokens: TokenCodec
    page: bytes
    max_wait_ms: int

    async def __call__(self, request: Request) -> Response:
        """Handles GET and POST."""
        if request.method == "GET" and _wants_page(request):
            return Response(self.page, headers=dict(PAGE_HEADERS))
        media_type = _media_type(request)
        try:
            return await self._answer(request, media_type)
        except RequestError as error:
            status = _status(error, media_type)
            answer = Answer(None, request_error(error), has_data=False)
            return _response(answer, None, status, media_type)
        except ClientDisconnect:
            return Response(status_code=400)

    async def _answer(self, request: Request, media_type: str) -> Response:
        asked = await read_request(request)
        operation = self.executor.prepare(asked.query, asked.operation_name)
        if operation.type is OperationType.MUTATION and request.method != "POST":
            raise MalformedRequestError("a mutation goes by POST", status=405)
        if operation.type is OperationType.SUBSCRIPTION:
            raise MalformedRequestError("the schema has no subscriptions", status=400)
        context = self._context(request, asked)
        answer = await self.executor.execute(operation, asked.variables, context)
        consistency = report(context.operation, self.tokens)
        extensions = {"consistency": consistency} if consistency else None
        status = 200 if answer.has_data or media_type == JSON_MEDIA_TYPE else 400
        response = _response(answer, extensions, status, media_type)
        if consistency:
            response.headers[TOKEN_OUT] = str(consistency["token"])
        response.headers["X-Correlation-Id"] = context.correlation_id
        return response

    def _context(self, request: Request, asked: GraphQLRequest) -> RequestContext:
        extension = (asked.extensions or {}).get("consistency")
        requirements, policy = read_policy(
            request.headers.get(TOKEN_IN), extension, self.tokens, cap_ms=self.max_wait_ms
        )
        operation = OperationConsistency.begin(requirements, policy)
        given = request.headers.get("x-correlation-id", "")
        traceparent = request.headers.get("traceparent", "")
        return RequestContext(
            principal=ANONYMOUS,
            rows=RequestRows(self.models, self.reader, self.hub, operation),
            operation=operation,
            commands=self.commands,
            tokens=self.tokens,
            correlation_id=given if _CORRELATION_ID.match(given) else str(uuid.uuid4()),
            traceparent=traceparent if _TRACEPARENT.match(traceparent) else None,
        )


def _wants_page(request: Request) -> bool:
    return "query" not in request.query_params and "text/html" in request.headers.get("accept", "")


def _media_type(request: Request) -> str:
    """The new media type when the client names it, else the one that every client knows."""
    return GRAPHQL_MEDIA_TYPE if GRAPHQL_MEDIA_TYPE in request.headers.get("accept", "") else JSON_MEDIA_TYPE


def _status(error: RequestError, media_type: str) -> int:
    """GraphQL over HTTP, sections 6.4.1 and 6.4.2: a well-formed request that is refused is 200 in the old media type."""
    if isinstance(error, MalformedRequestError):
        return error.status
    return 200 if media_type == JSON_MEDIA_TYPE else 400


def _response(answer: Answer, extensions: dict[str, Any] | None, status: int, media_type: str) -> Response:
    body: dict[str, Any] = {}
    if answer.has_data:
        body["data"] = answer.data
    if answer.errors:
        body["errors"] = answer.errors
    if extensions:
        body["extensions"] = extensions
    headers = {"Content-Type": f"{media_type}; charset=utf-8", "Cache-Control": "no-store", "Vary": "Accept"}
    if status == 405:
        headers["Allow"] = "POST"
    return Response(_encoder.encode(body), status_code=status, headers=headers)


_encoder: Final = msgspec.json.Encoder()
