"""Waiting until a document has reached a version: pushed by the projector's notices, re-checked slowly in case one is lost.

Invariants: one subscription per bucket and process; the document is read again after the subscription holds and before anyone
sleeps, so no wake-up falls between; every wait ends at its deadline with whatever was read last; a parked document is not waited
for, one that is being rebuilt is; waiters are capped.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

from gateway.consistency.operation import Found, is_met, is_parked
from gateway.consistency.requirements import Required
from gateway.engine.reader import BatchedReader, settled
from projections.errors import StoreError
from projections.pause import event_within
from projections.store.keys import Bucket
from projections.store.port import DocumentKey, ReaderStore

log = logging.getLogger(__name__)

RECHECK_S: Final = 0.1
"""A waiter looks again by itself after 0.75 to 1.25 times this: the price of a lost notice."""
RESUBSCRIBE_S: Final = 0.25


def _recheck_s() -> float:
    return RECHECK_S * random.uniform(0.75, 1.25)  # noqa: S311


class _Watch:
    """All who wait for one document."""

    __slots__ = ("change", "waiting")

    def __init__(self) -> None:
        self.change = asyncio.Event()
        self.waiting = 0

    def changed(self) -> None:
        """Wakes all who took `change` before now. They share it, so it is replaced and never cleared: clearing it for one
        would lose the wake-up of another who is still reading."""
        self.change.set()
        self.change = asyncio.Event()


class ChangeHub:
    """Wakes those who wait for documents. One per process; lives in the task group that it is given."""

    def __init__(
        self, store: ReaderStore, reader: BatchedReader, tasks: asyncio.TaskGroup, *, max_waiters: int = 10_000
    ) -> None:
        self._store = store
        self._reader = reader
        self._tasks = tasks
        self._max_waiters = max_waiters
        self._waiters = 0
        self._watches: dict[DocumentKey, _Watch] = {}
        self._subscribed: dict[Bucket, asyncio.Event] = {}

    async def until(self, key: DocumentKey, required: Required, deadline_s: float) -> Found:
        """The document as soon as it is as required, or parked; at the deadline (loop time), whatever is found then.

        Raises StoreUnavailableError when it cannot be read. Above the cap of waiters it does not wait.
        """
        loop = asyncio.get_running_loop()
        if self._waiters >= self._max_waiters or loop.time() >= deadline_s:
            return await settled(self._reader.document(key))
        with self._watching(key) as watch:
            await self._subscription(key.bucket, deadline_s)
            while True:
                change = watch.change
                found = await settled(self._reader.document(key))
                left_s = deadline_s - loop.time()
                if is_met(required, found) or is_parked(found) or left_s <= 0:
                    return found
                await event_within(change, min(left_s, _recheck_s()))

    async def until_built(self, again: Callable[[], Awaitable[bool]], deadline_s: float) -> None:
        """Calls `again`, which reads and tells whether what it read is whole, until it is or the deadline (loop time) is over.

        That a bucket has been built is not told on its channel: it is a matter of minutes, and of one re-check.
        """
        loop = asyncio.get_running_loop()
        while not await again():
            left_s = deadline_s - loop.time()
            if left_s <= 0 or self._waiters >= self._max_waiters:
                return
            self._waiters += 1
            try:
                await asyncio.sleep(min(left_s, _recheck_s()))
            finally:
                self._waiters -= 1

    @contextmanager
    def _watching(self, key: DocumentKey) -> Iterator[_Watch]:
        watch = self._watches.setdefault(key, _Watch())
        watch.waiting += 1
        self._waiters += 1
        try:
            yield watch
        finally:
            self._waiters -= 1
            watch.waiting -= 1
            if not watch.waiting:
                del self._watches[key]

    async def _subscription(self, bucket: Bucket, deadline_s: float) -> None:
        """Returns once the bucket's channel is subscribed, or soon after it cannot be: re-checks do then."""
        ready = self._subscribed.get(bucket)
        if ready is None:
            ready = self._subscribed[bucket] = asyncio.Event()
            self._tasks.create_task(self._listen(bucket, ready))
        if not ready.is_set():
            left_s = deadline_s - asyncio.get_running_loop().time()
            await event_within(ready, min(RECHECK_S, left_s))

    async def _listen(self, bucket: Bucket, ready: asyncio.Event) -> None:
        """Keeps one bucket's subscription for as long as the process lives."""
        while True:
            try:
                async with self._store.changes(bucket) as batches:
                    ready.set()
                    async for batch in batches:
                        for notice in batch:
                            watch = self._watches.get(DocumentKey(bucket, notice.id))
                            if watch is not None:
                                watch.changed()
            except StoreError as error:
                log.info("the change channel of %s is away: %s", bucket.tag, error)
            except Exception:
                # A message of another build, say. Waiters go on by re-checks; nothing here may end the process's reads.
                log.exception("the change channel of %s failed", bucket.tag)
            ready.clear()
            await asyncio.sleep(RESUBSCRIBE_S)
