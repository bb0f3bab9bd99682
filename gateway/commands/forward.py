"""Commands to the services that own the data, over HTTP as the contract has it.

Invariants: the URL is the configured base and percent-encoded segments, redirects are not followed; a command is sent once; what
was not answered is "outcome unknown", never "failed"; cancellation closes the call and leaves its outcome unknown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import httpx
import msgspec

from gateway.commands.versions import ChangedAggregate, parse_versions
from gateway.errors import ServiceUnavailableError
from schema.errors import BadInputError

MAX_REPLY_BYTES: Final = 256 * 1024


@dataclass(frozen=True)
class Call:
    """One command, ready to go. `path` is relative to the service's base, its segments encoded already."""

    service: str
    path: str
    body: bytes
    command_id: str
    expected_version: int | None
    correlation_id: str
    traceparent: str | None = None


@dataclass(frozen=True)
class Done:
    """Carried out. `versions` lists what changed."""

    versions: Sequence[ChangedAggregate]


@dataclass(frozen=True)
class Refused:
    """The owner said no; nothing was changed. `fields` are (path, message)."""

    code: str
    title: str
    detail: str | None
    fields: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Conflict:
    """The aggregate is at another version; `current` is where, when the owner said so."""

    current: ChangedAggregate | None


@dataclass(frozen=True)
class Unknown:
    """Nobody knows whether it was carried out; `versions` when the owner's failed reply named some."""

    reason: str
    versions: Sequence[ChangedAggregate] = ()


Reply = Done | Refused | Conflict | Unknown


class _ProblemField(msgspec.Struct):
    pointer: str = ""
    detail: str = ""


class _Problem(msgspec.Struct):
    title: str = ""
    detail: str | None = None
    code: str | None = None
    errors: list[_ProblemField] = []


class CommandForwarder:
    """Sends commands. One per process; the HTTP client is the composition root's to close.

    Args:
        services: base URL by name, without a slash at the end.
        timeout_s: for a whole command.
    """

    def __init__(self, client: httpx.AsyncClient, services: Mapping[str, str], *, timeout_s: float) -> None:
        self._client = client
        self._services = services
        self._timeout_s = timeout_s

    async def send(self, call: Call) -> Reply:
        """The owner's answer. Raises ServiceUnavailableError when the command surely was not taken."""
        base = self._services.get(call.service)
        if base is None:
            raise ServiceUnavailableError(f"no address is configured for the service {call.service!r}")
        headers = {
            "content-type": "application/json",
            "accept": "application/json, application/problem+json",
            "idempotency-key": call.command_id,
            "x-correlation-id": call.correlation_id,
            "x-request-timeout-ms": str(int(self._timeout_s * 1000)),
        }
        if call.expected_version is not None:
            headers["if-match"] = f'"{call.expected_version}"'
        if call.traceparent:
            headers["traceparent"] = call.traceparent
        try:
            async with asyncio.timeout(self._timeout_s):  # of the whole command: httpx counts each chunk anew
                url, timeout = base + call.path, httpx.Timeout(self._timeout_s, connect=self._timeout_s * 0.8)
                async with self._client.stream(
                    "POST", url, content=call.body, headers=headers, timeout=timeout
                ) as response:
                    return _reply(call.service, response, await _body(response))
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout):
            raise ServiceUnavailableError(f"the {call.service} service cannot be reached") from None
        except (httpx.TimeoutException, TimeoutError):
            return Unknown(f"the {call.service} service did not answer in time")
        except httpx.HTTPError:
            return Unknown(f"the connection to the {call.service} service was lost")


async def _body(response: httpx.Response) -> bytes:
    """The reply's body, or nothing of one that is larger than any problem document."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.aiter_bytes():
        size += len(chunk)
        if size > MAX_REPLY_BYTES:
            return b""
        chunks.append(chunk)
    return b"".join(chunks)


def path_of(template: str, values: Mapping[str, str]) -> str:
    """A command's path with its fields filled in, percent-encoded: nothing of a value reaches another segment.

    Raises BadInputError for a value that is no segment: nothing, `.` or `..`.
    """
    path = template
    for name, value in values.items():
        if value in ("", ".", ".."):
            raise BadInputError(f"{name} cannot be {value!r}")
        path = path.replace("{" + name + "}", quote(value, safe=""))
    return path


def _reply(service: str, response: httpx.Response, content: bytes) -> Reply:
    versions = parse_versions(response.headers.get("aggregate-version"))
    status = response.status_code
    if status in (429, 503):
        if versions is None:
            raise ServiceUnavailableError(f"the {service} service takes no commands now")
        return Unknown(f"the {service} service failed with status {status}", versions)
    if status == 202:
        return Unknown("accepted, and not carried out yet", versions or ())
    if response.is_success:
        return Done(versions) if versions else Unknown(f"the {service} service did not say what it changed")
    if status == 412:
        return Conflict(versions[0] if versions else None)
    if response.is_client_error and status != 408:
        return _refused(status, content)
    return Unknown(f"the {service} service failed with status {status}", versions or ())


_CODES: Final = {400: "BAD_INPUT", 403: "FORBIDDEN", 404: "NOT_FOUND", 409: "CONFLICT", 422: "BAD_INPUT"}


def _refused(status: int, content: bytes) -> Refused:
    """A problem+json reply (RFC 9457) as a refusal; a body that is none keeps the status."""
    try:
        problem = _problems.decode(content)
    except msgspec.DecodeError:
        problem = _Problem()
    return Refused(
        code=problem.code or _CODES.get(status, "REFUSED"),
        title=problem.title or f"refused with status {status}",
        detail=problem.detail,
        fields=[(_path(field.pointer), field.detail) for field in problem.errors],
    )


def _path(pointer: str) -> str:
    """`#/lines/0/quantity` (RFC 6901 in a fragment) as `lines.0.quantity`."""
    return pointer.removeprefix("#").strip("/").replace("/", ".").replace("~1", "/").replace("~0", "~")


_problems: Final[msgspec.json.Decoder[Any]] = msgspec.json.Decoder(_Problem)
