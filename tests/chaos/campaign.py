"""Plays a schedule against real processes and servers, and compares everything at the end.

Invariants: nothing is restarted to heal: a worker is started again only for one that was killed; when the campaign waits, it waits
for what the store says, and gives up with what is missing.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import redis

from tests.chaos import schedule
from tests.chaos.contents import Comparison, compare
from tests.chaos.crew import Crew, Worker
from tests.chaos.history import Message
from tests.chaos.models import ALL, TOPICS
from tests.chaos.oracle import expected
from tests.chaos.publish import Publisher, read_back
from tests.chaos.schedule import Fault
from tests.chaos.servers import FailingValkey
from tests.chaos.stored import stored

POLL_S: Final = 0.02
PROGRESS_WITHIN_S: Final = 45.0
TAKEOVER_WITHIN_S: Final = 60.0
MARKED_WITHIN_S: Final = 20.0


@dataclass
class Tally:
    """What happened: faults by kind, and seconds from each failover, and each server's return, to what is told."""

    faults: dict[str, int] = field(default_factory=dict[str, int])
    back_s: dict[str, list[float]] = field(default_factory=dict[str, list[float]])

    def count(self, kind: str, number: int = 1) -> None:
        self.faults[kind] = self.faults.get(kind, 0) + number


class Progress:
    """How far the stored positions have got, over all buckets and partitions: the least of the buckets counts."""

    def __init__(self, valkey: FailingValkey, buckets: int) -> None:
        self._valkey = valkey
        self._buckets = buckets

    def ends(self) -> dict[tuple[str, str], int]:
        """By projection and `<topic>/<partition>`. Raises redis.RedisError."""
        with redis.Redis.from_url(self._valkey.url, socket_timeout=2.0) as client, client.pipeline() as pipe:
            places = [(projection, number) for projection in ALL for number in range(self._buckets)]
            for projection, number in places:
                pipe.hgetall(f"hr:{{{projection.name}:{projection.version}:{number}}}:pos")
            found: dict[tuple[str, str], int] = {}
            least: dict[tuple[str, str], list[int]] = {}
            for (projection, _), positions in zip(places, pipe.execute(), strict=True):
                for at, offset in positions.items():
                    least.setdefault((projection.name, at.decode()), []).append(int(offset))
            for key, offsets in least.items():
                found[key] = min(offsets) if len(offsets) == self._buckets else 0
            return found

    def total(self) -> int | None:
        """All positions added up; None while the store is away."""
        try:
            return sum(self.ends().values())
        except redis.RedisError:
            return None

    def missing(self, publisher: Publisher) -> int | None:
        """Records that were acknowledged and are not behind a position yet; None while the store is away."""
        try:
            ends = self.ends()
        except redis.RedisError:
            return None
        return sum(
            max(0, end - ends.get((projection.name, at), 0))
            for projection in ALL
            for at, end in publisher.ends.items()
            if at.rpartition("/")[0] in projection.topics
        )


class Campaign:
    """One run: a publisher, a crew and the servers that fail under them."""

    def __init__(
        self,
        crew: Crew,
        valkey: FailingValkey,
        publisher: Publisher,
        *,
        bootstrap: str,
        partitions: int,
        buckets: int,
        tell: Callable[[str], None] = lambda _: None,
        restart_broker: Callable[[float], Awaitable[None]] | None = None,
    ) -> None:
        self.crew = crew
        self.valkey = valkey
        self.publisher = publisher
        self.progress = Progress(valkey, buckets)
        self.tally = Tally()
        self._bootstrap = bootstrap
        self._partitions = partitions
        self._buckets = buckets
        self._tell = tell
        self._restart_broker = restart_broker

    async def play(self, messages: Sequence[Message], faults: Sequence[Fault]) -> None:
        """Publishes all messages, and brings each fault about in its place, while work is under way."""
        done = 0
        places = [*(fault.place for fault in faults), len(messages)]
        for fault, following in zip(faults, places[1:], strict=True):
            before = self.progress.total() or 0
            stretch, done = messages[done : fault.place], max(done, fault.place)
            tail: Sequence[Message] = ()
            if fault.kind == schedule.FAILOVER:
                tail, done = messages[done:following], max(done, following)
            publishing = asyncio.create_task(self.publisher.publish(stretch))
            try:
                await self._until_progress(before + int(len(stretch) * fault.progress))
                started_s = time.monotonic()
                await self._bring(fault, tail)
                self._tell(f"{fault} ({time.monotonic() - started_s:.1f} s)")
            finally:
                await publishing
        await self.publisher.publish(messages[done:])

    async def restart_broker(self, away_s: float) -> None:
        """Kills the broker and starts it again; for `away_s` in between nobody answers."""
        assert self._restart_broker is not None, "this broker forgets its log"
        await self._restart_broker(away_s)

    async def until_applied(self, within_s: float) -> float:
        """Waits until every position is at its end; the seconds that it took. Raises AssertionError with what is missing."""
        started_s = time.monotonic()
        while missing := self.progress.missing(self.publisher) or self._is_away():
            assert self.crew.alive(), "a worker ended by itself: " + self._tails()
            assert time.monotonic() - started_s < within_s, f"{missing} records are not applied: {self._tails()}"
            await asyncio.sleep(POLL_S)
        return time.monotonic() - started_s

    async def compared(self) -> Comparison:
        """All that is in the store against the fold of everything in the log. Marks, which workers' ticks bring, are waited for."""
        log = await read_back(self._bootstrap, TOPICS, self._partitions, self.publisher)
        should = await asyncio.to_thread(expected, log, self._partitions)
        late_s = time.monotonic() + MARKED_WITHIN_S
        while True:
            found = compare(await asyncio.to_thread(stored, self.valkey.url, self._buckets), should)
            if not found.lacks_marks_alone or time.monotonic() > late_s:
                return found
            await asyncio.sleep(POLL_S)

    async def _until_progress(self, target: int) -> None:
        """Returns when so much is applied, or after a bound: a fault may also come while nobody owns anything."""
        await _until(lambda: (self.progress.total() or 0) >= target, PROGRESS_WITHIN_S)

    async def _bring(self, fault: Fault, tail: Sequence[Message]) -> None:
        self.tally.count(fault.kind, fault.count)
        dice = random.Random(fault.dice)
        match fault.kind:
            case schedule.KILL:
                for worker in dice.sample(self.crew.workers, min(fault.count, len(self.crew.workers))):
                    self.crew.kill(worker)
            case schedule.JOIN:
                self.crew.join()
            case schedule.LEAVE:
                # A process that is asked to end before it can say so much as "ready" has nothing to leave in order.
                await _until(lambda: any(worker.is_ready for worker in self.crew.workers), TAKEOVER_WITHIN_S)
                code = await asyncio.to_thread(self.crew.leave, dice.choice(self._ready()))
                assert code == 0, f"a worker left with code {code}"
            case schedule.STALL:
                await self._stall(dice.choice(self._ready()))
            case schedule.PAUSE:
                await self._pause(dice)
            case schedule.FAILOVER:
                await self._fail_over(fault, tail)
            case schedule.EMPTY:
                await self._empty()
            case _:
                await self._broker()

    def _ready(self) -> list[Worker]:
        """Workers that have told that they are ready, or all of them when nobody has."""
        return [worker for worker in self.crew.workers if worker.is_ready] or self.crew.workers

    async def _stall(self, worker: Worker) -> None:
        """Stopped in the middle of its work; goes on after others have taken over all that it had."""
        worker.stop()
        await self._until_others_have_it(worker)

    async def _pause(self, dice: random.Random) -> None:
        """A worker stops just before it raises a fence, and goes on when others have raised theirs and written."""
        self.crew.ask_for_pause()
        self.crew.kill(dice.choice(self.crew.workers))
        await _until(lambda: self.crew.paused() is not None, TAKEOVER_WITHIN_S)
        self.crew.forget_pause()
        worker = self.crew.paused()
        assert worker is not None, "nobody came to raise a fence"
        await self._until_others_have_it(worker)

    async def _until_others_have_it(self, worker: Worker) -> None:
        """Everything published so far gets applied while one worker is stopped: so others own all partitions."""
        deadline_s = time.monotonic() + TAKEOVER_WITHIN_S
        try:
            while self.progress.missing(self.publisher) != 0:
                assert time.monotonic() < deadline_s, "nobody took over from a stopped worker: " + self._tails()
                await asyncio.sleep(POLL_S)
        finally:
            worker.go_on()

    async def _fail_over(self, fault: Fault, tail: Sequence[Message]) -> None:
        """The replica misses what is written of a tail of records, and then is the primary."""
        await asyncio.to_thread(self.valkey.attach)
        await asyncio.to_thread(self.valkey.detach)
        before = self.progress.total() or 0
        publishing = asyncio.create_task(self.publisher.publish(tail))
        try:
            await self._until_progress(before + int(len(tail) * fault.tail))
            lost = (self.progress.total() or 0) - before
            await asyncio.to_thread(self.valkey.fail_over, amnesia=fault.amnesia)
        finally:
            await publishing
        self.tally.count("positions lost in failovers", max(0, lost))
        await self._time_back("redis", before)

    async def _empty(self) -> None:
        await asyncio.to_thread(self.valkey.restart_empty)
        await self._time_back("redis", 0)

    async def _broker(self) -> None:
        before = self.progress.total() or 0
        await self.restart_broker(0.0)
        await self._time_back("kafka", before)

    async def _time_back(self, server: str, before: int) -> None:
        """Seconds from a server's return to the first position that moves on; nothing when there is nothing to do."""
        started_s = time.monotonic()
        while (self.progress.total() or 0) <= before:
            if self.progress.missing(self.publisher) == 0:
                return
            assert time.monotonic() - started_s < TAKEOVER_WITHIN_S, f"nothing moves after {server}: {self._tails()}"
            await asyncio.sleep(POLL_S)
        self.tally.back_s.setdefault(server, []).append(round(time.monotonic() - started_s, 2))

    def _is_away(self) -> bool:
        return self.progress.missing(self.publisher) is None

    def _tails(self) -> str:
        return "\n".join(f"-- {worker.name}\n{worker.tail()}" for worker in self.crew.workers)


async def _until(condition: Callable[[], bool], within_s: float) -> None:
    """Returns when it holds, or after a bound."""
    deadline_s = time.monotonic() + within_s
    while not condition() and time.monotonic() < deadline_s:  # noqa: ASYNC110 - other processes bring it about
        await asyncio.sleep(POLL_S)
