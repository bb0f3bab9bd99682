"""What goes wrong between here and the server, in the words of the port.

Invariants: an outage, or a refusal that may end without anybody changing Headrace, is StoreUnavailableError; what somebody has to
mend is StoreMisconfiguredError.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthorizationError,
    ClusterDownError,
    MovedError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
    TryAgainError,
)

from projections.errors import StoreError, StoreMisconfiguredError, StoreUnavailableError

_PASSING: Final = (AskError, ClusterDownError, MovedError, OutOfMemoryError, ReadOnlyError, TryAgainError)
_PASSING_CODES: Final = ("BUSY", "LOADING", "MASTERDOWN", "MISCONF", "NOREPLICAS", "UNBLOCKED")
"""Refusals that may pass: wait and try again. redis-py has classes for some of them."""


AWAY: Final = (RedisError, RedisClusterException, OSError)
"""What redis-py raises, refusals included."""


def told(error: ResponseError) -> StoreError:
    """A refusal of the server in the words of the port.

    Functions that are missing were given to the server once before this is told: it lost them again, and is given them again.
    """
    if isinstance(error, _PASSING) or str(error).startswith(_PASSING_CODES) or lacks_functions(error):
        return StoreUnavailableError(f"the store refuses for the moment: {error}")
    return StoreMisconfiguredError(f"the store refused a command: {error}")


def lacks_functions(reply: object) -> bool:
    """Whether a reply says that the server does not know Headrace's functions."""
    return isinstance(reply, ResponseError) and "unction not found" in str(reply)


def away(error: BaseException) -> StoreError:
    """What redis-py raises (`AWAY`) in the words of the port."""
    if isinstance(error, (AuthenticationError, AuthorizationError)):
        return StoreMisconfiguredError(f"the store refuses the credentials: {error}")
    if isinstance(error, ResponseError):
        return told(error)
    if "luster mode is not enabled" in str(error):
        return StoreMisconfiguredError("the server is no cluster; unset HEADRACE_REDIS_CLUSTER")
    return StoreUnavailableError(f"the store is away: {error}")


@asynccontextmanager
async def translated() -> AsyncGenerator[None]:
    """Tells failures of what is inside in the words of the port."""
    try:
        yield
    except AWAY as error:
        raise away(error) from error


@asynccontextmanager
async def answering(bound_s: float) -> AsyncGenerator[None]:
    """As `translated`, and ends within `bound_s` seconds."""
    try:
        async with asyncio.timeout(bound_s), translated():
            yield
    except TimeoutError:
        raise StoreUnavailableError(f"the store did not answer within {bound_s:g} s") from None
