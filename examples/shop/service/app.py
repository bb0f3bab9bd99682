"""The HTTP face of one service: a Starlette app with a route per command, the owner's read and `/livez`.

- No request, however broken, is answered with a 500: what is wrong with it is said in problem+json.
- A database that cannot be reached is a 503 with `Retry-After`; the idempotency key makes the retry safe.
- The app starts nothing: relay and listeners belong to `serve`.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from examples.shop.service import aggregates, commands, headers, inputs, problem
from examples.shop.service.answers import Answer
from examples.shop.service.arrivals import Arrivals
from examples.shop.service.commands import Asked
from examples.shop.service.database import UNAVAILABLE, Database
from examples.shop.service.declare import Change, Command, Context, Creation
from examples.shop.service.errors import ClientError, FieldProblem, InputError, NotFoundError, RefusedError
from examples.shop.service.fields import KEY_PATTERN

# 100 order lines with keys of full length take 16 KB.
_MAX_BODY_BYTES = 65_536
# How long a command waits for news of something that it refers to (an order that was placed a moment ago).
_PATIENCE_MS = 1_000
_KEY = re.compile(KEY_PATTERN)
_PLACEHOLDER = re.compile(r"{(\w+)}")

_logger = logging.getLogger(__name__)

Handler = Callable[[Request], Awaitable[Response]]


def utc_now() -> datetime:
    """The time of the facts."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Service:
    """A context with the database it runs on. `on_commit` is called after each transaction that may have facts."""

    context: Context[Any]
    database: Database
    on_commit: Callable[[], None]
    arrivals: Arrivals = field(default_factory=Arrivals)
    clock: Callable[[], datetime] = utc_now
    patience_ms: int = _PATIENCE_MS


def build_app(service: Service) -> Starlette:
    """The service's ASGI app."""
    aggregate = service.context.aggregate
    routes = [Route(command.path, _command(service, command), methods=["POST"]) for command in service.context.commands]
    routes.append(Route(f"/{aggregate}/{{key}}", _owner_read(service), methods=["GET"]))
    routes.append(Route("/livez", _alive, methods=["GET"]))
    handlers: dict[Any, Any] = {
        ClientError: _client_error,
        HTTPException: _http_error,
        ClientDisconnect: _disconnected,
        **dict.fromkeys(UNAVAILABLE, _database_error),
        Exception: _unexpected,
    }
    return Starlette(routes=routes, exception_handlers=handlers)


def _command(service: Service, command: Command) -> Handler:
    async def handle(request: Request) -> Response:
        asked = await _asked(request, command)
        answer = await _run(service, asked, headers.timeout_ms(request.headers))
        service.on_commit()
        return _response(answer)

    return handle


def _owner_read(service: Service) -> Handler:
    context = service.context

    async def handle(request: Request) -> Response:
        key = request.path_params["key"]
        stored = await service.database.read(aggregates.look, context, key) if _KEY.match(key) else None
        if stored is None:
            raise NotFoundError(context.aggregate)
        version = headers.aggregate_version(context.aggregate, stored)
        if stored.state is None:
            raise NotFoundError(context.aggregate, version)
        return _response(Answer(200, commands.published(context, stored), version))

    return handle


async def _alive(request: Request) -> Response:
    return PlainTextResponse("ok")


async def _asked(request: Request, command: Command) -> Asked:
    command_id = headers.command_id(request.headers)
    expected_version = headers.expected_version(request.headers)
    _refuse_other_media(request.headers.get("content-type"))
    decoded = inputs.decode(await _body(request), command.input, request.url.path)
    target: str | None = None
    match command:
        case Change(path=path):
            target = _target(path, request, decoded.input)
        case Creation() if expected_version is not None:
            detail = "This command makes something new, of which nobody has seen a version."
            raise InputError(400, "IF_MATCH_INVALID", "If-Match does not fit the command", detail)
    trace = headers.trace(request.headers, command_id)
    return Asked(command, command_id, decoded.input, decoded.fingerprint, target, expected_version, trace)


async def _run(service: Service, asked: Asked, timeout_ms: int | None) -> Answer:
    """Executes a command, and again when there is news, as long as it is refused for what may still arrive."""
    loop = asyncio.get_running_loop()
    # Half of what the caller has left, so that the refusal still reaches him.
    patience_ms = service.patience_ms if timeout_ms is None else min(service.patience_ms, timeout_ms / 2)
    deadline = loop.time() + patience_ms / 1000
    while True:
        news = service.arrivals.next()
        try:
            return await service.database.write(commands.execute, service.context, asked, service.clock)
        except RefusedError as refusal:
            try:
                async with asyncio.timeout_at(deadline):
                    await news.wait()
            except TimeoutError:
                return await service.database.write(commands.refuse, asked, refusal, service.clock)


def _target(path: str, request: Request, given: Any) -> str:
    """The id in the path. The body may name it as well, under the placeholder's name; it must be the same."""
    (name,) = _PLACEHOLDER.findall(path)
    key: str = request.path_params[name]
    if not _KEY.match(key):
        raise NotFoundError(name)
    if getattr(given, name) not in (None, key):
        raise inputs.invalid([FieldProblem(f"#/{name}", "is not the one in the path")])
    return key


def _refuse_other_media(content_type: str | None) -> None:
    media_type = (content_type or "application/json").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise InputError(415, "UNSUPPORTED_MEDIA_TYPE", "A command is JSON", "Send it as application/json.")


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BODY_BYTES:
            detail = f"A command has at most {_MAX_BODY_BYTES} bytes."
            raise InputError(413, "BODY_TOO_LARGE", "The body is too large", detail)
    return bytes(body)


def _response(answer: Answer) -> Response:
    media_type = "application/json" if answer.status < 400 else problem.MEDIA_TYPE
    response = Response(answer.body, answer.status, media_type=media_type)
    if answer.aggregate_version is not None:
        response.headers["aggregate-version"] = answer.aggregate_version
    return response


async def _client_error(request: Request, error: ClientError) -> Response:
    return _response(problem.answer(error))


async def _http_error(request: Request, error: HTTPException) -> Response:
    code = {404: "NO_SUCH_ROUTE", 405: "METHOD_NOT_ALLOWED"}.get(error.status_code, "HTTP_ERROR")
    response = _response(problem.plain(error.status_code, code, error.detail))
    response.headers.update(error.headers or {})
    return response


async def _disconnected(request: Request, error: ClientDisconnect) -> Response:
    return Response(status_code=400)  # nobody is there to read it


async def _database_error(request: Request, error: Exception) -> Response:
    _logger.warning("%s: %s", request.url.path, error)
    response = _response(problem.plain(503, "DATABASE_UNAVAILABLE", "Not now: the database does not answer"))
    response.headers["retry-after"] = "1"
    return response


async def _unexpected(request: Request, error: Exception) -> Response:
    return _response(problem.plain(500, "INTERNAL_ERROR", "Something unexpected happened"))
