"""A GraphQL request from an HTTP request, checked before anything else looks at it (GraphQL over HTTP).

Invariants: the body is bounded while it streams; whatever is not a request raises MalformedRequestError with the status to answer.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec
from starlette.requests import Request

from gateway.errors import MalformedRequestError

MAX_BODY_BYTES: Final = 256 * 1024
_CHARSET: Final = re.compile(r'charset\s*=\s*"?([^";\s]+)', re.IGNORECASE)


class GraphQLRequest(msgspec.Struct, frozen=True, rename={"operation_name": "operationName"}):
    """The request's parameters, as the specification names them."""

    query: str
    operation_name: str | None = None
    variables: dict[str, Any] | None = None
    extensions: dict[str, Any] | None = None


_decoder: Final = msgspec.json.Decoder(GraphQLRequest)


async def read_request(request: Request) -> GraphQLRequest:
    """The parameters of a GET or POST. Raises MalformedRequestError."""
    if request.method in ("GET", "HEAD"):
        return _from_query(request)
    _check_content_type(request)
    body = await _body(request)
    try:
        return _decoder.decode(body)
    except msgspec.ValidationError as fault:
        raise MalformedRequestError(f"not a GraphQL request: {fault}") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise MalformedRequestError("the body is not JSON in UTF-8") from None
    except RecursionError:
        raise MalformedRequestError("the body is nested too deeply") from None


def _from_query(request: Request) -> GraphQLRequest:
    parameters = request.query_params
    query = parameters.get("query")
    if query is None:
        raise MalformedRequestError("the parameter query is missing")
    return GraphQLRequest(
        query=query,
        operation_name=parameters.get("operationName") or None,
        variables=_json_parameter(parameters.get("variables"), "variables"),
        extensions=_json_parameter(parameters.get("extensions"), "extensions"),
    )


def _json_parameter(text: str | None, name: str) -> dict[str, Any] | None:
    if not text:
        return None
    try:
        return msgspec.json.decode(text, type=dict[str, Any] | None)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        raise MalformedRequestError(f"the parameter {name} is not a JSON object") from None


def _check_content_type(request: Request) -> None:
    content_type = request.headers.get("content-type", "")
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise MalformedRequestError("send application/json", status=415)
    charset = _CHARSET.search(content_type)
    if charset and charset.group(1).lower() not in ("utf-8", "utf8"):
        raise MalformedRequestError("send UTF-8", status=415)
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise MalformedRequestError("send the body without a content encoding", status=415)


async def _body(request: Request) -> bytes:
    too_large = MalformedRequestError(f"the body is larger than {MAX_BODY_BYTES} bytes", status=413)
    length = request.headers.get("content-length", "0")
    if not length.isdecimal() or int(length[:12]) > MAX_BODY_BYTES:
        raise too_large
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise too_large
        chunks.append(chunk)
    return b"".join(chunks)
