"""What a group gives a member and takes back, between aiokafka's coordinator and the one who reads.

Invariants: a share that was handed over is waited for when the group asks for it back, up to a bound; what the group gave is paused
until reading starts; a share is current only as long as the coordinator is in its generation and wants no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition

from projections.pause import event_within


@dataclass(frozen=True, eq=False)
class Share:
    """Partitions, and who was given them: both name the same member of the same generation as long as it lasts."""

    own: frozenset[TopicPartition]
    generation: int
    member: str


class Membership(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """One consumer's place in its group.

    `held` is the share that the reader has, None when it has none; `changed` is set whenever the group gives or takes.
    """

    def __init__(self, consumer: AIOKafkaConsumer, give_up_within_s: float) -> None:
        self.held: Share | None = None
        self.changed = asyncio.Event()
        self._consumer = consumer
        self._give_up_within_s = give_up_within_s
        self._offered: Share | None = None
        self._is_asked_for = False
        self._given_up = asyncio.Event()

    @property
    def is_revoked(self) -> bool:
        """Whether the reader has no share, or is asked for it, or will be: the coordinator knows first."""
        return self.held is None or self._is_asked_for or not self.is_current(self.held)

    def ask(self) -> None:
        """Asks the reader for its share; it may take it again as long as it is current."""
        self._is_asked_for = True
        self.changed.set()

    def give_up(self) -> None:
        """The reader is through with its share."""
        self.held = None
        self._given_up.set()

    def take(self) -> Share | None:
        """Hands what the group gave over to the reader; None as long as there is nothing, or nothing that lasts."""
        self.changed.clear()
        share = self._offered
        if share is None or not self.is_current(share):
            return None
        self.held, self._is_asked_for = share, False
        return share

    def is_current(self, share: Share) -> bool:
        """Whether the group gave this share and, for all that is known here, has not taken it back."""
        coordinator, subscription = self._consumer._coordinator, self._consumer._subscription.subscription
        return (
            share is self._offered
            and subscription is not None
            and subscription.active
            and not coordinator.need_rejoin(subscription)
            and (coordinator.generation, coordinator.member_id) == (share.generation, share.member)
        )

    def rejoin(self) -> None:
        """Makes the consumer join again: the group did not take it for the owner of its share."""
        self.ask()
        self._offered = None
        self._consumer._coordinator.request_rejoin()

    async def on_partitions_revoked(self, revoked: AbstractSet[TopicPartition]) -> None:
        self._offered = None
        self.ask()
        if self.held is not None and self.held.own:
            self._given_up.clear()
            await event_within(self._given_up, self._give_up_within_s)
        self.held = None

    def on_partitions_assigned(self, assigned: AbstractSet[TopicPartition]) -> None:
        self._consumer.pause(*assigned)
        coordinator = self._consumer._coordinator
        self._offered = Share(frozenset(assigned), coordinator.generation, coordinator.member_id)
        self.changed.set()
