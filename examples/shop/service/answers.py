"""The first answer to each command, kept so that the same command sent again gets it again, byte for byte.

- Every answer that was decided is kept, a refusal as well: a caller who was told "no" may rely on it. A request that
  is wrong in itself is not kept; it stays wrong.
- Answers are forgotten after `KEPT_FOR`; a key that old is a new command.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, delete, insert, select

from examples.shop.service.errors import InputError
from examples.shop.service.tables import answers

KEPT_FOR = timedelta(hours=24)

_FIRST = select(answers).where(answers.c.command_id == bindparam("key"))
_KEEP = insert(answers)
_FORGET = delete(answers).where(answers.c.answered_at < bindparam("before"))


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply over HTTP. The body is JSON, problem+json from status 400 on."""

    status: int
    body: bytes
    aggregate_version: str | None = None


def first(connection: Connection, command_id: str, fingerprint: bytes) -> Answer | None:
    """The first answer to this key. Raises `InputError` when the key came with another command before."""
    found = connection.execute(_FIRST, {"key": command_id}).one_or_none()
    if found is None:
        return None
    if found.fingerprint != fingerprint:
        detail = "The same key always means the same command with the same body."
        raise InputError(422, "IDEMPOTENCY_KEY_REUSED", "This Idempotency-Key was used for another command", detail)
    return Answer(found.status, found.body, found.aggregate_version)


def keep(connection: Connection, command_id: str, fingerprint: bytes, answer: Answer, now: datetime) -> None:
    """Keeps the answer, in the transaction of what it answers."""
    kept = {
        "command_id": command_id,
        "fingerprint": fingerprint,
        "status": answer.status,
        "aggregate_version": answer.aggregate_version,
        "body": answer.body,
        "answered_at": _seconds(now),
    }
    connection.execute(_KEEP, kept)


def forget(connection: Connection, now: datetime) -> int:
    """Forgets the answers that are too old; returns how many."""
    return connection.execute(_FORGET, {"before": _seconds(now - KEPT_FOR)}).rowcount


def _seconds(at: datetime) -> int:
    return int(at.timestamp())
