"""Where the projector's own share goes: when it had records, asked for their documents, wrote them, and was answered.

Invariants: told by the ports alone, from inside the worker's process; stages keep the order of the log, so the n-th record of one
is the n-th of each, as long as every record is of another aggregate. Times are of `time.perf_counter`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from projections.log.kafka import KafkaLog
from projections.record import Record
from projections.store.change import ApplyOutcome, BucketChange
from projections.store.document import Document
from projections.store.keys import Bucket
from projections.store.redis import RedisStore

STAGES: Final = ("decode", "fold", "apply")
"""From a fetch's return to the question for documents, to the change, to its answer."""


@dataclass
class Stages:
    """What happened to so many records at what time; of a fetch also where each partition goes on."""

    fetched: list[tuple[float, int, dict[int, int]]] = field(default_factory=list[tuple[float, int, dict[int, int]]])
    asked: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])
    changed: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])
    answered: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])

    @classmethod
    def read(cls, path: Path) -> Stages:
        """What `noted` has left. Raises OSError, ValueError."""
        found = json.loads(path.read_bytes())
        fetched = [
            (at_s, count, {int(number): end for number, end in ends.items()}) for at_s, count, ends in found["fetched"]
        ]
        rest = {name: [(at_s, count) for at_s, count in found[name]] for name in ("asked", "changed", "answered")}
        return cls(fetched, **rest)

    def shares_ms(self, skipped: int) -> dict[str, list[float]]:
        """Milliseconds of each stage for the records behind the first `skipped`; none where a stage saw fewer of them."""
        each = [_each(stamps)[skipped:] for stamps in (self.fetched, self.asked, self.changed, self.answered)]
        found: dict[str, list[float]] = {}
        for name, (before, after) in zip(STAGES, pairwise(each), strict=True):
            if len(before) != len(after) or not before:
                return {}
            found[f"own_{name}"] = [(end - start) * 1000 for start, end in zip(before, after, strict=True)]
        return found

    def fetched_s(self, partitions: int) -> list[list[float]]:
        """By partition, when each record was fetched, from offset 0 on."""
        found: list[list[float]] = [[] for _ in range(partitions)]
        for at_s, _, ends in self.fetched:
            for number, end in ends.items():
                found[number] += [at_s] * (end - len(found[number]))
        return found


def _each(stamps: Sequence[tuple[Any, ...]]) -> list[float]:
    """One time for each record."""
    return [stamp[0] for stamp in stamps for _ in range(stamp[1])]


@contextmanager
def noted(path: Path) -> Iterator[None]:
    """Notes the stages of all that consumes in this process, and leaves them at `path` at its end."""
    stages = Stages()
    fetch, documents, apply = KafkaLog.fetch, RedisStore.documents, RedisStore.apply

    async def fetched(log: KafkaLog, *, max_records: int, wait_ms: int) -> list[Record]:
        records = await fetch(log, max_records=max_records, wait_ms=wait_ms)
        if records:
            ends = {record.partition: record.offset + 1 for record in records}
            stages.fetched.append((time.perf_counter(), len(records), ends))
        return records

    async def asked(store: RedisStore, bucket: Bucket, ids: Sequence[str]) -> list[Document | None]:
        stages.asked.append((time.perf_counter(), len(ids)))
        return await documents(store, bucket, ids)

    async def applied(store: RedisStore, change: BucketChange) -> ApplyOutcome:
        if change.changes:
            stages.changed.append((time.perf_counter(), len(change.changes)))
        outcome = await apply(store, change)
        if change.changes:
            stages.answered.append((time.perf_counter(), len(change.changes)))
        return outcome

    with (
        patch.object(KafkaLog, "fetch", fetched),
        patch.object(RedisStore, "documents", asked),
        patch.object(RedisStore, "apply", applied),
    ):
        try:
            yield
        finally:
            path.write_text(json.dumps(asdict(stages)))
