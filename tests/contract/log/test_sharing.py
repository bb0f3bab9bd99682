"""What a log promises of its group: every partition has one reader, who proves it, and the position goes from one to the next."""

import asyncio
import time

import pytest

from projections.errors import LogUnavailableError
from projections.log.port import Assignment, Log, Partition
from tests.contract.log.conftest import (
    APACHE_KAFKA,
    GIVE_UP_WITHIN_S,
    SESSION_TIMEOUT_MS,
    WITHIN_S,
    OpenLog,
    Topics,
    settled,
    started,
    until_revoked,
    until_true,
)

LEAVE_WITHIN_S = SESSION_TIMEOUT_MS / 1000 * 0.8
"""Less than a session: whoever leaves says so."""


async def two_members(topics: Topics, open_log: OpenLog, topic: str) -> tuple[list[Log], list[Assignment]]:
    await topics.create(topic, 4)
    members = [open_log(topic), open_log(topic)]
    return members, await settled(members, [topic])


async def test_shares_are_disjoint_and_complete(topics: Topics, open_log: OpenLog, unique: str) -> None:
    members, shares = await two_members(topics, open_log, unique)
    everything = [Partition(unique, n) for n in range(4)]
    assert sorted([*shares[0].own, *shares[1].own]) == everything
    assert [len(share.own) for share in shares] == [2, 2]
    for member, share in zip(members, shares, strict=True):
        assert share.all == everything
        assert share.missing == []
        assert await member.prove(dict.fromkeys(share.own, 0))
    assert not await members[0].prove(dict.fromkeys(shares[1].own, 0))
    assert members[0].is_revoked


async def test_a_revoke_waits_for_the_member_that_is_busy(topics: Topics, open_log: OpenLog, unique: str) -> None:
    await topics.create(unique, 2)
    first, second = open_log(unique), open_log(unique)
    await started(first, {Partition(unique, 0): 0, Partition(unique, 1): 0})
    joining = asyncio.ensure_future(second.join([unique]))
    await until_revoked(first)
    await asyncio.sleep(GIVE_UP_WITHIN_S / 3)
    assert not joining.done()
    async with asyncio.timeout(WITHIN_S):
        shares = [await first.join([unique]), await joining]
    assert sorted([*shares[0].own, *shares[1].own]) == [Partition(unique, 0), Partition(unique, 1)]
    assert await first.prove(dict.fromkeys(shares[0].own, 0))


async def test_a_revoke_does_not_wait_for_ever(topics: Topics, open_log: OpenLog, unique: str) -> None:
    await topics.create(unique, 2)
    first, second = open_log(unique), open_log(unique)
    before = await started(first, {Partition(unique, 0): 0, Partition(unique, 1): 0})
    async with asyncio.timeout(WITHIN_S):
        await second.join([unique])
    assert first.is_revoked
    assert not await first.prove(dict.fromkeys(before.own, 0))
    assert await first.fetch(max_records=10, wait_ms=10) == []
    shares = await settled([first, second], [unique])
    assert sorted([*shares[0].own, *shares[1].own]) == [Partition(unique, 0), Partition(unique, 1)]


async def test_who_leaves_hands_over_at_once(topics: Topics, open_log: OpenLog, unique: str) -> None:
    members, _ = await two_members(topics, open_log, unique)
    await members[0].close()
    await until_revoked(members[1], LEAVE_WITHIN_S)
    assert (await members[1].join([unique])).own == [Partition(unique, n) for n in range(4)]


async def test_nothing_is_lost_or_skipped_when_positions_are_carried_over_rebalances(
    topics: Topics, open_log: OpenLog, unique: str
) -> None:
    """A third member comes and goes while two read; all keep their positions in one place, as the store does."""
    await topics.create(unique, 4)
    stored: dict[Partition, int] = {Partition(unique, n): 0 for n in range(4)}
    seen: dict[Partition, list[int]] = {at: [] for at in stored}
    count, written = 60, asyncio.Event()

    async def read(log: Log) -> None:
        while not written.is_set() or sum(stored.values()) < 4 * count:
            own = (await log.join([unique])).own
            await log.start({at: stored[at] for at in own})
            while not log.is_revoked and (not written.is_set() or sum(stored.values()) < 4 * count):
                for record in await log.fetch(max_records=7, wait_ms=50):
                    at = Partition(record.topic, record.partition)
                    assert at in own
                    seen[at].append(record.offset)
                    stored[at] = record.offset + 1
        await log.close()

    async def passing_by(log: Log) -> None:
        await log.join([unique])
        await log.close()

    async with asyncio.timeout(WITHIN_S), asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(read(open_log(unique)))
        for n in range(count):
            if n == count // 2:
                group.create_task(passing_by(open_log(unique)))
            for at in stored:
                await topics.append(unique, at.number, b"k", b"%d" % n)
        written.set()
    assert seen == {at: list(range(count)) for at in stored}


@pytest.mark.parametrize("topics", ["memory", APACHE_KAFKA], indirect=True)
async def test_a_topic_that_grows_is_shared_out_anew(topics: Topics, open_log: OpenLog, unique: str) -> None:
    await topics.create(unique, 1)
    log = open_log()
    assert (await log.join([unique])).all == [Partition(unique, 0)]
    await topics.grow(unique, 3)
    await until_revoked(log)
    assert (await log.join([unique])).own == [Partition(unique, n) for n in range(3)]


async def test_a_topic_that_vanishes_is_missing(topics: Topics, open_log: OpenLog, unique: str) -> None:
    gone, other = f"{unique}-gone", f"{unique}-other"
    await topics.create(gone, 1)
    await topics.create(other, 1)
    log = open_log()
    await started(log, {Partition(gone, 0): 0, Partition(other, 0): 0})
    await topics.delete(gone)
    await until_revoked(log)
    assert await log.join([gone, other]) == Assignment([Partition(other, 0)], [Partition(other, 0)], [gone])
    await log.start({Partition(other, 0): 0})
    assert (await log.identities([Partition(gone, 0), Partition(other, 0)])).keys() == {Partition(other, 0)}
    assert gone not in await topics.names()


async def test_a_topic_that_is_made_anew_has_another_identity(topics: Topics, open_log: OpenLog, unique: str) -> None:
    at = Partition(unique, 0)
    await topics.create(unique, 1)
    log = open_log()
    await started(log, {at: 0})
    first = await log.identities([at])
    assert first[at]
    assert await log.identities([at]) == first
    assert await open_log().join([unique]) == Assignment([at], [at], [])
    await topics.delete(unique)

    async def is_gone() -> bool:
        return unique not in await topics.names()

    await until_true(is_gone)
    await topics.create(unique, 1)
    await until_revoked(log)
    while not (await log.join([unique])).own:  # it had been missing
        await until_revoked(log)
    second = await log.identities([at])
    assert second.keys() == {at}
    assert second != first


async def test_close_ends_a_join(topics: Topics, open_log: OpenLog, unique: str) -> None:
    await topics.create(unique, 1)
    first, second = open_log(unique), open_log(unique)
    await started(first, {Partition(unique, 0): 0})
    joining = asyncio.ensure_future(second.join([unique]))
    await until_revoked(first)
    begun_s = time.monotonic()
    await second.close()
    with pytest.raises(LogUnavailableError):
        await joining
    assert time.monotonic() - begun_s < 2.0
    # Tansu keeps who left while joining for a session.
    async with asyncio.timeout(WITHIN_S):
        while not (await first.join([unique])).own:
            await until_revoked(first)
    assert await first.prove({Partition(unique, 0): 0})
