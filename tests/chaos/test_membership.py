"""A rebalance waits for the change that is under way, and not for ever; a proof counts only in the generation of the share."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace

from aiokafka import TopicPartition

from projections.log.kafka import KafkaLog
from projections.log.membership import Membership, Share
from projections.log.port import Partition
from tests.chaos.simulated import simulate

OWN = frozenset({TopicPartition("shop.orders", 0)})
GIVE_UP_WITHIN_S = 3.0


async def asked_for_its_share(gives_up_after_s: float | None) -> float:
    """Seconds until a member that is asked for its share lets the group go on."""
    consumer = SimpleNamespace(
        _coordinator=SimpleNamespace(generation=1, member_id="m"), _subscription=SimpleNamespace(subscription=None)
    )
    membership = Membership(consumer, GIVE_UP_WITHIN_S)
    membership.held = Share(OWN, 1, "m")
    started_s = time.monotonic()
    if gives_up_after_s is not None:
        asyncio.get_running_loop().call_later(gives_up_after_s, membership.give_up)
    await membership.on_partitions_revoked(OWN)
    assert membership.is_revoked
    return time.monotonic() - started_s


def test_the_group_waits_until_the_reader_is_through() -> None:
    waited_s = simulate(asked_for_its_share(1.0), seed=1)
    assert 1.0 <= waited_s < 1.5


def test_the_group_does_not_wait_longer_than_the_bound() -> None:
    waited_s = simulate(asked_for_its_share(None), seed=1)
    assert GIVE_UP_WITHIN_S <= waited_s < GIVE_UP_WITHIN_S + 0.5


class Committing:
    """A consumer of aiokafka's whose group may go on to the next generation while a commit is on its way."""

    def __init__(self, *, is_overtaken: bool) -> None:
        self._is_overtaken = is_overtaken
        self._coordinator = SimpleNamespace(
            generation=1, member_id="m", need_rejoin=lambda _: False, request_rejoin=lambda: None
        )
        self._subscription = SimpleNamespace(subscription=SimpleNamespace(active=True))
        self.committed: list[dict[TopicPartition, int]] = []

    def pause(self, *partitions: TopicPartition) -> None:
        """Nothing is read here."""

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        self.committed.append(offsets)
        if self._is_overtaken:
            self._coordinator.generation = 2


async def proven(*, is_overtaken: bool) -> bool:
    consumer = Committing(is_overtaken=is_overtaken)
    log = KafkaLog("127.0.0.1:1", group="g")
    membership = Membership(consumer, GIVE_UP_WITHIN_S)
    membership.on_partitions_assigned(OWN)
    assert membership.take() is not None
    vars(log).update(_consumer=consumer, _membership=membership)
    is_proven = await log.prove({Partition("shop.orders", 0): 7})
    assert consumer.committed == [dict.fromkeys(OWN, 7)]
    return is_proven


def test_a_commit_that_the_group_took_proves_the_share() -> None:
    assert simulate(proven(is_overtaken=False), seed=1)


def test_a_commit_that_was_overtaken_by_a_rebalance_proves_nothing() -> None:
    assert not simulate(proven(is_overtaken=True), seed=1)
