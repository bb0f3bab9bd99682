"""Waiting until a document has reached a version: pushed by the projector's notices, re-checked slowly in case one is lost.

Invariants: one subscription per bucket and process; the document is read again after the subscription holds and before anyone
sleeps, so no wake-up falls between; every wait ends at its deadline with whatever was read last; waiters are capped.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from gateway.engine.reader import BatchedReader
from projections.errors import StoreError
from projections.pause import event_within
from projections.store.document import Document
from projections.store.keys import Bucket
from projections.store.port import DocumentKey, ReaderStore

log = logging.getLogger(__name__)

RECHECK_S: Final = 0.1
"""A waiter looks again by itself after 0.75 to 1.25 times this: the price of a lost notice."""
RESUBSCRIBE_S: Final = 0.25


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

    async def until(self, key: DocumentKey, at_least: tuple[int, int], deadline_s: float) -> Document | None:
        """The document as soon as it is at (epoch, version) or later; at the deadline (loop time), whatever it is then.

        Raises StoreUnavailableError when it cannot be read. Above the cap of waiters it does not wait.
        """
        loop = asyncio.get_running_loop()
        if self._waiters >= self._max_waiters or loop.time() >= deadline_s:
            return await self._reader.document(key)
        with self._watching(key) as watch:
            await self._subscription(key.bucket, deadline_s)
            while True:
                change = watch.change
                document = await self._reader.document(key)
                if document is not None and document.at >= at_least:
                    return document
                left_s = deadline_s - loop.time()
                if left_s <= 0:
                    return document
                await event_within(change, min(left_s, RECHECK_S * random.uniform(0.75, 1.25)))  # noqa: S311

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
