"""An operator at a store in memory: records are fed as a worker would, commands are given as on the command line."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from projections.operate.arguments import parser
from projections.operate.commands import Desk, quarantine
from projections.quarantine import set_aside
from projections.record import Record
from projections.runtime import Definition, runtime_of
from projections.store.change import Applied, BucketChange
from projections.store.document import PARKED, Document
from projections.store.keys import Bucket, bucket_of
from projections.store.memory import MemoryStore

NOW_MS = 1_714_564_800_000


@dataclass
class Said:
    """What a command came to: exit code, standard output, and what it told on standard error."""

    code: int
    out: list[str] = field(default_factory=list[str])
    told: list[str] = field(default_factory=list[str])

    @property
    def json(self) -> Any:
        """The first thing on standard output."""
        return json.loads(self.out[0])


@dataclass
class Counter:
    """A store with one projection or timeline in it."""

    source: Definition
    store: MemoryStore = field(default_factory=MemoryStore)
    buckets: int = 1
    answers: list[bool] | None = None

    async def feed(self, *records: Record) -> None:
        """Takes records one by one as a worker does, without positions."""
        runtime = runtime_of(self.source)
        for record in records:
            outcome = runtime.decode(record)
            id: str = getattr(outcome, "id", None) or ""
            bucket = self.bucket((record.key or b"").decode(errors="replace"))
            [document] = await self.store.documents(bucket, [id]) if id else [None]
            waiting = await self.store.queued(bucket, [id]) if document and document.flags & PARKED else [[]]
            result = runtime.project([outcome], {id: document} if id else {}, {id: waiting[0]} if id else {}, NOW_MS)
            change = BucketChange(
                bucket,
                changes=result.changes,
                set_aside=[set_aside(poison, NOW_MS) for poison in result.set_aside],
                removed=result.removed,
                added=result.added,
                deltas=result.deltas,
                appends=result.appends,
                timeline_bound=runtime.timeline_bound,
            )
            assert isinstance(await self.store.apply(change), Applied)

    def bucket(self, id: str) -> Bucket:
        return Bucket(self.source.name, self.source.version, bucket_of(id, self.buckets))

    async def document(self, id: str) -> Document | None:
        [found] = await self.store.documents(self.bucket(id), [id])
        return found

    async def say(self, *words: str, out: list[str] | None = None) -> Said:
        """Gives a `quarantine` command; nobody is there to ask when there are no `answers`. Raises what it raises.

        `out` gets the standard output of a command that fails, too.
        """
        said = Said(0, [] if out is None else out)
        answers = self.answers

        def ask(question: str) -> bool:
            said.told.append(question)
            return bool(answers and answers.pop(0))

        desk = Desk(said.out.append, said.told.append, ask if answers is not None else None)
        asked = parser().parse_args(["quarantine", *words])
        said.code = await quarantine(asked, self.store, [self.source], self.buckets, desk)
        return said
