"""One command, one transaction: first answer, version, decision, state, outbox, answer.

- Everything that a command changes, and the answer to it, is committed together or not at all.
- A refusal changes nothing and is still kept as the answer to its key.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from secrets import token_hex
from typing import Any

import msgspec
from sqlalchemy import Connection

from examples.shop.service import aggregates, answers, problem
from examples.shop.service.aggregates import Addition, Stored
from examples.shop.service.answers import Answer
from examples.shop.service.declare import Change, Command, Context, Creation, Input
from examples.shop.service.errors import ClientError, InputError, NotFoundError, RefusedError, VersionError
from examples.shop.service.headers import aggregate_version
from examples.shop.service.outbox import Trace

# 64 random bits: short enough to read out; should two ever meet, the second command is decided again with another id.
_ID_BYTES = 8


@dataclass(frozen=True, slots=True)
class Asked:
    """A command as it came in. `target` is the id in its path; None for a creation."""

    command: Command
    command_id: str
    input: Input
    fingerprint: bytes
    target: str | None
    expected_version: int | None
    trace: Trace


def execute(connection: Connection, context: Context[Any], asked: Asked, clock: Callable[[], datetime]) -> Answer:
    """Decides and records a command, and returns its final answer.

    Raises `InputError` for a key that was used for something else, and `RefusedError` with `may_arrive`, nothing kept,
    so that the caller may ask again; see `refuse`.
    """
    first = answers.first(connection, asked.command_id, asked.fingerprint)
    if first is not None:
        return first
    now = clock()
    try:
        answer = _accept(context, asked, _record(connection, context, asked, now))
    except InputError:
        raise
    except ClientError as error:
        if isinstance(error, RefusedError) and error.may_arrive:
            raise
        answer = problem.answer(error)
    answers.keep(connection, asked.command_id, asked.fingerprint, answer, now)
    return answer


def refuse(connection: Connection, asked: Asked, refusal: RefusedError, clock: Callable[[], datetime]) -> Answer:
    """Makes a refusal final that might have been overtaken by news, but was not."""
    first = answers.first(connection, asked.command_id, asked.fingerprint)
    if first is not None:
        return first
    answer = problem.answer(refusal)
    answers.keep(connection, asked.command_id, asked.fingerprint, answer, clock())
    return answer


def published(context: Context[Any], stored: Stored[Any]) -> bytes:
    """The aggregate as JSON: its id, and its state in the published shape."""
    state = {} if stored.state is None else msgspec.to_builtins(stored.state)
    return msgspec.json.encode({"id": stored.id, **state})


def _record(connection: Connection, context: Context[Any], asked: Asked, now: datetime) -> Stored[Any]:
    before, events = _decide(connection, context, asked, now)
    addition = Addition(before, [(event, now) for event in events])
    return aggregates.record(connection, context, [addition], asked.trace)[0]


def _decide(
    connection: Connection, context: Context[Any], asked: Asked, now: datetime
) -> tuple[Stored[Any], list[Any]]:
    match asked.command:
        case Creation(decide=decide, lookup=lookup):
            before = aggregates.new(f"{context.id_prefix}-{token_hex(_ID_BYTES)}")
            return before, list(decide(asked.input, lookup(connection, asked.input), now))
        case Change(decide=change):
            before = _existing(connection, context, asked)
            return before, list(change(before.state, asked.input, now))


def _existing(connection: Connection, context: Context[Any], asked: Asked) -> Stored[Any]:
    key = asked.target or ""
    stored = aggregates.load(connection, context, [key]).get(key)
    if stored is None:
        raise NotFoundError(context.aggregate)
    version = aggregate_version(context.aggregate, stored)
    if stored.state is None:
        raise NotFoundError(context.aggregate, version)
    if asked.expected_version is not None and asked.expected_version != stored.version:
        raise VersionError(asked.expected_version, stored.version, version)
    return stored


def _accept(context: Context[Any], asked: Asked, stored: Stored[Any]) -> Answer:
    status = 201 if isinstance(asked.command, Creation) else 200
    return Answer(status, published(context, stored), aggregate_version(context.aggregate, stored))
