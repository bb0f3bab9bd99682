"""The headers of the command contract, read and written.

- A header that decides what happens (`Idempotency-Key`, `If-Match`) is refused when it is malformed.
- A header that only tells where a command came from is passed on as it is, or dropped when it is malformed; none is
  invented here.
"""

import re
from collections.abc import Mapping
from typing import Any

from examples.shop.service.aggregates import Stored
from examples.shop.service.errors import InputError
from examples.shop.service.outbox import Trace

_VISIBLE = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)
_ENTITY_TAG = re.compile(r'"([0-9]{1,10})"', re.ASCII)
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_MILLISECONDS = re.compile(r"[0-9]{1,9}", re.ASCII)


def command_id(headers: Mapping[str, str]) -> str:
    """The `Idempotency-Key`, with or without the quotes of the IETF draft. Raises `InputError`."""
    given = headers.get("idempotency-key")
    if given is None:
        detail = "Every command carries an Idempotency-Key, so that it can be sent again without being done twice."
        raise InputError(400, "IDEMPOTENCY_KEY_MISSING", "Idempotency-Key is missing", detail)
    key = given[1:-1] if len(given) > 2 and given[0] == given[-1] == '"' else given
    if not _VISIBLE.fullmatch(key):
        detail = "Expected 1 to 255 visible ASCII characters, for example a UUID."
        raise InputError(400, "IDEMPOTENCY_KEY_INVALID", "Idempotency-Key is malformed", detail)
    return key


def expected_version(headers: Mapping[str, str]) -> int | None:
    """The version in `If-Match: "7"`; None when the header is absent. Raises `InputError`."""
    given = headers.get("if-match")
    if given is None:
        return None
    tag = _ENTITY_TAG.fullmatch(given.strip())
    if tag is None:
        raise InputError(400, "IF_MATCH_INVALID", "If-Match is malformed", 'Expected one version in quotes: "7".')
    return int(tag.group(1))


def trace(headers: Mapping[str, str], causation_id: str) -> Trace:
    """What the facts of this command will carry."""
    correlation_id = headers.get("x-correlation-id", "")
    traceparent = headers.get("traceparent", "")
    return Trace(
        correlation_id if _VISIBLE.fullmatch(correlation_id) else None,
        causation_id,
        traceparent if _TRACEPARENT.fullmatch(traceparent) else None,
    )


def timeout_ms(headers: Mapping[str, str]) -> int | None:
    """What is left of the caller's deadline, if it says so."""
    given = headers.get("x-request-timeout-ms", "")
    return int(given) if _MILLISECONDS.fullmatch(given) else None


def aggregate_version(aggregate: str, stored: Stored[Any]) -> str:
    """The `Aggregate-Version` of one aggregate, a list of RFC 9651: `"order/o-123";v=3`, with `;e=` when not 0.

    An id needs no escaping inside the quotes: `fields.KEY_PATTERN` allows neither quotes nor backslashes.
    """
    epoch = f";e={stored.epoch}" if stored.epoch else ""
    return f'"{aggregate}/{stored.id}";v={stored.version}{epoch}'
