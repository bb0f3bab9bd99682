"""Looks at topics every so often: whether a broker answers at all, and whether the topics are still what they were.

Invariants: a look takes at most the time after which silence counts as an outage; one that fails is tried again, on any broker, for
as long as that before it is told.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Final

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from projections.errors import LogUnavailableError
from projections.log.topics import Topic, topics_of

LOOK_S: Final = 1.0
"""A topic that appears, grows or vanishes is noticed within this and the time of an answer."""
RETRY_S: Final = 0.2


class Watch:
    """What is known of some topics. `seen` is of the last look that was answered, names that are not there are left out."""

    def __init__(self, names: Iterable[str], silence_s: float) -> None:
        self.names = frozenset(names)
        self.seen: Mapping[str, Topic] = {}
        self._silence_s = silence_s
        self._due_s = 0.0
        self._failing_since_s: float | None = None

    @property
    def is_due(self) -> bool:
        """Whether it is time to look again."""
        return time.monotonic() >= self._due_s

    async def look(self, client: AIOKafkaClient) -> bool:
        """Whether there was an answer; on a difference the client is made to learn of it, too, and so is its group.

        Raises LogUnavailableError once there has been none for so long.
        """
        started_s = time.monotonic()
        try:
            async with asyncio.timeout(self._silence_s):
                self.seen = await _listed(client, self.names)
        except (KafkaError, OSError, TimeoutError) as error:
            since_s = self._failing_since_s = self._failing_since_s or started_s
            self._due_s = time.monotonic() + RETRY_S
            if time.monotonic() - since_s >= self._silence_s:
                raise LogUnavailableError(f"no broker has answered for {self._silence_s:g} s: {error!r}") from error
            return False
        self._failing_since_s = None
        self._due_s = time.monotonic() + LOOK_S
        for name in self.names:
            topic = self.seen.get(name)
            if len(client.cluster.partitions_for_topic(name) or ()) != (topic.partitions if topic else 0):
                client.force_metadata_update()
                break
        return True


async def _listed(client: AIOKafkaClient, names: frozenset[str]) -> Mapping[str, Topic]:
    try:
        return await topics_of(client, names)
    except NotImplementedError:  # a broker before Kafka 2.8: no ids, and only a listing of everything creates nothing
        if not await client.force_metadata_update():
            raise KafkaError("no broker lists its topics") from None
        found = {name: client.cluster.partitions_for_topic(name) for name in names}
        return {name: Topic(len(numbers), None) for name, numbers in found.items() if numbers}
