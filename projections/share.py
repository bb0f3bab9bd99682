"""Taking partitions over: fence, proof, position, identity; in that order, before anything is read or written.

Invariants: whoever holds a share raised its fence in every bucket and proved after it that the group still gives it the
partitions, so that one that was stalled in between writes nothing; where reading goes on is what the store says, never the group.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from projections.errors import FencedError, RegressedError, StoreError
from projections.log.port import Assignment, Log, Partition
from projections.store.change import Advance, Applied, BucketChange, Fence, Fenced, Regressed, Standing
from projections.store.keys import Bucket
from projections.store.port import ProjectorStore

logger = logging.getLogger(__name__)


@dataclass
class Share:
    """The partitions that a consumer holds, and where each bucket stands with them."""

    assignment: Assignment
    fences: Mapping[Bucket, Fence]
    stored: dict[Bucket, dict[Partition, int]]
    """Positions as they are in the store."""
    next: dict[Partition, int]
    """Where reading goes on after all that was written."""
    caught_up: dict[Bucket, set[Partition]]
    built: set[Bucket]
    gone: Mapping[Partition, tuple[int, int]]
    """Where the log begins behind the position: both. What was between them was never read."""
    vanished: frozenset[str]
    """Topics that were read once, and are there no longer."""
    targets: dict[Partition, int] = field(default_factory=dict[Partition, int])
    """The ends that were first seen: a partition that was read up to there is caught up."""

    @property
    def is_built(self) -> bool:
        """Whether no bucket is being rebuilt, as far as this consumer knows."""
        return len(self.built) == len(self.fences)

    def saw_ends(self, ends: Mapping[Partition, int]) -> None:
        """Takes note of the ends of partitions, and of those that were read up to their first one."""
        for at, end in ends.items():
            target = self.targets.setdefault(at, end)
            for bucket, caught_up in self.caught_up.items():
                if self.stored[bucket].get(at, 0) >= target:
                    caught_up.add(at)

    def marks(self, bucket: Bucket) -> tuple[Sequence[Partition], Sequence[Partition]]:
        """Partitions that are caught up and all that there are, for a change of this bucket."""
        return tuple(self.caught_up[bucket]), self.assignment.all


async def hold(
    log: Log, store: ProjectorStore, assignment: Assignment, buckets: Sequence[Bucket], owner: str
) -> Share | None:
    """Takes an assignment over and starts to read it. None when the group has taken it away meanwhile: join again.

    Raises StoreError, LogError; FencedError or RegressedError when another took over at the same time: prove and hold again.
    """
    own = assignment.own
    fences = dict.fromkeys(buckets, Fence(0, owner))  # enough for one who has nothing to write
    for bucket in buckets if own else ():
        fences[bucket] = await store.raise_fence(bucket, own, owner, _now_ms())
    standings = {bucket: await store.standing(bucket) for bucket in buckets}
    if own and not await log.prove(_lowest(own, standings)):
        return None
    identities = await log.identities(own)
    stored: dict[Bucket, dict[Partition, int]] = {}
    for bucket, standing in standings.items():
        stored[bucket] = await _identify(store, bucket, fences[bucket], own, standing, identities)
    following = {at: min(positions[at] for positions in stored.values()) for at in own}
    starts = await log.start(following)
    return Share(
        assignment=assignment,
        fences=fences,
        stored=stored,
        next=following,
        vanished=_vanished(assignment, standings),
        gone={at: (following[at], start) for at, start in starts.items() if following[at] < start},
        caught_up={bucket: {at for at in standing.caught_up if at in own} for bucket, standing in standings.items()},
        built={bucket for bucket, standing in standings.items() if standing.is_built},
    )


async def _identify(
    store: ProjectorStore,
    bucket: Bucket,
    fence: Fence,
    own: Sequence[Partition],
    standing: Standing,
    identities: Mapping[Partition, str],
) -> dict[Partition, int]:
    """The bucket's positions in the logs that are there now: 0 in one that was made anew since the position was stored."""
    positions = {at: standing.positions.get(at, 0) for at in own}
    changed: dict[Partition, Advance] = {}
    for at, identity in identities.items():
        known = standing.identities.get(at)
        if known == identity:
            continue
        if known is not None:
            told = "%s: %s is another log than the one that position %s counts in: read from its start"
            logger.warning(told, bucket.tag, at, positions[at])
        changed[at] = Advance(positions[at], positions[at] if known is None else 0, identity)
    if changed:
        written(bucket, await store.apply(BucketChange(bucket, positions=changed, fence=fence)))
        positions |= {at: advance.next for at, advance in changed.items()}
    return positions


def written(bucket: Bucket, outcome: object) -> Applied:
    """The outcome of a change that must have been written. Raises FencedError, RegressedError, StoreError."""
    match outcome:
        case Applied():
            return outcome
        case Fenced(fence=fence):
            raise FencedError(f"{bucket.tag} has a larger fence: {fence.number} of {fence.owner}")
        case Regressed(positions=positions):
            stored = ", ".join(f"{at} at {offset}" for at, offset in positions.items())
            raise RegressedError(f"{bucket.tag} is stored with {stored}: going back to it")
        case _:
            raise StoreError(f"a change of {bucket.tag} was refused: {outcome}")


def _vanished(assignment: Assignment, standings: Mapping[Bucket, Standing]) -> frozenset[str]:
    read = {at.topic for standing in standings.values() for at in standing.positions}
    return frozenset(read.intersection(assignment.missing))


def _lowest(own: Sequence[Partition], standings: Mapping[Bucket, Standing]) -> dict[Partition, int]:
    return {at: min(standing.positions.get(at, 0) for standing in standings.values()) for at in own}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
