"""A Redis-compatible server that fails over: a replica that is detached, and later takes the place of its primary.

Invariants: clients know one address for all time; whoever is primary answers there. All servers are children of this process and
end with it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Self

import redis

from gateway.dev.servers import EmbeddedValkey
from tests.until import until

_WITHIN_S = 10.0


class FailingValkey:
    """A Valkey at `url`, with a replica at times. Methods block and are called from one thread."""

    def __init__(self, start: Callable[[], EmbeddedValkey] = EmbeddedValkey) -> None:
        self._start = start
        self._primary = start()
        self._replica: EmbeddedValkey | None = None

    def __enter__(self) -> Self:
        self._primary.start()
        self._port = self._primary.port
        return self

    def __exit__(self, *_: object) -> None:
        for server in (self._primary, self._replica):
            if server is not None:
                server.close()

    @property
    def url(self) -> str:
        """Where the primary of the moment answers."""
        return f"redis://127.0.0.1:{self._port}"

    def attach(self) -> None:
        """Gives the primary a replica that has all of its data."""
        assert self._replica is None
        self._replica = self._start().start()
        with redis.Redis.from_url(self._replica.url) as replica:
            replica.replicaof("127.0.0.1", self._port)
            until(lambda: _is_in_step(replica), _WITHIN_S, "the replica's first copy")

    def detach(self) -> None:
        """From now on the replica gets nothing more: what is written after this is the tail that will be lost."""
        assert self._replica is not None
        with redis.Redis.from_url(self._replica.url) as replica:
            replica.replicaof("NO", "ONE")

    def fail_over(self, *, amnesia: bool = False, away_s: float = 0.0) -> None:
        """Kills the primary and puts the replica, as it is, on its address; with `amnesia` it lacks the function library.

        For `away_s` between the two nobody answers there.
        """
        assert self._replica is not None
        with redis.Redis.from_url(self._replica.url) as replica:
            replica.replicaof("NO", "ONE")
            if amnesia:
                replica.function_flush()
            self._primary.close()
            time.sleep(away_s)
            replica.config_set("port", self._port)
        self._primary, self._replica = self._replica, None
        until(self.answers, _WITHIN_S, "the promoted replica")

    def restart_empty(self) -> None:
        """Kills the primary and starts it on its address with nothing in it."""
        self._primary.close()
        self._primary = EmbeddedValkey(self._port).start()

    def flush(self) -> None:
        """Empties the primary of data and functions while clients are connected."""
        with redis.Redis.from_url(self.url) as client:
            client.flushall()
            client.function_flush()

    def answers(self) -> bool:
        """Whether somebody answers at the address."""
        with contextlib.suppress(redis.RedisError), redis.Redis.from_url(self.url) as client:
            return bool(client.ping())
        return False


def _is_in_step(replica: redis.Redis) -> bool:
    about = replica.info("replication")
    return about["master_link_status"] == "up" and not about["master_sync_in_progress"]
