"""application/problem+json (RFC 9457): how every "no" of a service looks."""

from typing import Any

import msgspec

from examples.shop.service.answers import Answer
from examples.shop.service.errors import ClientError

MEDIA_TYPE = "application/problem+json"


def answer(error: ClientError) -> Answer:
    """The answer that an error stands for."""
    version = getattr(error, "aggregate_version", None)
    return Answer(error.status, _body(error), version)


def plain(status: int, code: str, title: str) -> Answer:
    """An answer that no part of the shop raised: an unknown route, an unexpected failure."""
    return Answer(status, msgspec.json.encode(_members(status, code, title)))


def _body(error: ClientError) -> bytes:
    members = _members(error.status, error.code, error.title)
    if error.detail is not None:
        members["detail"] = error.detail
    if error.fields:
        members["errors"] = [{"pointer": field.pointer, "detail": field.detail} for field in error.fields]
    return msgspec.json.encode(members)


def _members(status: int, code: str, title: str) -> dict[str, Any]:
    kind = f"urn:headrace:shop:{code.lower().replace('_', '-')}"
    return {"type": kind, "title": title, "status": status, "code": code}
