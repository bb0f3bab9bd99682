"""The ports to the event log: where the relay publishes, and where the listeners read.

Adapters: `kafka` (the real one) and `memory` (the twin for tests). Both heal by being opened again: when a method
raises `BrokerError`, the caller closes the adapter, waits, and opens it anew.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from examples.shop.service.declare import Topic
from examples.shop.service.errors import BrokerError

Headers = Sequence[tuple[str, bytes]]
Place = tuple[str, int]
"""Topic and partition."""


class Outgoing(NamedTuple):
    """A record to publish; a value of None is a tombstone."""

    key: bytes
    value: bytes | None
    headers: Headers


class Incoming(NamedTuple):
    """A record of the log."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass(frozen=True, slots=True)
class Published:
    """Which records (their indexes) the log has for certain, and what went wrong with others, if anything did.

    Records that are neither acknowledged nor in trouble did not fit; they are due next time.
    """

    acknowledged: Sequence[int]
    trouble: BrokerError | None = None


class Publisher(Protocol):
    """Publishes to one topic. Used by one task."""

    async def open(self) -> None:
        """Connects, and makes the topic when it is missing. Raises `BrokerError`."""

    async def publish(self, records: Sequence[Outgoing]) -> Published:
        """Appends records: those of one key in their order, and none after one of the same key that failed.

        Waits for a broker that is away. May append a record that it does not report (the answer was lost): at least
        once. On cancellation the same; close it then.
        """

    async def close(self) -> None:
        """Lets go of the connection, without waiting for a broker that does not answer. May be called twice."""


class Source(Protocol):
    """Reads all partitions of some topics. Used by one task."""

    async def open(self, topics: Sequence[Topic], positions: Mapping[Place, int]) -> None:
        """Starts at `positions`, at the beginning where there is none. Raises `BrokerError`.

        Goes back to the beginning of a partition that ends before its position, now or later: that log was made anew.
        """

    async def fetch(self) -> Sequence[Incoming]:
        """The next records, each partition's in order; none when nothing came for a tenth of a second.

        Never blocks for longer. Raises `BrokerError`; a broker that is away and may come back is just silent.
        """

    async def close(self) -> None:
        """Lets go of the connection. May be called twice."""
