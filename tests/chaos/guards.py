"""The guards of the projector: where each stands, what it protects, and the quickest tests that notice when it is gone.

Invariants: `text` occurs exactly once in `file` (a test of the suite says so when it goes stale); `instead` leaves a program that
runs, without the guard.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Guard:
    """One guard.

    Args:
        text, instead: what is replaced by what, in `file`.
        protects: what would go wrong.
        tests: arguments of pytest, tried in this order until one fails.
    """

    name: str
    file: str
    text: str
    instead: str
    protects: str
    tests: tuple[str, ...]


LUA: Final = "projections/store/apply.lua"
STORE: Final = "tests/contract/store/"
UNIT: Final = "tests/unit/projections/"
VALKEY: Final = " -k valkey"
SIMULATION: Final = "tests/chaos/test_simulation.py"

_STORE: Final = (
    Guard(
        "fence check",
        LUA,
        "refusal = refusal or regressed(keys[1], positions, is_fence_lost)",
        "refusal = regressed(keys[1], positions, is_fence_lost)",
        "a worker that was stalled writes after another has taken over",
        (STORE + "test_fence.py" + VALKEY,),
    ),
    Guard(
        "position compare-and-set",
        LUA,
        "    same = same and at == positions[4 * i - 2]\n",
        "",
        "after a failover that lost its tail the position runs ahead of the documents",
        (STORE + "test_apply.py" + VALKEY,),
    ),
    Guard(
        "a lost fence is told",
        LUA,
        "local same, reply, fields = not is_fence_lost, {'REGRESSED'}, {}",
        "local same, reply, fields = true, {'REGRESSED'}, {}",
        "after a failover a position that is the same by chance hides that documents are gone",
        (STORE + "test_fence.py" + VALKEY,),
    ),
    Guard(
        "document compare-and-set",
        LUA,
        "if not is_same then conflicts[i] = true end",
        "",
        "a change folded from an older document overwrites a newer one",
        (STORE + "test_apply.py" + VALKEY,),
    ),
    Guard(
        "a document is newer than its base",
        LUA,
        "if epoch < old_epoch or (epoch == old_epoch and version < old_version)",
        "if false",
        "a caller's defect takes a document back",
        (STORE + "test_apply.py" + VALKEY, "tests/differential"),
    ),
    Guard(
        "fences compared as numbers",
        LUA,
        "if number ~= other_number then return number > other_number end",
        "if number ~= other_number then return tostring(number) > tostring(other_number) end",
        "9 counts for more than 10, and letters for what the locale says",
        (STORE + "test_fence.py" + VALKEY, "tests/differential"),
    ),
    Guard(
        "owners compared byte by byte",
        LUA,
        "return #owner > #other_owner",
        "return false",
        "of two fences with one number each holder takes itself for the owner",
        (STORE + "test_fence.py" + VALKEY, "tests/differential"),
    ),
    Guard(
        "a raise is above what is stored",
        LUA,
        "number = math.max(number, read_fence(text, keys[1]) + 1)",
        "number = math.max(number, 0)",
        "whose clock is behind cannot take partitions over",
        (STORE + "test_fence.py" + VALKEY,),
    ),
    Guard(
        "queue: what is released is what waits",
        LUA,
        "if call('HGET', key, place) ~= coordinates then conflicts[item] = true end",
        "",
        "a record that came meanwhile is dropped from a queue unfolded",
        (STORE + "test_parking.py" + VALKEY, "tests/differential"),
    ),
    Guard(
        "queue: the first record of a version stays",
        LUA,
        "if not taken[place] and not (held and call('HEXISTS', quarantine, held) == 1) then",
        "if not taken[place] then",
        "a replay leaves orphans in the quarantine",
        (STORE + "test_parking.py" + VALKEY, "tests/differential"),
    ),
    Guard(
        "queue bound",
        LUA,
        "if plan.after > plan.size and plan.after > queue_max then",
        "if false then",
        "what waits behind one aggregate grows without end",
        (STORE + "test_parking.py" + VALKEY,),
    ),
    Guard(
        "quarantine bound",
        LUA,
        "if after > size and after > quarantine_max then",
        "if false then",
        "the quarantine grows without end",
        (STORE + "test_apply.py" + VALKEY, STORE + "test_parking.py" + VALKEY),
    ),
    Guard(
        "63 bits",
        LUA,
        "if not fits('0', delta) or not fits(stored, delta) then",
        "if false then",
        "a call fails half way, with its documents written and its position not",
        (STORE + "test_measures.py" + VALKEY,),
    ),
    Guard(
        "timeline idempotence",
        LUA,
        "if not seen[event] and call('HEXISTS', moments, event) == 0 then",
        "if true then",
        "an event that comes twice is in the timeline twice, or its entry changes",
        (STORE + "test_timelines.py" + VALKEY, "tests/differential"),
    ),
    Guard(
        "timeline bound",
        LUA,
        "if excess > 0 then",
        "if false then",
        "a timeline grows without end",
        (STORE + "test_timelines.py" + VALKEY,),
    ),
    Guard(
        "built mark",
        LUA,
        "if not mark then return end",
        "if not mark then break end",
        "a bucket that is being rebuilt answers null",
        (STORE + "test_marks.py" + VALKEY,),
    ),
    Guard(
        "change notice",
        LUA,
        "for i = count + 3, #args do call('SPUBLISH', keys[3], args[i]) end",
        "",
        "whoever waits for a version is woken by the re-check alone",
        (STORE + "test_changes.py" + VALKEY,),
    ),
    Guard(
        "noeviction check",
        "projections/store/redis.py",
        'if policy != "noeviction":',
        'if policy == "nothing":',
        "a store that evicts forgets documents whose versions were told",
        (STORE + "test_redis_alone.py", "tests/integration/projector/test_command.py -k evict"),
    ),
    Guard(
        "functions loaded again",
        "projections/store/commands.py",
        "if not any(map(lacks_functions, replies)):",
        "if True:",
        "a promoted replica that lacks the library stops the projector",
        (STORE + "test_redis_alone.py", STORE + "test_faults.py"),
    ),
)

_OWNERSHIP: Final = (
    Guard(
        "fence raised before anything is read",
        "projections/share.py",
        "fences[bucket] = await store.raise_fence(bucket, own, owner, _now_ms())",
        "await store.ping() if bucket is None else None",
        "whoever had the partitions before goes on writing",
        (UNIT + "test_ownership.py",),
    ),
    Guard(
        "proof after the raise",
        "projections/share.py",
        "if own and not await log.prove(_lowest(own, standings)):",
        "if own and await log.prove(_lowest(own, standings)) is None:",
        "one that was paused before its raise writes over the rightful owner",
        (UNIT + "test_ownership.py",),
    ),
    Guard(
        "proof after being fenced",
        "projections/consume.py",
        "if is_fenced and not await self._log.prove(self._next):",
        "if is_fenced and self._next is None:",
        "one that has lost its partitions raises its fence over the rightful owner's",
        ("tests/chaos/test_zombies.py",),
    ),
    Guard(
        "changes carry the fence",
        "projections/stages.py",
        "fence=self._share.fences[bucket],",
        "fence=None,",
        "a stalled worker's change is looked at by nobody",
        (UNIT + "test_ownership.py", UNIT + "test_consume.py", SIMULATION),
    ),
    Guard(
        "log identity",
        "projections/share.py",
        "changed[at] = Advance(positions[at], positions[at] if known is None else 0, identity)",
        "changed[at] = Advance(positions[at], positions[at], identity)",
        "a topic that was made anew is read from the old position",
        (UNIT + "test_ownership.py", UNIT + "test_consume.py"),
    ),
    Guard(
        "REGRESSED rewinds",
        "projections/share.py",
        'raise RegressedError(f"{bucket.tag} is stored with {stored}: going back to it")',
        "return Applied(len(stored))",
        "after a failover the consumer goes on from where it was",
        (UNIT + "test_consume.py", SIMULATION),
    ),
    Guard(
        "a full quarantine holds up",
        "projections/stages.py",
        'raise QuarantineFullError(f"the quarantine of {bucket.tag} is full: {size} records")',
        "self._progress.written = size",
        "records that find no room are dropped",
        (UNIT + "test_consume.py", UNIT + "test_stages.py"),
    ),
    Guard(
        "reading goes on from the bucket furthest behind",
        "projections/share.py",
        "following = {at: min(positions[at] for positions in stored.values()) for at in own}",
        "following = {at: max(positions[at] for positions in stored.values()) for at in own}",
        "what the other buckets had not got yet is skipped",
        (UNIT + "test_ownership.py", UNIT + "test_consume.py", SIMULATION),
    ),
    Guard(
        "drain on revoke",
        "projections/consume.py",
        "should_end=lambda: self._stopping.is_set() or self._log.is_revoked or self._is_lost,",
        "should_end=lambda: self._stopping.is_set() or self._is_lost,",
        "a worker that is asked for its partitions keeps them until it is thrown out",
        ("tests/chaos/test_zombies.py",),
    ),
    Guard(
        "the group waits for the change under way",
        "projections/log/membership.py",
        "await event_within(self._given_up, self._give_up_within_s)",
        "",
        "a rebalance takes partitions from under a change",
        ("tests/chaos/test_membership.py",),
    ),
    Guard(
        "membership at the time of the proof",
        "projections/log/kafka.py",
        "if not (proven and membership.is_current(share)):",
        "if not proven:",
        "a commit of another generation counts as proof",
        ("tests/chaos/test_membership.py",),
    ),
    Guard(
        "caught up only at the end",
        "projections/share.py",
        "if self.stored[bucket].get(at, 0) >= target:",
        "if target >= 0:",
        "a bucket that is being rebuilt counts as built",
        (UNIT + "test_ownership.py", UNIT + "test_consume.py", STORE + "test_marks.py"),
    ),
    Guard(
        "buckets are claimed again",
        "projections/consume.py",
        "await self._claim_buckets()  # a failover may have lost the number alone, which no position tells",
        "",
        "a store that was emptied never tells how many buckets there are",
        (UNIT + "test_consume.py", UNIT + "test_ownership.py", SIMULATION + " -k 87"),
    ),
    Guard(
        "what waits is read after it is written",
        "projections/stages.py",
        "await self._folded.join()  # what waits behind them may be about to change",
        "",
        "a queue is drained that is not the one stored",
        (UNIT + "test_stages.py", SIMULATION),
    ),
    Guard(
        "a bad deploy parks nobody",
        "projections/stages.py",
        "raise FailureBurstError(self._burst.told())",
        "self._burst.clear()",
        "a defect of the code parks every aggregate there is",
        (UNIT + "test_burst.py", UNIT + "test_consume.py", UNIT + "test_stages.py"),
    ),
)

_FOLD: Final = (
    Guard(
        "version guard of the fold",
        "projections/project.py",
        "if at <= aggregate.at:",
        "if at < (0, 0):",
        "a replay is folded twice; an older state brings a deleted row back",
        (UNIT + "test_project.py",),
    ),
    Guard(
        "gap check",
        "projections/project.py",
        "return at[1] == version + 1 if at[0] == epoch else at[1] == 1",
        "return True",
        "an event is folded before the one that it builds on",
        (UNIT + "test_parking.py", UNIT + "test_project.py"),
    ),
    Guard(
        "a higher epoch starts anew",
        "projections/project.py",
        "starts_anew = not self._state and outcome.epoch > aggregate.at[0]",
        "starts_anew = False",
        "what a restored owner says is folded onto what it has forgotten",
        (UNIT + "test_project.py",),
    ),
    Guard(
        "queue order",
        "projections/parking.py",
        "insort(self._order, at)",
        "self._order.append(at)",
        "a queue is drained in the order in which records came",
        (UNIT + "test_parking.py", UNIT + "test_project.py", SIMULATION),
    ),
    Guard(
        "parked flag",
        "projections/project.py",
        "flags = was | PARKED if queue else was & ~PARKED",
        "flags = was",
        "readers take a held up document for a good one, and its queue is never looked at",
        (UNIT + "test_parking.py",),
    ),
    Guard(
        "the queue drains",
        "projections/project.py",
        "aggregate.queue.release_through(at)\n            self._drain(aggregate, aggregate.queue)",
        "aggregate.queue.release_through(at)",
        "what waited for a missing version goes on waiting when it comes",
        (UNIT + "test_parking.py",),
    ),
    Guard(
        "a mended record takes the place of a broken one",
        "projections/parking.py",
        "if usable is None or self.usable(at) is not None or self._wanted:",
        "if True:",
        "a version that was published again in a good form is taken for a duplicate",
        (UNIT + "test_parking.py",),
    ),
    Guard(
        "old index entries go",
        "projections/entries.py",
        "move.removed.extend([(name, member) for name in before if name not in after])",
        "",
        "rows stay in lists that they have left",
        (UNIT + "test_measures.py", UNIT + "test_project.py"),
    ),
    Guard(
        "a deleted row leaves its lists",
        "projections/entries.py",
        "        elif now is None:\n            move.removed.extend(self._places(was, key))",
        "        elif now is None:\n            pass",
        "rows stay in lists after they were deleted",
        (UNIT + "test_measures.py", UNIT + "test_project.py"),
    ),
    Guard(
        "a total moves by the difference",
        "projections/entries.py",
        "self.amount(now[1]) - self.amount(was[1])",
        "self.amount(now[1])",
        "totals count what was there before as well",
        (UNIT + "test_measures.py",),
    ),
    Guard(
        "old contributions go",
        "projections/entries.py",
        "move.amounts.append((self.name(was[0]), -self.amount(was[1])))",
        "pass",
        "totals count what is not there any more",
        (UNIT + "test_measures.py",),
    ),
    Guard(
        "exact totals",
        "projections/entries.py",
        "if whole != scaled:",
        "if False:",
        "digits of a total are dropped without a word",
        (UNIT + "test_measures.py",),
    ),
    Guard(
        "an event once per batch in a timeline",
        "projections/happenings.py",
        "if (outcome.key, outcome.event_id) in seen:",
        "if outcome.key in ():",
        "what comes twice in a batch counts twice",
        (UNIT + "test_timelines.py",),
    ),
    Guard(
        "the key is the subject",
        "projections/decode.py",
        "envelope.check_id(id, record)",
        "str(record)",
        "a record changes an aggregate that shares no order with it",
        (UNIT + "test_decode.py",),
    ),
    Guard(
        "a null is no domain event",
        "projections/decode.py",
        "if not self._state:",
        "if False:",
        "a null deletes what only events may change",
        (UNIT + "test_decode.py",),
    ),
    Guard(
        "the quick fold takes the next version only",
        "projections/project.py",
        "if outcome.epoch != epoch or outcome.version != version + 1:",
        "if False:",
        "a gap is folded over, and what came before is folded again",
        ("tests/property/test_quick_ways.py", UNIT + "test_project.py"),
    ),
)

_STAGES: Final = (
    Guard(
        "a swallowed cancellation is heeded",
        "projections/pause.py",
        "if task is not None and task.cancelling():",
        "if False:",
        "a stage waits for ever for others that are gone",
        (UNIT + "test_stages.py",),
    ),
    Guard(
        "failures that are read again count once",
        "projections/consume.py",
        "self._burst.clear()",
        "pass",
        "a full quarantine becomes a bad deploy that never ends",
        (UNIT + "test_stages.py",),
    ),
    Guard(
        "what holds no record is passed over",
        "projections/stages.py",
        "if passed:",
        "if False:",
        "rebuilding never ends behind the mark of a transaction",
        (UNIT + "test_stages.py",),
    ),
    Guard(
        "a measure without room is closed off",
        "projections/stages.py",
        "self._runtime.close_off(",
        "dict(",
        "one row that does not fit stops a partition for ever",
        (UNIT + "test_stages.py",),
    ),
    Guard(
        "a full quarantine takes what fits",
        "projections/stages.py",
        "limit = 1 if self._one_by_one > 0 else self._batch_records",
        "limit = self._batch_records",
        "there is nothing to drop, and so never room",
        (UNIT + "test_stages.py",),
    ),
)

GUARDS: Final = (*_STORE, *_OWNERSHIP, *_FOLD, *_STAGES)
