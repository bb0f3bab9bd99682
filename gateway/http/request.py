"""A GraphQL request from an HTTP request, checked before anything else looks at it (GraphQL over HTTP).

Invariants: the body is bounded while it streams; whatever is not a request raises MalformedRequestError with the status to answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qs

import msgspec
from starlette.types import Receive

from gateway.errors import MalformedRequestError

MAX_BODY_BYTES: Final = 256 * 1024
_CHARSET: Final = re.compile(r'charset\s*=\s*"?([^";\s]+)', re.IGNORECASE)
_JSON: Final = b"application/json"

Headers: TypeAlias = Mapping[bytes, bytes]
"""By name in lower case, as ASGI has them."""


class ClientGoneError(Exception):
    """The client went away before its request was whole; nobody is there to be answered."""


class GraphQLRequest(msgspec.Struct, frozen=True, rename={"operation_name": "operationName"}):
    """The request's parameters, as the specification names them."""

    query: str
    operation_name: str | None = None
    variables: dict[str, Any] | None = None
    extensions: dict[str, Any] | None = None


_decoder: Final = msgspec.json.Decoder(GraphQLRequest)


def check_headers(headers: Headers) -> None:
    """Raises MalformedRequestError for a POST whose body would not be JSON in UTF-8 as it is."""
    if headers.get(b"content-type") != _JSON:
        _check_content_type(headers)
    if b"content-encoding" in headers and headers[b"content-encoding"].lower() != b"identity":
        raise MalformedRequestError("send the body without a content encoding", status=415)


def from_body(body: bytes) -> GraphQLRequest:
    """The parameters of a POST. Raises MalformedRequestError."""
    try:
        asked = _decoder.decode(body)
        return asked if asked.operation_name != "" else msgspec.structs.replace(asked, operation_name=None)
    except msgspec.ValidationError as fault:
        raise MalformedRequestError(f"not a GraphQL request: {fault}") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise MalformedRequestError("the body is not JSON in UTF-8") from None
    except RecursionError:
        raise MalformedRequestError("the body is nested too deeply") from None


def query_parameters(query_string: bytes) -> Mapping[str, str]:
    """The parameters in a URL; of one that is there more than once, the last."""
    found = parse_qs(query_string.decode("latin-1"), keep_blank_values=True)
    return {name: values[-1] for name, values in found.items()}


def from_query(parameters: Mapping[str, str]) -> GraphQLRequest:
    """The parameters of a GET. Raises MalformedRequestError."""
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


def _check_content_type(headers: Headers) -> None:
    content_type = headers.get(b"content-type", b"").decode("latin-1")
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise MalformedRequestError("send application/json", status=415)
    charset = _CHARSET.search(content_type)
    if charset and charset.group(1).lower() not in ("utf-8", "utf8"):
        raise MalformedRequestError("send UTF-8", status=415)


async def read_body(headers: Headers, receive: Receive) -> bytes:
    """The body, while it streams. Raises MalformedRequestError when it is too large, ClientGoneError."""
    too_large = f"the body is larger than {MAX_BODY_BYTES} bytes"
    length = headers.get(b"content-length", b"0").strip()
    if not length.isdigit() or int(length[:12]) > MAX_BODY_BYTES:
        raise MalformedRequestError(too_large, status=413)
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise MalformedRequestError(too_large, status=413)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunk if len(chunks) == 1 else b"".join(chunks)
