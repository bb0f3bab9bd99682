"""A Redis Cluster of masters out of embedded servers, on free loopback ports."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Self

import redis

from gateway.dev.ports import LOOPBACK, free_port
from gateway.dev.servers import EmbeddedServer, ServerLaunch, valkey_launch
from tests.until import until

SLOTS: Final = 16_384
_NODE_TIMEOUT_MS: Final = 2_000
"""A master that is silent for so long is taken for dead. Short, so that tests of failovers are; a busy machine needs some."""


class ClusterMember(EmbeddedServer):
    """One server of a cluster; its bus keeps its port over restarts, as its own port does."""

    def __init__(self, command: tuple[str, ...] = ()) -> None:
        super().__init__(self._launch_member)
        self._command = command
        self.bus_port = 0

    def _launch_member(self, port: int, folder: Path) -> ServerLaunch:
        if not (folder / "nodes.conf").exists():
            self.bus_port = free_port()
        options: tuple[str, ...] = ("--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf")
        options += ("--cluster-port", str(self.bus_port), "--cluster-node-timeout", str(_NODE_TIMEOUT_MS))
        options += ("--cluster-require-full-coverage", "no")
        return valkey_launch(port, folder, command=self._command, options=options)

    def ask(self, *words: Any) -> Any:
        """One command to this server."""
        with redis.Redis(LOOPBACK, self.port) as client:
            return client.execute_command(*words)


def _took(member: ClusterMember, *words: Any) -> bool:
    with contextlib.suppress(redis.ResponseError):
        return bool(member.ask(*words))
    return False


class EmbeddedCluster:
    """Masters that share the slots evenly, ready once all of them agree on that; `url` is that of the first.

    `command` starts another server than the embedded Valkey.
    """

    def __init__(self, masters: int = 3, *, command: tuple[str, ...] = ()) -> None:
        self._command = command
        self.members = [ClusterMember(command) for _ in range(masters)]
        self._stack = ExitStack()

    @property
    def url(self) -> str:
        return self.members[0].address

    def owner(self, key: str) -> ClusterMember:
        """The member that has the key's slot now."""
        slot = self.members[0].ask("CLUSTER", "KEYSLOT", key)
        for first, last, (_, port, *_), *_ in self.members[0].ask("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(member for member in self.members if member.port == port)
        raise LookupError(key)

    def move(self, key: str, to: ClusterMember) -> None:
        """Gives the key's slot, which must be empty, to another member."""
        slot, id = to.ask("CLUSTER", "KEYSLOT", key), to.ask("CLUSTER", "MYID")
        for member in (to, *(member for member in self.members if member is not to)):
            member.ask("CLUSTER", "SETSLOT", slot, "NODE", id)

    def add_replica(self, master: ClusterMember) -> ClusterMember:
        """A new member that follows a master and has all of its data."""
        replica = self._stack.enter_context(ClusterMember(self._command))
        self.members[0].ask("CLUSTER", "MEET", LOOPBACK, replica.port, replica.bus_port)
        id = master.ask("CLUSTER", "MYID")
        until(lambda: id in replica.ask("CLUSTER", "NODES"), what="the replica's knowledge of its master")
        until(lambda: _took(replica, "CLUSTER", "REPLICATE", id), what="the replica's consent")
        until(lambda: replica.ask("INFO", "replication").get("master_link_status") == "up", what="its first copy")
        # It takes over those slots of its master that it knows of, and hears of them later than of the master.
        until(lambda: _slots_known(replica) == SLOTS, what="the replica's knowledge of all slots")
        return replica

    def start(self) -> Self:
        for member in self.members:
            self._stack.enter_context(member)
        first, count = self.members[0], len(self.members)
        for place, member in enumerate(self.members):
            low, high = SLOTS * place // count, SLOTS * (place + 1) // count - 1
            member.ask("CLUSTER", "SET-CONFIG-EPOCH", place + 1)
            member.ask("CLUSTER", "ADDSLOTSRANGE", low, high)
            if member is not first:
                first.ask("CLUSTER", "MEET", LOOPBACK, member.port, member.bus_port)
        until(self._agrees(count), within_s=20.0, what="the agreement of the cluster's servers")
        return self

    def close(self) -> None:
        self._stack.close()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()

    def _agrees(self, count: int) -> Callable[[], bool]:
        wanted = {"cluster_state": "ok", "cluster_slots_ok": str(SLOTS), "cluster_known_nodes": str(count)}
        return lambda: all(wanted.items() <= _info(member).items() for member in self.members)


def _info(member: ClusterMember) -> dict[str, str]:
    return dict(line.split(":", 1) for line in member.ask("CLUSTER", "INFO").decode().splitlines() if line)


def _slots_known(member: ClusterMember) -> int:
    """How many slots a member knows an owner of."""
    return sum(high - low + 1 for low, high, *_ in member.ask("CLUSTER", "SLOTS"))
