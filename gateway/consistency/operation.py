"""The consistency of one operation: what it must see, how long it may wait for it, and what came of that.

Invariants: once a read of this operation showed an aggregate below its required version, or could not show it, that is part of the
answer and stays reported, whatever a later read saw; requirements only grow while the operation runs (by its own commands);
expired ones are checked but not waited for.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, TypeAlias

import msgspec

from gateway.consistency.requirements import Aggregate, Required, Requirements
from gateway.consistency.token import TokenCodec
from gateway.errors import BadTokenError
from projections.errors import RebuildingError
from projections.store.document import PARKED, Document

Found: TypeAlias = Document | RebuildingError | None
"""What a read for a document came to, when the store answered: it is not there, or may still come, are two answers."""

DEFAULT_WAIT_MS: Final = 250
EXPIRES_S: Final = 120
"""Older requirements are not waited for: the projector had two minutes."""


class OnTimeout(Enum):
    """What a read does when its wait ends before the data is there."""

    STALE = "STALE"
    ERROR = "ERROR"


class _PolicyInput(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    after: str | None = None
    max_wait_ms: int | None = None
    on_timeout: OnTimeout = OnTimeout.STALE


_WANTED: Final = {"after": "a token", "maxWaitMs": "a whole number of milliseconds", "onTimeout": "STALE or ERROR"}
_AT: Final = re.compile(r" - at `\$\.(after|maxWaitMs|onTimeout)`\Z")
"""The end of msgspec's words for one of them that does not fit. The rest of its words repeats what was sent."""


@dataclass(frozen=True)
class Policy:
    """How long to wait, and what then."""

    max_wait_ms: int = DEFAULT_WAIT_MS
    on_timeout: OnTimeout = OnTimeout.STALE


def read_policy(header: str | None, extension: Any, codec: TokenCodec, *, cap_ms: int) -> tuple[Requirements, Policy]:
    """What a request asks for: tokens of header and `extensions.consistency` merged, and the policy.

    Raises BadTokenError, also for a policy that cannot be read.
    """
    try:
        given = msgspec.convert(extension if extension is not None else {}, _PolicyInput)
    except msgspec.ValidationError as fault:
        raise BadTokenError(_told(fault)) from None
    wait_ms = DEFAULT_WAIT_MS if given.max_wait_ms is None else given.max_wait_ms
    if wait_ms < 0:
        raise BadTokenError("extensions.consistency: maxWaitMs is below zero")
    requirements = Requirements()
    for token in (header, given.after):
        if token:
            requirements = requirements.merge(codec.read(token))
    return requirements, Policy(min(wait_ms, cap_ms), given.on_timeout)


def _told(fault: msgspec.ValidationError) -> str:
    """Where a policy does not fit, and what was expected there."""
    found = _AT.search(str(fault))
    if found is None:
        return f"extensions.consistency does not fit: it is an object of {', '.join(_WANTED)}, each of which may be left out"
    return f"extensions.consistency.{found[1]} does not fit: expected {_WANTED[found[1]]}"


@dataclass(frozen=True)
class Unmet:
    """A requirement that the answer does not meet, and why: LAG, PARKED, REBUILDING, EXPIRED, UNAVAILABLE, BEST_EFFORT.

    `seen` is the version that was read, 0 for none; None where no version vouches for what was read.
    """

    aggregate: Aggregate
    required: Required
    seen: int | None
    reason: str


@dataclass
class OperationConsistency:
    """Owned by one operation; used on its loop only."""

    requirements: Requirements
    policy: Policy
    deadline_s: float
    _waited_ms: float = 0.0
    _spent_ms: float = 0.0
    unmet: dict[Aggregate, Unmet] = field(default_factory=dict[Aggregate, Unmet])

    @classmethod
    def begin(cls, requirements: Requirements, policy: Policy) -> OperationConsistency:
        """Starts the operation's one deadline now."""
        if not requirements:
            return cls(requirements, policy, 0.0)  # nothing to wait for, until a command of its own has written
        return cls(requirements, policy, asyncio.get_running_loop().time() + policy.max_wait_ms / 1000)

    def wrote(self, minted: Requirements) -> None:
        """Takes in what a command of this operation changed. The wait for it starts now, not when the request came; all such
        waits together (mutations run one after another) take no longer than the policy allows."""
        self.requirements = self.requirements.merge(minted)
        self._spent_ms, self._waited_ms = self.waited_ms, 0.0
        left_ms = max(0.0, self.policy.max_wait_ms - self._spent_ms)
        self.deadline_s = asyncio.get_running_loop().time() + left_ms / 1000

    def waited(self, wait_ms: float) -> None:
        """Takes in a wait that has ended; waits side by side count once."""
        self._waited_ms = max(self._waited_ms, wait_ms)

    @property
    def waited_ms(self) -> float:
        """How long the operation has waited, in all."""
        return self._spent_ms + self._waited_ms

    def required(self, aggregate: Aggregate) -> Required | None:
        """What must be seen of one aggregate."""
        return self.requirements.of.get(aggregate)

    def required_of_type(self, context: str, type_name: str) -> dict[Aggregate, Required]:
        """What must be seen of a type: it feeds the lists of that type."""
        return {
            name: required
            for name, required in self.requirements.of.items()
            if name.context == context and name.type == type_name
        }

    def judge(self, aggregate: Aggregate, required: Required, found: Found) -> Unmet | None:
        """Holds what was read against what is required; what falls short is kept for the answer."""
        if is_met(required, found):
            return None
        if isinstance(found, RebuildingError):
            reason = "REBUILDING"
        elif is_parked(found):
            reason = "PARKED"
        else:
            reason = "EXPIRED" if is_expired(required) else "LAG"
        seen = found.version if isinstance(found, Document) else 0
        return self._falls_short(Unmet(aggregate, required, seen, reason))

    def unread(self, aggregate: Aggregate, required: Required) -> None:
        """Keeps for the answer that a read which had to see this failed."""
        self._falls_short(Unmet(aggregate, required, 0, "UNAVAILABLE"))

    def unvouched(self, aggregate: Aggregate, required: Required) -> None:
        """Keeps for the answer that nothing vouches for what was read; whatever else falls short says more."""
        self.unmet.setdefault(aggregate, Unmet(aggregate, required, None, "BEST_EFFORT"))

    def _falls_short(self, verdict: Unmet) -> Unmet:
        self.unmet[verdict.aggregate] = verdict
        return verdict


def is_met(required: Required, found: Found) -> bool:
    """Whether what was read is at the required version or later."""
    return isinstance(found, Document) and found.at >= required.at


def is_parked(found: Found) -> bool:
    """Whether the aggregate's events wait in the quarantine: it gets no further by itself."""
    return isinstance(found, Document) and bool(found.flags & PARKED)


def is_expired(required: Required) -> bool:
    """Whether a requirement is too old to wait for."""
    return time.time() - required.minted_s > EXPIRES_S


def may_come(required: Required, found: Found) -> bool:
    """Whether something is missing that is worth a wait."""
    return not is_met(required, found) and not is_parked(found) and not is_expired(required)


def report(operation: OperationConsistency, codec: TokenCodec) -> Mapping[str, Any] | None:
    """`extensions.consistency` of the answer; None when the operation had nothing to do with tokens."""
    if not operation.requirements:
        return None
    unmet: list[dict[str, Any]] = [
        {
            "id": f"{verdict.aggregate.type}/{verdict.aggregate.id}",
            "version": verdict.required.version,
            "seen": verdict.seen,
            "reason": verdict.reason,
        }
        for verdict in operation.unmet.values()
    ]
    if operation.requirements.truncated:
        unmet.append({"reason": "BEST_EFFORT"})
    return {
        "token": codec.mint(operation.requirements),
        "satisfied": not unmet,
        "waitedMs": round(operation.waited_ms, 1),
        "unmet": unmet,
    }
